"""One simulated history: a seed decides the faults, the agents and the operators; the promises judge it."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

from dragons.control.intervene import intervene
from dragons.control.sweep import sweep
from dragons.core.errors import DragonsError
from dragons.core.hashing import sha256_hex
from dragons.core.statement import sign
from dragons.evidence.receipt import INTERVENTION, Intervention
from tests.simulation.fleet import Behaviour, Fleet, Instance, Node
from tests.simulation.promises import Promises
from tests.simulation.world import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    Faults,
    Unreachable,
    World,
    seeded_names,
)

SWEEP_MS = 2 * MINUTE_MS
BEAT_MS = 3 * MINUTE_MS
REPORT_MS = 5 * MINUTE_MS
LOOK_MS = 2 * HOUR_MS


@dataclass
class Told:
    """What a history amounts to: how much happened, and a digest that a replay must give again."""

    receipts: int
    writes: int
    actions: int
    refused: int
    transitions: int
    digest: str


def tell(folder: Path, seed: int, *, dispatches: int = 3, hours: int = 5) -> Told:
    """Run one history and judge it; AssertionError names the broken promise."""
    draw = random.Random(seed)
    with seeded_names(random.Random(seed + 1)):
        world = World(folder, seed + 2, _faults(draw))
        try:
            return _run(world, draw, dispatches, hours)
        finally:
            world.plane.store.close()


def _faults(draw: random.Random) -> Faults:
    """Some histories are calm, some are not."""
    rough = draw.choice((0.0, 0.5, 1.0, 3.0))
    return Faults(
        lost=0.01 * rough,
        unanswered=0.01 * rough,
        uncommitted=0.01 * rough,
        doubled=0.02 * rough,
        delay_ms_max=draw.choice((50, 400, 2_000)),
        plane_hours=draw.choice((0.0, 3.0, 9.0)),
        node_hours=draw.choice((0.0, 4.0, 12.0)),
    )


def _run(world: World, draw: random.Random, dispatches: int, hours: int) -> Told:
    acme = world.acme
    manifest = acme.ready(scope=["read:payments"])
    kinds = draw.sample(list(Behaviour), draw.randrange(1, 4)) + [Behaviour.HEALTHY] * draw.randrange(1, 4)
    fleet = Fleet(world, manifest, BEAT_MS, 3600, choose=lambda _: world.rng.choice(kinds))
    promises = Promises(world, fleet)
    for name in ("here", "there")[: draw.randrange(1, 3)]:
        Node(fleet, name, REPORT_MS)
    for _ in range(dispatches):
        world.after(world.rng.randrange(HOUR_MS), lambda: _order(world, fleet))
    _every(world, SWEEP_MS, lambda: _sweep(world))
    world.checks.append(_Reactions(world, fleet).after_event)
    _every(world, LOOK_MS, promises.every_so_often)
    _every(world, 7 * HOUR_MS, lambda: _operate(world, fleet))
    if world.faults.plane_hours:
        _now_and_then(
            world, world.faults.plane_hours, lambda: world.crash(world.rng.randrange(SECOND_MS, 2 * HOUR_MS))
        )
    if world.faults.node_hours:
        _now_and_then(
            world, world.faults.node_hours, lambda: world.rng.choice(fleet.nodes).die(20 * MINUTE_MS)
        )
    _now_and_then(world, 2.0, lambda: _trouble(world, fleet))
    world.run(world.now_ms + hours * HOUR_MS)
    if not world.is_up:
        world.run(world.now_ms + 3 * HOUR_MS)
    promises.at_the_end()
    return _told(world, fleet)


class _Reactions:
    """What a write sets off: nodes hear of orders at once, and the next sweep may come at any moment."""

    def __init__(self, world: World, fleet: Fleet) -> None:
        self._world, self._fleet, self._size = world, fleet, 0

    def after_event(self) -> None:
        world = self._world
        if world.size > self._size and world.is_up:
            self._size = world.size
            world.after(world.rng.randrange(10 * SECOND_MS), lambda: _sweep(world))
            for node in self._fleet.nodes:
                node.poke()


def _sweep(world: World) -> None:
    acme = world.acme
    if world.is_up:
        while world.write(
            lambda tx: sweep(tx, acme.issuer, acme.ledger, acme.tenant_id, outage_after_ms=3 * SWEEP_MS)
        ).more:
            pass


def _order(world: World, fleet: Fleet) -> None:
    if not world.is_up:
        world.after(10 * MINUTE_MS, lambda: _order(world, fleet))
        return
    try:
        world.acme.dispatch(target=world.rng.choice(fleet.nodes).name, ttl_seconds=fleet.ttl_seconds)
    except DragonsError:
        world.after(HOUR_MS, lambda: _order(world, fleet))


def _operate(world: World, fleet: Fleet) -> None:
    """A person looks at the fleet: quarantined work is released, and sometimes a hand is laid on what runs."""
    if not world.is_up:
        return
    acme, rng = world.acme, world.rng
    acts = ["release"] if rng.random() < 0.7 else [rng.choice(("redispatch", "quarantine", "stop"))]
    for act in acts:
        body = Intervention(
            tenant_id=acme.tenant_id,
            agent=fleet.manifest.agent,
            action=act,
            reason="a person looked",
            at=acme.now,
        )
        statement = sign(INTERVENTION, body, acme.operator)
        try:
            world.call(lambda tx: intervene(tx, acme.issuer, acme.caller, statement))  # noqa: B023 - called now
        except (DragonsError, Unreachable):
            continue


def _trouble(world: World, fleet: Fleet) -> None:
    """An instance freezes, loses the network, or has its clock set."""
    alive: list[Instance] = [one for node in fleet.nodes for one in node.running.values() if one.is_alive]
    if not alive:
        return
    victim, rng = world.rng.choice(alive), world.rng
    until_ms = world.now_ms + rng.randrange(MINUTE_MS, 4 * HOUR_MS)
    what = rng.randrange(3)
    if what == 0:
        victim.frozen_until_ms = until_ms
    elif what == 1:
        victim.partitioned_until_ms = until_ms
    else:
        victim.skew_ms = rng.choice((-HOUR_MS, -7_000, 4_000, HOUR_MS, DAY_MS))


def _every(world: World, period_ms: int, what: object) -> None:
    def again() -> None:
        what()  # type: ignore[operator]
        world.after(period_ms, again)

    world.after(period_ms, again)


def _now_and_then(world: World, mean_hours: float, what: object) -> None:
    def again() -> None:
        what()  # type: ignore[operator]
        world.after(world.rng.expovariate(1 / (mean_hours * HOUR_MS)), again)

    world.after(world.rng.expovariate(1 / (mean_hours * HOUR_MS)), again)


def _told(world: World, fleet: Fleet) -> Told:
    headers = world.acme.receipts()
    story = hashlib.sha256()
    for header in headers:
        story.update(f"{header.seq} {header.kind} {header.issued_at} {header.organism_state}\n".encode())
    return Told(
        receipts=len(headers),
        writes=world.writes,
        actions=len(fleet.acted),
        refused=fleet.refused,
        transitions=sum(1 for header in headers if header.kind == "state.changed"),
        digest=sha256_hex(story.digest()),
    )
