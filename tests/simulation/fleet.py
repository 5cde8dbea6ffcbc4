"""Simulated nodes and agents: they beat, work, stall, lie, crash, flap, freeze and lose the network.

An agent believes what the SDK would believe: it acts when `decide` allows it on its own clock and its own, possibly
old, view of the control plane. Nothing here is told what the control plane knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from dragons.authority.decide import Allow, Holding, Now, Situation, decide
from dragons.authority.lease import RELEASE, Release
from dragons.control.append import ClaimReceipt, append_claim, check_claim
from dragons.control.beat import accept_heartbeats, check_heartbeats
from dragons.control.caller import Caller
from dragons.control.issue import Grant
from dragons.control.launch import LaunchWish, launch_instance
from dragons.control.leases import release_lease, renew_lease
from dragons.control.nodes import Dead, NodeReport, OrderResult, report_node
from dragons.control.sessions import open_session
from dragons.core import ids
from dragons.core.clock import format_time
from dragons.core.hashing import sha256_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import sign
from dragons.core.vocabulary import OrganismState, Outcome, Risk, Role
from dragons.evidence import receipt
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat, Progress

if TYPE_CHECKING:
    from dragons.control.ports import Transaction
    from dragons.control.rows import OrderRow
    from dragons.identity.manifest import Manifest
    from tests.simulation.world import World

ACTION = "read:payments"


class Behaviour(Enum):
    """What an instance does with its life."""

    HEALTHY = "healthy"
    SILENT = "silent"
    STALLED = "stalled"
    LIAR = "liar"
    BUSY = "busy"
    CRASHING = "crashing"


@dataclass
class Acted:
    """An action that an instance took because it believed it might."""

    dispatch_id: str
    epoch: int
    at_ms: int


@dataclass
class Fleet:
    """Everything that runs, and what it did that others may judge."""

    world: World
    manifest: Manifest
    beat_ms: int
    ttl_seconds: int
    choose: Callable[[int], Behaviour]
    nodes: list[Node] = field(default_factory=list)
    acted: list[Acted] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    refused: int = 0
    life_ms: tuple[int, int] = (3_600_000, 12 * 3_600_000)


class Node:
    """A supervisor: it reports, takes orders, starts and ends instances, and sometimes dies with all of them."""

    def __init__(self, fleet: Fleet, name: str, report_ms: int) -> None:
        self.fleet, self.name, self.report_ms = fleet, name, report_ms
        self.running: dict[tuple[str, int], Instance] = {}
        self.results: list[OrderResult] = []
        self.is_fresh, self.is_up = True, True
        self.life = self.turn = 0
        self.stopping: set[str] = set()
        fleet.nodes.append(self)
        self._again(0)

    def die(self, down_ms: int) -> None:
        """The machine is gone, and everything on it; it comes back empty."""
        self.is_up = False
        for instance in self.running.values():
            instance.kill()
        self.running.clear()
        self.results.clear()
        self.stopping.clear()
        self.life += 1
        self.fleet.world.after(down_ms, self._return)

    def _return(self) -> None:
        self.is_up, self.is_fresh = True, True
        self._again(0)

    def poke(self) -> None:
        """Something happened: the long poll that the node waits in is answered."""
        if self.is_up:
            self._again(0)

    def _again(self, delay_ms: int) -> None:
        # The newest plan counts; whatever was planned before is off.
        self.turn += 1
        life, turn = self.life, self.turn
        self.fleet.world.after(delay_ms, lambda: self._report(life, turn))

    def _report(self, life: int, turn: int) -> None:
        if life != self.life or not self.is_up or turn != self.turn:
            return
        acme, results = self.fleet.world.acme, tuple(self.results)
        report = NodeReport(
            node=self.name,
            running=tuple(
                one.instance_id for one in self.running.values() if one.is_alive and one.instance_id
            ),
            dead=tuple(Dead(one.instance_id, one.ended) for one in self.running.values() if not one.is_alive),
            results=results,
            held=frozenset(one.order.order_id for one in self.running.values()),
            fresh=self.is_fresh,
            number=self.turn,
        )
        caller = Caller(acme.tenant_id, Role.LAUNCHER)
        self.fleet.world.send(
            lambda tx: report_node(tx, acme.issuer, caller, report),
            lambda answer: self._answered(life, results, report, answer),
        )

    def _answered(
        self,
        life: int,
        results: tuple[OrderResult, ...],
        report: NodeReport,
        answer: list[OrderRow] | Exception,
    ) -> None:
        if life != self.life or not self.is_up:
            return
        if not isinstance(answer, Exception):
            self.is_fresh = False
            self.results = [one for one in self.results if one not in results]
            reported = {instance_id for instance_id, *_ in report.dead}
            for key, one in list(self.running.items()):
                if one.instance_id in reported:
                    del self.running[key]
            for order in answer:
                self._carry_out(order)
        self._again(self.report_ms)

    def _carry_out(self, order: OrderRow) -> None:
        key = (order.dispatch_id, order.epoch)
        if order.kind == "start":
            if key not in self.running:
                self.running[key] = Instance(self, order)
            return
        if order.order_id in self.stopping:
            return
        self.stopping.add(order.order_id)
        # A program takes its time to end, and works on meanwhile as far as it may.
        life, delay_ms = self.life, self.fleet.world.rng.randrange(8_000)
        self.fleet.world.after(delay_ms, lambda: self._stopped(life, order))

    def _stopped(self, life: int, order: OrderRow) -> None:
        if life != self.life:
            return
        self.stopping.discard(order.order_id)
        victim = self.running.get((order.dispatch_id, order.epoch))
        if victim is not None:
            victim.kill()
        self.results.append(OrderResult(order.order_id, "done", "the program was killed"))
        self.poke()


class Instance:
    """One program under governance, as its launcher and SDK drive it."""

    def __init__(self, node: Node, order: OrderRow) -> None:
        self.node, self.fleet, self.world = node, node.fleet, node.fleet.world
        self.order = order
        self.is_alive, self.ended = True, ""
        self.behaviour = self.fleet.choose(order.epoch)
        self.signer = LocalSigner.generate(KeyRole.INSTANCE)
        self.instance_id = ids.uuid7_hex(self.world.now_ms)
        self.grant: Grant | None = None
        self.holding: Holding | None = None
        self.view_boot_ms = 0
        self.revoked: frozenset[str] = frozenset()
        self.state = OrganismState.RUNNING
        self.beats = self.progress = 0
        self.session_id = ""
        self.frozen_until_ms = self.partitioned_until_ms = 0
        self.skew_ms = 0
        low, high = self.fleet.life_ms
        self.ends_ms = self.world.now_ms + self.world.rng.randrange(low, high)
        self.turns_ms = self.world.now_ms + self.world.rng.randrange(low // 4, high)
        self._launch()

    # --- its life ----------------------------------------------------------------------------------

    def kill(self) -> None:
        """The process is gone; nothing is reported by it any more."""
        if self.is_alive:
            self.is_alive, self.ended = False, "it was killed"

    def _launch(self) -> None:
        acme, order = self.world.acme, self.order
        wish = LaunchWish(
            instance_id=self.instance_id,
            instance_key=self.signer.public_key.raw,
            manifest=self.fleet.manifest,
            ttl_seconds=self.fleet.ttl_seconds,
            dispatch_id=order.dispatch_id,
            epoch=order.epoch,
        )
        caller = Caller(acme.tenant_id, Role.LAUNCHER)
        self.world.send(lambda tx: launch_instance(tx, acme.issuer, caller, wish), self._launched)

    def _launched(self, answer: object) -> None:
        if not self.is_alive:
            return
        if not isinstance(answer, Grant):
            # The launcher knows of no lease, so it starts nothing; a lost answer costs an epoch.
            self.is_alive, self.ended = False, f"the launch failed: {answer}"
            self.node.results.append(OrderResult(self.order.order_id, "failed", "the launch failed"))
            return
        self._accept(answer)
        self._beat()

    def _accept(self, grant: Grant) -> None:
        lease, clock = grant.lease, self.world.plane.clock
        self.grant, self.view_boot_ms = grant, clock.boot_ms()
        self.holding = Holding(
            lease_id=lease.lease_id, tenant_id=lease.tenant_id, instance_id=lease.instance_id, epoch=lease.epoch,
            scope=frozenset(lease.scope), not_before_ms=lease.not_before_ms, expires_ms=lease.expires_ms,
            boot_deadline_ms=clock.boot_ms() + lease.expires_ms - clock.now_ms(),
            wall_minus_boot_ms=self._wall_ms() - clock.boot_ms(), path=lease.path,
        )  # fmt: skip

    def _wall_ms(self) -> int:
        return self.world.now_ms + self.skew_ms

    def _beat(self) -> None:
        if not self.is_alive:
            return
        now_ms = self.world.now_ms
        if now_ms >= self.frozen_until_ms:
            self._turn()
        if self.is_alive:
            self.world.after(self.fleet.beat_ms * self.world.rng.uniform(0.9, 1.1), self._beat)

    def _turn(self) -> None:
        world = self.world
        misbehaves = world.now_ms >= self.turns_ms
        behaviour = self.behaviour if misbehaves else Behaviour.HEALTHY
        if behaviour is Behaviour.CRASHING:
            self._end("failed")
            return
        if world.now_ms >= self.ends_ms:
            self._end("completed")
            return
        # A moment later its view may be too old, its lease revoked, or its successor at work.
        for seconds in (1, 3, 6, 6, 20):
            world.after(world.rng.randrange(seconds * 1_000), self._act)
        if world.now_ms < self.partitioned_until_ms or behaviour is Behaviour.SILENT:
            return
        self._refresh()
        self._send_beat(behaviour)
        self._work(behaviour)
        self._renew()

    def _end(self, outcome: str) -> None:
        self.is_alive, self.ended = False, f"it ended: {outcome}"
        if self.grant is None or self.world.now_ms < self.partitioned_until_ms:
            return
        acme, caller = self.world.acme, self._caller()
        body = Release(
            tenant_id=acme.tenant_id, lease_id=self.grant.lease.lease_id, instance_id=self.instance_id,
            released_at=format_time(self._wall_ms()), outcome=Outcome(outcome), detail=self.ended,
        )  # fmt: skip
        statement = sign(RELEASE, body, self.signer)
        self.world.send(lambda tx: release_lease(tx, acme.issuer, caller, statement), lambda _: None)

    def _caller(self) -> Caller:
        lease_id = "" if self.grant is None else self.grant.lease.lease_id
        return Caller(
            self.world.acme.tenant_id, Role.INSTANCE, instance_id=self.instance_id, lease_id=lease_id
        )

    # --- what it says and does ---------------------------------------------------------------------

    def _act(self) -> None:
        """Do something, if it believes that it may."""
        if not self.is_alive or self.world.now_ms < self.frozen_until_ms:
            return
        situation = Situation(
            tenant_id=self.world.acme.tenant_id, epoch=self.order.epoch, state=self.state, revoked=self.revoked,
            risks={ACTION: Risk.LOW}, as_of_boot_ms=self.view_boot_ms,
        )  # fmt: skip
        boot_ms = self.world.plane.clock.boot_ms()
        if isinstance(
            decide(ACTION, self.holding, situation, Now(self._wall_ms(), boot_ms), online=False), Allow
        ):
            self.fleet.acted.append(Acted(self.order.dispatch_id, self.order.epoch, self.world.now_ms))
        else:
            self.fleet.refused += 1

    def _refresh(self) -> None:
        """A view of revocations and of its own state, as the control plane has them now."""
        tenant_id, sent_boot_ms = self.world.acme.tenant_id, self.world.plane.clock.boot_ms()

        def job(tx: Transaction) -> tuple[OrganismState, frozenset[str]]:
            row = tx.instance(tenant_id, self.instance_id)
            assert row is not None
            return row.state, frozenset(one.entry for one in tx.revocations(tenant_id))

        def then(answer: object) -> None:
            # As in the SDK, a view is as old as the request for it.
            if not isinstance(answer, Exception) and sent_boot_ms >= self.view_boot_ms:
                self.state, self.revoked = answer  # type: ignore[misc]
                self.view_boot_ms = sent_boot_ms

        self.world.send(job, then)

    def _send_beat(self, behaviour: Behaviour) -> None:
        assert self.grant is not None
        lease, acme = self.grant.lease, self.world.acme
        self.beats += 1
        beat = Heartbeat(
            tenant_id=lease.tenant_id, instance_id=self.instance_id, lease_id=lease.lease_id, epoch=lease.epoch,
            sequence=self.beats, sent_at=format_time(self._wall_ms()),
        )  # fmt: skip
        if behaviour is not Behaviour.STALLED and behaviour is not Behaviour.BUSY:
            self.progress += 1
            source = "claim" if behaviour is Behaviour.LIAR else "output"
            beat.progress = Progress(self.progress, sha256_hex(f"{self.progress}".encode()), source)
        envelope, caller = sign(HEARTBEAT, beat, self.signer), self._caller()
        own = self.signer.public_key.raw
        checked = check_heartbeats(lambda name: own if name == self.instance_id else None, [envelope])
        self.world.send(lambda tx: accept_heartbeats(tx, acme.issuer, caller, checked), lambda _: None)

    def _work(self, behaviour: Behaviour) -> None:
        """Report an action; a busy instance reports the same one for ever."""
        assert self.grant is not None
        if not self.session_id:
            self._open()
            return
        lease, acme, caller = self.grant.lease, self.world.acme, self._caller()
        likeness = "busy" if behaviour in {Behaviour.BUSY, Behaviour.LIAR} else f"{self.beats}"
        at = format_time(self._wall_ms())
        claim = receipt.Claim(
            claim_id=ids.new_id(ids.CLAIM, self.world.now_ms), tenant_id=lease.tenant_id,
            instance_id=self.instance_id, lease_id=lease.lease_id, epoch=lease.epoch, session_id=self.session_id,
            action=ACTION, started_at=at, ended_at=at, elapsed_ms=1, payload_hash=sha256_hex(b"payload"),
            evidence=[], outcome=Outcome.COMPLETED, likeness=sha256_hex(likeness.encode()),
        )  # fmt: skip
        if behaviour is Behaviour.STALLED:
            return
        checked = check_claim(caller, sign(receipt.CLAIM, claim, self.signer), self.signer.public_key)

        def then(answer: object) -> None:
            if isinstance(answer, ClaimReceipt):
                self.fleet.acknowledged.append(answer.appended.receipt_id)

        self.world.send(lambda tx: append_claim(tx, acme.issuer, caller, checked), then)

    def _open(self) -> None:
        assert self.grant is not None
        lease, acme, caller = self.grant.lease, self.world.acme, self._caller()
        session_id = ids.new_id(ids.SESSION, self.world.now_ms)
        body = receipt.Session(
            session_id=session_id, tenant_id=lease.tenant_id, instance_id=self.instance_id, lease_id=lease.lease_id,
            epoch=lease.epoch, scope=list(lease.scope), payload_hash=sha256_hex(b"goal"),
            opened_at=format_time(self._wall_ms()),
        )  # fmt: skip
        statement = sign(receipt.SESSION, body, self.signer)

        def then(answer: object) -> None:
            if not isinstance(answer, Exception):
                self.session_id = session_id

        self.world.send(lambda tx: open_session(tx, acme.issuer, caller, statement), then)

    def _renew(self) -> None:
        assert self.grant is not None
        lease, acme, caller = self.grant.lease, self.world.acme, self._caller()
        if self.world.now_ms < (lease.issued_ms + lease.expires_ms) // 2:
            return

        def then(answer: object) -> None:
            if isinstance(answer, Grant) and self.is_alive:
                self._accept(answer)

        self.world.send(lambda tx: renew_lease(tx, acme.issuer, caller), then)
