"""The fleet as the wire shows it: one consistent read, a handful of queries however large a page is.

Every figure comes from rows of the caller's own tenant, each of which a receipt or a heartbeat made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dragons.control.mtboi import (
    Expansion,
    Hand,
    Mtboi,
    ProvenSpan,
    Window,
    expand_mtboi,
    fleet_mtboi,
    window_at,
)
from dragons.control.organism import HALTED
from dragons.control.ports import Member, Reader
from dragons.core.clock import format_time
from dragons.core.vocabulary import OrganismState
from dragons.wire.fleet import Fleet, FleetMember, InterventionView, MtboiView, SpanView

NEVER = -1
EXHAUSTED = -1
# Names of quarantined agents that one answer carries; `dragons agents list` shows all.
HELD_MAX = 100
_NOTHING = Mtboi(0, 0)
VALID, EXPIRED, RELEASED, REVOKED, WITHDRAWN = "valid", "expired", "released", "revoked", "withdrawn"


class Wanted(NamedTuple):
    """Which instances to show: of one agent or in one state; stopped ones only when asked for."""

    agent: str | None = None
    state: OrganismState | None = None
    skip: int = 0
    limit: int = 100


def fleet(reader: Reader, tenant_id: str, wanted: Wanted, now_ms: int) -> Fleet:
    """A page of the fleet with the tenant's totals."""
    members = reader.members(
        tenant_id, agent=wanted.agent, state=wanted.state, skip=wanted.skip, limit=wanted.limit
    )
    total = reader.member_count(tenant_id, agent=wanted.agent, state=wanted.state)
    revoked = reader.revoked_among(tenant_id, {entry for one in members for entry in one.lease_path})
    of_all, each = fleet_mtboi(reader, tenant_id, window_at(now_ms))
    tallies = reader.tallies(tenant_id)
    reached = wanted.skip + len(members)
    return Fleet(
        as_of=format_time(now_ms),
        members=[_member(one, revoked, each, now_ms) for one in members],
        total=total,
        next_skip=reached if members and reached < total else EXHAUSTED,
        states={
            state.value: tallies.states.get(state.value, 0) for state in OrganismState if state != "stopped"
        },
        held_agents=list(tallies.holds[:HELD_MAX]),
        held_dispatches=tallies.dispatches.get("held", 0),
        incidents_open=tallies.incidents_open,
        mtboi_seconds=of_all.seconds,
        running_seconds=of_all.running_ms // 1000,
        interventions=of_all.interventions,
    )


def mtboi(
    reader: Reader, tenant_id: str, agent: str | None, window: Window, *, page: int, limit: int
) -> MtboiView:
    """The figure of an agent or of the fleet, with a page of what it is made of."""
    found = expand_mtboi(reader, tenant_id, agent, window, page=page, limit=limit)
    return MtboiView(
        agent=agent or "",
        since=format_time(window.since_ms),
        until=format_time(window.until_ms),
        mtboi_seconds=found.mtboi.seconds,
        running_ms=found.mtboi.running_ms,
        interventions=found.mtboi.interventions,
        spans=[_span(one) for one in found.spans],
        hands=[_hand(one) for one in found.interventions],
        next_page=_next(found, page),
    )


def _next(found: Expansion, page: int) -> int:
    return page + 1 if found.more else EXHAUSTED


def _member(member: Member, revoked: frozenset[str], mtboi: Mapping[str, Mtboi], now_ms: int) -> FleetMember:
    row = member.instance
    status = _lease_status(member, revoked, now_ms)
    left_ms = max(0, member.lease_expires_ms - now_ms) if status == VALID else 0
    return FleetMember(
        agent=row.agent,
        version=row.version,
        instance_id=row.instance_id,
        dispatch_id=row.dispatch_id,
        epoch=row.epoch,
        node=row.node,
        state=row.state.value,
        state_reason=row.state_reason,
        state_since=format_time(row.state_since_ms),
        started_at=format_time(row.started_ms),
        lease_id=row.lease_id,
        lease_status=status,
        lease_left_seconds=left_ms // 1000,
        pulse_age_ms=_age_ms(row.pulse_ms, now_ms),
        progress_sequence=row.progress_sequence,
        progress_source=row.progress_source,
        progress_age_ms=_age_ms(row.progress_ms, now_ms),
        waiting_for=row.waiting_for,
        restarts=len(member.restarts),
        dispatch_state=member.dispatch_state,
        incident_id=row.incident_id,
        mtboi_seconds=mtboi.get(row.agent, _NOTHING).seconds,
    )


def _lease_status(member: Member, revoked: frozenset[str], now_ms: int) -> str:
    """What is left of an instance's authority. What is halted has none, whatever its lease says."""
    if member.lease_released_ms is not None:
        return RELEASED
    if not revoked.isdisjoint(member.lease_path):
        return REVOKED
    if now_ms >= member.lease_expires_ms:
        return EXPIRED
    return WITHDRAWN if member.instance.state in HALTED else VALID


def _age_ms(at_ms: int | None, now_ms: int) -> int:
    return NEVER if at_ms is None else max(0, now_ms - at_ms)


def _span(one: ProvenSpan) -> SpanView:
    span = one.span
    return SpanView(
        instance_id=span.instance_id,
        agent=span.agent,
        version=span.version,
        began_at=format_time(span.started_ms),
        ended_at="" if span.ended_ms is None else format_time(span.ended_ms),
        counted_ms=one.counted_ms,
        began_by=one.began_by,
        ended_by=one.ended_by,
    )


def _hand(one: Hand) -> InterventionView:
    return InterventionView(
        receipt_id=one.receipt_id,
        seq=one.seq,
        at=format_time(one.issued_ms),
        agent=one.agent,
        instance_id=one.instance_id,
        dispatch_id=one.dispatch_id,
        action=one.action,
        reason=one.reason,
        operator=one.operator,
    )
