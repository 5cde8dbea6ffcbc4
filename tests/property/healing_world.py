"""Nodes and programs that fail in every way, for `test_healing_machine.py`: what is really so, beside what is told.

A program that lives acts whenever it can, also long after it was replaced: it never stops itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dragons.control.nodes import Dead, NodeReport, OrderResult
from dragons.control.ports import Reader
from dragons.control.rows import OrderRow
from dragons.core.clock import parse_time
from dragons.core.vocabulary import Kind, OrganismState
from dragons.evidence.receipt import Transition
from dragons.liveness.mtboi import mtboi_seconds
from tests.support.plane import Agent, Plane, Tenancy

FENCE_MS = 6_000
HALTED = {OrganismState.AUTOHEALING, OrganismState.QUARANTINED, OrganismState.STOPPED}


@dataclass
class ShakyPlane(Plane):
    """A plane whose store is closed and opened again before the writes that `shakes` says, bit by bit."""

    shakes: int = 0

    def write(self, job):  # type: ignore[no-untyped-def]
        if self.shakes & 1:
            self.reopen()
        self.shakes >>= 1
        return super().write(job)


@dataclass
class Program:
    """A program that was started under a lease."""

    agent: Agent
    node: str
    alive: bool = True
    frozen: bool = False
    beats: int = 0

    def may_act(self, reader: Reader, at_ms: int) -> bool:
        """True when the program can still do something then, by the last it may have heard of its lease."""
        lease = self.agent.grant.lease
        withdrawn = reader.is_revoked(lease.tenant_id, [f"lease:{lease.lease_id}"])
        fenced_ms = lease.expires_ms
        if withdrawn is not None:
            fenced_ms = min(fenced_ms, reader.revoked_since(lease.tenant_id, withdrawn) + FENCE_MS)
        return self.alive and at_ms < fenced_ms


@dataclass
class Node:
    """A node with what it was told and what it has not told yet."""

    name: str
    inbox: list[OrderRow] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)
    results: list[OrderResult] = field(default_factory=list)
    fresh: bool = True

    def report(self, running: list[Program]) -> NodeReport:
        return NodeReport(
            self.name,
            tuple(one.agent.instance_id for one in running),
            tuple(self.dead),
            tuple(self.results),
            frozenset(order.order_id for order in self.inbox),
            self.fresh,
        )

    def heard(self, orders: list[OrderRow]) -> None:
        """The answer came: what was told need not be told again."""
        self.dead, self.results, self.fresh = [], [], False
        self.inbox.extend(orders)

    def forget(self) -> None:
        """The node's process died."""
        self.inbox, self.dead, self.results, self.fresh = [], [], [], True


def mtboi_of_receipts(tenancy: Tenancy, agent: str) -> int:
    """MTBOI of an agent from nothing but its receipts."""
    began: dict[str, int] = {}
    ended: dict[str, int] = {}
    for header in tenancy.receipts(Kind.LEASE_ISSUED):
        if str(header.agent).partition("@")[0] == agent:
            began[str(header.instance_id)] = parse_time(header.issued_at)
    for body in tenancy.statements(Kind.STATE_CHANGED, Transition):
        if body.after in HALTED:
            ended.setdefault(body.instance_id, parse_time(body.at))
    hands = [one for one in tenancy.receipts(Kind.INTERVENTION) if str(one.agent).partition("@")[0] == agent]
    spans = [(at_ms, ended.get(name, tenancy.now_ms)) for name, at_ms in began.items()]
    return mtboi_seconds(spans, len(hands), tenancy.now_ms)


def shaky_plane(folder: str) -> ShakyPlane:
    return ShakyPlane(Path(folder) / "control.db")
