"""The simulation at scale: a thousand agents for thirty days, with faults, in one process.

A healthy agent's heartbeats matter only when somebody looks, so each is delivered right before its timer is
due: the last of those that it sent. Signatures are stood in for by digests (`cheap_signatures`): what they
cost is measured elsewhere, and how they are judged is tested elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import msgspec

from dragons.authority.lease import RELEASE, Release
from dragons.control.beat import accept_heartbeats, check_heartbeats
from dragons.control.caller import Caller
from dragons.control.intervene import intervene
from dragons.control.issue import Grant
from dragons.control.launch import LaunchWish, launch_instance
from dragons.control.leases import release_lease, renew_lease
from dragons.control.nodes import NodeReport, OrderResult, report_node
from dragons.control.ports import Transaction
from dragons.control.rows import OrderRow
from dragons.control.sweep import TIMERS_MAX, sweep
from dragons.core import ids, keys
from dragons.core.clock import format_time
from dragons.core.errors import DragonsError
from dragons.core.hashing import sha256_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import Envelope, sign
from dragons.core.vocabulary import OrganismState, Outcome, Role
from dragons.evidence.receipt import INTERVENTION, Intervention
from dragons.identity.manifest import Manifest
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat, Progress
from tests.simulation.world import DAY_MS, HOUR_MS, MINUTE_MS, Faults, World, seeded_names

SWEEP_MS = 5 * MINUTE_MS
LEASE_SECONDS = 3 * 24 * 3600
# Between two dispatches of an agent, so that it has work for about a third of the time.
PAUSE_MS_MAX = 6 * DAY_MS


@contextmanager
def cheap_signatures() -> Iterator[None]:
    """Ed25519 replaced by a digest of key and message while the block runs."""
    signing, verifying = keys.LocalSigner.sign, keys.PublicKey.verify

    def digest(raw: bytes, message: bytes) -> bytes:
        return blake2b(message, key=raw, digest_size=64).digest()

    keys.LocalSigner.sign = lambda self, message: digest(self.public_key.raw, message)  # type: ignore[method-assign]
    keys.PublicKey.verify = lambda self, signature, message: signature == digest(self.raw, message)  # type: ignore[method-assign]
    try:
        yield
    finally:
        keys.LocalSigner.sign, keys.PublicKey.verify = signing, verifying  # type: ignore[method-assign]


@dataclass
class Life:
    """One instance: until when it is well, and what ends that."""

    grant: Grant
    signer: LocalSigner
    well_until_ms: int
    then: str
    beats: int = 0


@dataclass
class Counted:
    """How much happened."""

    agents: int = 0
    days: int = 0
    dispatches: int = 0
    launches: int = 0
    heartbeats: int = 0
    timers: int = 0
    outages: int = 0
    interventions: int = 0
    receipts: int = 0
    transitions: dict[str, int] = field(default_factory=dict)


class ScaleRun:
    """A fleet of agents, each with work for days and pauses between; see the module."""

    def __init__(self, folder: Path, seed: int, agents: int) -> None:
        self.rng = random.Random(seed)
        self.world = World(folder, seed, Faults())
        self.acme = self.world.acme
        self.counted = Counted(agents=agents)
        self.lives: dict[str, Life] = {}
        self.manifests: dict[str, Manifest] = {}
        self.results: list[OrderResult] = []
        self.down_until_ms = self._reported = 0
        self._prepare(agents)

    def run(self, days: int) -> Counted:
        """Let `days` days pass."""
        world, counted = self.world, self.counted
        counted.days = days
        until_ms = world.now_ms + days * DAY_MS
        while world.now_ms < until_ms:
            world.plane.clock.advance(SWEEP_MS)
            self._turn()
        counted.receipts = world.size
        return counted

    def _prepare(self, agents: int) -> None:
        acme = self.acme
        first = acme.ready(scope=["read:payments"])
        for number in range(agents):
            name = f"agent-{number:04d}"
            manifest = msgspec.structs.replace(first, agent=name)
            acme.register(manifest)
            acme.activate(manifest)
            acme.dock(name, ["read:payments"], ttl_seconds_max=LEASE_SECONDS)
            self.manifests[name] = manifest
            self.world.after(self.rng.randrange(2 * DAY_MS), lambda name=name: self._order(name))  # type: ignore[misc]

    def _turn(self) -> None:
        now_ms = self.world.now_ms
        if now_ms < self.down_until_ms:
            return
        if self.rng.random() < SWEEP_MS / (2 * DAY_MS):
            # The control plane is away for a while, about every other day.
            self.down_until_ms = now_ms + self.rng.randrange(MINUTE_MS, 2 * HOUR_MS)
            self.counted.outages += 1
            return
        self.world.run(now_ms)
        while self._sweep():
            pass
        if self.world.size > self._reported or self.results:
            # An order leaves receipts, so without any there is nothing to fetch.
            self._reported = self.world.size
            self._report()

    def _sweep(self) -> bool:
        acme, counted = self.acme, self.counted

        def job(tx: Transaction) -> bool:
            due = tx.timers_due(acme.tenant_id, tx.now_ms, TIMERS_MAX)
            beats = [beat for timer in due if (beat := self._last_beat(timer.key, tx.now_ms)) is not None]
            if beats:
                caller = Caller(acme.tenant_id, Role.LAUNCHER)
                checked = check_heartbeats(self._key_of, beats)
                counted.heartbeats += accept_heartbeats(tx, acme.issuer, caller, checked).accepted
            done = sweep(tx, acme.issuer, acme.ledger, acme.tenant_id, outage_after_ms=3 * SWEEP_MS)
            counted.timers += done.timers
            return done.more

        return self.world.write(job)

    def _key_of(self, instance_id: str) -> bytes:
        return self.lives[instance_id].signer.public_key.raw

    def _last_beat(self, instance_id: str, now_ms: int) -> Envelope | None:
        life = self.lives.get(instance_id)
        if life is None or now_ms >= life.well_until_ms:
            return None
        self._renew(life, now_ms)
        life.beats += 1
        lease = life.grant.lease
        return sign(
            HEARTBEAT,
            Heartbeat(
                tenant_id=lease.tenant_id, instance_id=instance_id, lease_id=lease.lease_id, epoch=lease.epoch,
                sequence=life.beats, sent_at=format_time(now_ms),
                progress=Progress(life.beats, sha256_hex(b"%d" % life.beats), "output"),
            ),
            life.signer,
        )  # fmt: skip

    def _renew(self, life: Life, now_ms: int) -> None:
        lease = life.grant.lease
        if now_ms >= (lease.issued_ms + lease.expires_ms) // 2:
            self.world.after(0, lambda: self._renewed(life))

    def _renewed(self, life: Life) -> None:
        acme, lease = self.acme, life.grant.lease
        caller = Caller(acme.tenant_id, Role.INSTANCE, instance_id=lease.instance_id, lease_id=lease.lease_id)
        found = self.world.write(lambda tx: renew_lease(tx, acme.issuer, caller))
        if isinstance(found, Grant):
            life.grant = found

    def _report(self) -> None:
        acme, results = self.acme, tuple(self.results)
        self.results.clear()
        report = NodeReport(node="here", running=(), results=results)
        caller = Caller(acme.tenant_id, Role.LAUNCHER)
        for order in self.world.write(lambda tx: report_node(tx, acme.issuer, caller, report)):
            if order.kind == "start":
                self._start(order)
            else:
                self.lives.pop(order.instance_id, None)
                self.results.append(OrderResult(order.order_id, "done", "killed"))

    def _start(self, order: OrderRow) -> None:
        acme, rng = self.acme, self.rng
        signer = LocalSigner.generate(KeyRole.INSTANCE)
        wish = LaunchWish(
            instance_id=ids.uuid7_hex(self.world.now_ms), instance_key=signer.public_key.raw,
            manifest=self.manifests[order.agent], ttl_seconds=LEASE_SECONDS, dispatch_id=order.dispatch_id,
            epoch=order.epoch,
        )  # fmt: skip
        caller = Caller(acme.tenant_id, Role.LAUNCHER)
        found = self.world.write(lambda tx: launch_instance(tx, acme.issuer, caller, wish))
        if not isinstance(found, Grant):
            self.results.append(OrderResult(order.order_id, "failed", found.detail))
            return
        self.counted.launches += 1
        then = rng.choices(("completed", "failed", "silent"), (6, 2, 2))[0]
        well_ms = rng.randrange(HOUR_MS, 3 * DAY_MS) if rng.random() > 0.05 else rng.randrange(5 * MINUTE_MS)
        life = Life(found, signer, self.world.now_ms + well_ms, then)
        self.lives[wish.instance_id] = life
        if then != "silent":
            self.world.after(well_ms, lambda: self._end(wish.instance_id))

    def _end(self, instance_id: str) -> None:
        life = self.lives.pop(instance_id, None)
        if life is None:
            return
        acme, lease = self.acme, life.grant.lease
        body = Release(
            tenant_id=acme.tenant_id, lease_id=lease.lease_id, instance_id=instance_id,
            released_at=self.acme.now, outcome=Outcome(life.then), detail=f"it {life.then}",
        )  # fmt: skip
        caller = Caller(acme.tenant_id, Role.INSTANCE, instance_id=instance_id, lease_id=lease.lease_id)
        statement = sign(RELEASE, body, life.signer)
        try:
            self.world.write(lambda tx: release_lease(tx, acme.issuer, caller, statement))
        except DragonsError:
            return
        if life.then == "completed":
            agent = life.grant.instance.agent
            self.world.after(self.rng.randrange(PAUSE_MS_MAX), lambda: self._order(agent))

    def _order(self, agent: str) -> None:
        try:
            self.acme.dispatch(agent, ttl_seconds=LEASE_SECONDS)
        except DragonsError:
            return
        self.counted.dispatches += 1

    def operate(self) -> None:
        """A person releases what is quarantined, once in a while."""
        acme = self.acme
        held = {
            row.agent
            for row in self.world.plane.read(lambda reader: reader.instances(acme.tenant_id, live=True))
            if row.state is OrganismState.QUARANTINED
        }
        for agent in sorted(held):
            body = Intervention(
                tenant_id=acme.tenant_id, agent=agent, action="release", reason="a person looked", at=acme.now
            )
            statement = sign(INTERVENTION, body, acme.operator)
            self.world.write(lambda tx: intervene(tx, acme.issuer, acme.caller, statement))  # noqa: B023 - called now
            self.counted.interventions += 1


def run_scale(folder: Path, seed: int, agents: int, days: int) -> tuple[Counted, ScaleRun]:
    """Simulate `agents` agents for `days` days; what happened, and the world to look into."""
    with seeded_names(random.Random(seed)):
        made = ScaleRun(folder, seed, agents)
        for day in range(1, days + 1):
            made.world.after(day * DAY_MS, made.operate)
        return made.run(days), made
