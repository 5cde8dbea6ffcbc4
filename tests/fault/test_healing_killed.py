"""A control plane that is killed while it replaces an instance, at every commit; and two that sweep one store."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from dragons.control.nodes import NodeReport, OrderResult, report_node
from dragons.control.ports import Reader
from dragons.control.rows import InstanceRow
from dragons.control.standing import ended, standing_of
from dragons.core.clock import ManualClock
from dragons.core.vocabulary import Kind, OrganismState
from dragons.evidence.receipt import Redispatch, Transition
from tests.fault.healer import HEALED_MS, MINUTE_MS, START_MS, STEPS
from tests.fault.processes import Acknowledged, acknowledged, appending, assert_kept, hear
from tests.support.home import found_home, open_home
from tests.support.plane import Agent, Tenancy, assert_sound, make_manifest

HEALER = Path(__file__).with_name("healer.py")
DAY_SECONDS = 24 * 3600
ROUNDS = 150
MANY = 20


def stalling_home(folder: Path, instances: int = 1) -> list[Agent]:
    """A closed home whose supervised instances will not be heard of again."""
    tenancy = found_home(folder, ManualClock(START_MS))
    tenancy.dock("reconciler", ["read:payments"], ttl_seconds_max=DAY_SECONDS, instances_max=1_000)
    found = []
    for _ in range(instances):
        dispatch_id = tenancy.dispatch(ttl_seconds=DAY_SECONDS)
        wish = {"dispatch_id": dispatch_id, "node": "here", "ttl_seconds": DAY_SECONDS}
        agent = tenancy.launch(make_manifest(), **wish)
        assert isinstance(agent, Agent), agent
        found.append(agent)
    tenancy.plane.store.close()
    return found


class World:
    """What goes on after the control plane came back: the node was killed as well, the old program perhaps not."""

    def __init__(self, tenancy: Tenancy, clock: ManualClock, old: Agent, *, killed: bool) -> None:
        self.tenancy, self.clock, self.old, self.killed = tenancy, clock, old, killed
        self.mine: Agent | None = None
        self.beats = 0

    def holders(self, reader: Reader) -> list[InstanceRow]:
        dispatch_id = self.old.grant.instance.dispatch_id
        rows = reader.instances(self.tenancy.tenant_id, dispatch_id=dispatch_id)
        now_ms = self.tenancy.now_ms
        return [
            row for row in rows
            if ended(reader, standing_of(reader, row.tenant_id, row.instance_id), now_ms) is None
        ]  # fmt: skip

    def round(self) -> None:
        self.clock.advance(5_000)
        self.tenancy.sweep()
        alive = () if self.killed else (self.old.instance_id,)
        running = (*alive, self.mine.instance_id) if self.mine else alive
        self.report(running)
        if self.mine is not None:
            self.beats += 1
            assert self.tenancy.beat(self.mine, self.beats).accepted == 1
        with self.tenancy.plane.store.read() as reader:
            assert len(self.holders(reader)) <= 1
            starts = [one for one in reader.orders(self.tenancy.tenant_id) if one.kind == "start"]
            assert len(starts) <= 1

    def report(self, running: tuple[str, ...], *results: OrderResult) -> None:
        tenancy = self.tenancy
        said = NodeReport("here", running, results=results, fresh=True)
        for order in tenancy.plane.write(lambda tx: report_node(tx, tenancy.issuer, tenancy.caller, said)):
            if order.kind == "stop":
                self.killed = True
                self.report((), OrderResult(order.order_id, "done", "killed"))
                return
            self.assert_old_is_out()
            made = tenancy.launch(
                make_manifest(), dispatch_id=order.dispatch_id, epoch=order.epoch, node="here"
            )
            assert isinstance(made, Agent), made
            self.mine = made

    def assert_old_is_out(self) -> None:
        """The old program is dead, or its lease was withdrawn so long ago that it knows."""
        entry = f"lease:{self.old.lease.lease_id}"
        with self.tenancy.plane.store.read() as reader:
            assert reader.is_revoked(self.tenancy.tenant_id, [entry])
            since_ms = reader.revoked_since(self.tenancy.tenant_id, entry)
        assert self.killed or self.tenancy.now_ms >= since_ms + 6_000


def assert_nothing_twice(tenancy: Tenancy) -> None:
    """Every epoch was leased once, every move was made once, every start was ordered under its own name."""
    leased = Counter(header.epoch for header in tenancy.receipts(Kind.LEASE_ISSUED))
    assert set(leased.values()) == {1}
    moves = Counter(
        (one.instance_id, one.trigger) for one in tenancy.statements(Kind.STATE_CHANGED, Transition)
    )
    assert set(moves.values()) == {1}
    ordered = Counter(one.order_id for one in tenancy.statements(Kind.REDISPATCHED, Redispatch))
    assert set(ordered.values()) == {1}
    with tenancy.plane.store.read() as reader:
        orders = {one.order_id: one for one in reader.orders(tenancy.tenant_id, open_only=False)}
        timers = reader.timers_due(tenancy.tenant_id, 2**62, 1_000)
    assert set(ordered) == {name for name, one in orders.items() if one.kind == "start"}
    waiting = {name for name, one in orders.items() if one.kind == "start" and one.done_ms is None}
    assert {one.key for one in timers if one.kind == "order"} == waiting


def killed_at(home: Path, moment: str, commit: int) -> tuple[Acknowledged, set[str]]:
    """The receipts and the steps that were answered before the kill."""
    with appending(home, "heal", moment, commit, program=HEALER) as process:
        lines = list(hear(process))
        assert process.wait() == -signal.SIGKILL
    return acknowledged(lines), {line for line in lines if line in STEPS}


@pytest.mark.parametrize("commit", range(1, len(STEPS) + 1))
@pytest.mark.parametrize("moment", ["lost", "silent", "told"])
def test_a_replacement_goes_on_after_a_kill(tmp_path: Path, moment: str, commit: int) -> None:
    (old,) = stalling_home(tmp_path)
    told, steps = killed_at(tmp_path, moment, commit)
    assert steps == set(STEPS[: commit if moment == "told" else commit - 1])
    clock = ManualClock(START_MS + HEALED_MS)
    tenancy = open_home(tmp_path, clock)
    try:
        world = World(tenancy, clock, old, killed=commit > STEPS.index("killed"))
        for _ in range(ROUNDS):
            world.round()
            if world.mine is not None and tenancy.instance(world.mine).state is OrganismState.RUNNING:
                break
        assert world.mine is not None
        assert tenancy.instance(old).state is OrganismState.STOPPED
        world.round()
        assert_nothing_twice(tenancy)
        assert_kept(tenancy, told)
        assert_sound(tenancy.plane, tenancy)
    finally:
        tenancy.plane.store.close()


def test_without_a_kill_the_next_instance_works(tmp_path: Path) -> None:
    (old,) = stalling_home(tmp_path)
    with appending(tmp_path, "heal", "told", 0, program=HEALER) as process:
        lines = list(hear(process))
        assert process.wait() == 0
    assert [line for line in lines if line in STEPS] == list(STEPS)
    tenancy = open_home(tmp_path, ManualClock(START_MS + HEALED_MS))
    try:
        assert tenancy.instance(old).state is OrganismState.STOPPED
        assert_nothing_twice(tenancy)
        assert_kept(tenancy, acknowledged(lines))
    finally:
        tenancy.plane.store.close()


def test_two_control_planes_fire_each_timer_once(tmp_path: Path) -> None:
    agents = stalling_home(tmp_path, MANY)
    with ExitStack() as stack:
        both = [
            stack.enter_context(appending(tmp_path, "sweep", 30 * MINUTE_MS, program=HEALER))
            for _ in range(2)
        ]
        assert [next(hear(process)) for process in both] == ["ready", "ready"]
        for process in both:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        fired = [int(line.split()[1]) for process in both for line in hear(process)]
        assert [process.wait() for process in both] == [0, 0]
    assert sum(fired) == MANY
    tenancy = open_home(tmp_path, ManualClock(START_MS + 30 * MINUTE_MS))
    try:
        moved = tenancy.statements(Kind.STATE_CHANGED, Transition)
        assert Counter(one.instance_id for one in moved) == Counter(one.instance_id for one in agents)
        assert_sound(tenancy.plane, tenancy)
    finally:
        tenancy.plane.store.close()
