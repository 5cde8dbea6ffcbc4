"""What must hold in every simulated history: the promises of the product, checked from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dragons.authority.lease import Lease
from dragons.control.ports import Filter
from dragons.control.standing import compute_mtboi, ended, standing_of
from dragons.core.canonical import decode
from dragons.core.clock import parse_time
from dragons.core.vocabulary import Kind, OrganismState
from dragons.evidence.receipt import Header, Transition
from dragons.liveness.mtboi import WINDOW_MS
from dragons.liveness.organism import MOVES, Trigger
from tests.support.plane import assert_sound

if TYPE_CHECKING:
    from dragons.control.ports import Reader
    from tests.simulation.fleet import Fleet
    from tests.simulation.world import World

LIVE = frozenset({OrganismState.RUNNING, OrganismState.DEGRADED})


class Promises:
    """Checks after every event what that event may have broken, and everything at the end."""

    def __init__(self, world: World, fleet: Fleet) -> None:
        self.world, self.fleet = world, fleet
        self._acted = self._seen = 0
        self._issued: dict[str, int] = {}
        self._states: dict[str, OrganismState] = {}
        world.checks.append(self.after_event)

    def after_event(self) -> None:
        """No two holders; states move along the table only."""
        if self.world.size > self._seen:
            self.world.plane.read(self._take_receipts)
        for acted in self.fleet.acted[self._acted :]:
            newest = self._issued.get(acted.dispatch_id, 0)
            assert acted.epoch == newest, f"epoch {acted.epoch} acted although {newest} holds the dispatch"
        self._acted = len(self.fleet.acted)

    def _take_receipts(self, reader: Reader) -> None:
        tenant_id = self.world.acme.tenant_id
        for row in reader.receipts(tenant_id, Filter(after=self._seen - 1, limit=10_000)):
            self._seen = row.seq + 1
            if row.kind == Kind.LEASE_ISSUED:
                lease = decode(Lease, row.statement)
                before = self._issued.get(lease.dispatch_id, 0)
                assert lease.epoch == before + 1, "an epoch was issued twice, or out of order"
                self._issued[lease.dispatch_id] = lease.epoch
                self._states[lease.instance_id] = OrganismState.RUNNING
            elif row.kind == Kind.STATE_CHANGED:
                body = decode(Transition, row.statement)
                assert self._states[body.instance_id] is body.before, (
                    "a state was left that was never entered"
                )
                assert MOVES.get((body.before, Trigger(body.trigger))) is body.after, (
                    "a move beside the table"
                )
                self._states[body.instance_id] = body.after

    def every_so_often(self) -> None:
        """At most one holder for a dispatch, one open start, and a timer for all that lives."""
        self.world.plane.read(self._look)

    def _look(self, reader: Reader) -> None:
        tenant_id, now_ms = self.world.acme.tenant_id, self.world.now_ms
        holders: dict[str, int] = {}
        timers = {row.key for row in reader.timers_due(tenant_id, 1 << 60, 1_000_000)}
        for row in reader.instances(tenant_id, live=True):
            standing = standing_of(reader, tenant_id, row.instance_id)
            if ended(reader, standing, now_ms) is None:
                holders[row.dispatch_id] = holders.get(row.dispatch_id, 0) + 1
            if row.state in LIVE:
                assert row.instance_id in timers, (
                    f"{row.instance_id} is {row.state.value} and nobody looks at it"
                )
        assert all(count == 1 for count in holders.values()), "a dispatch with two holders"
        starts: dict[str, int] = {}
        for order in reader.orders(tenant_id):
            if order.kind == "start":
                starts[order.dispatch_id] = starts.get(order.dispatch_id, 0) + 1
                assert holders.get(order.dispatch_id, 0) == 0, (
                    "a start was ordered while somebody holds the lease"
                )
        assert all(count == 1 for count in starts.values()), "two open starts for a dispatch"
        for dispatch in reader.dispatches(tenant_id, open_only=True):
            served = holders.get(dispatch.dispatch_id, 0) + starts.get(dispatch.dispatch_id, 0)
            waiting = any(
                row.state is not OrganismState.STOPPED
                for row in reader.instances(tenant_id, live=True, dispatch_id=dispatch.dispatch_id)
            )
            assert served or waiting or dispatch.state == "held", f"{dispatch.dispatch_id} was forgotten"

    def at_the_end(self) -> None:
        """Nothing acknowledged is lost, the books agree, a stranger accepts the ledger, MTBOI equals its receipts."""
        acme = self.world.acme
        headers = acme.receipts()
        known = {header.receipt_id for header in headers}
        assert known.issuperset(self.fleet.acknowledged), "an acknowledged receipt is lost"
        self.every_so_often()
        self._mtboi(headers)
        assert_sound(self.world.plane, acme)

    def _mtboi(self, headers: list[Header]) -> None:
        now_ms, agent = self.world.now_ms, self.fleet.manifest.agent
        start_ms = now_ms - WINDOW_MS
        begun: dict[str, int] = {}
        halted: dict[str, int] = {}
        interventions = 0
        for header in headers:
            at_ms = parse_time(header.issued_at)
            if header.kind is Kind.LEASE_ISSUED:
                begun[str(header.instance_id)] = at_ms
            elif header.kind is Kind.STATE_CHANGED and header.organism_state not in LIVE:
                halted.setdefault(str(header.instance_id), at_ms)
            elif header.kind is Kind.INTERVENTION and at_ms >= start_ms:
                interventions += 1
        running_ms = sum(
            max(0, halted.get(name, now_ms) - max(start_ms, at_ms)) for name, at_ms in begun.items()
        )
        figure = self.world.plane.read(
            lambda reader: compute_mtboi(reader, self.world.acme.tenant_id, agent, now_ms)
        )
        assert figure == running_ms // 1000 // max(1, interventions), "MTBOI is not what its receipts say"
