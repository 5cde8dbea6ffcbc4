"""Reading the fleet: instances with their leases and dispatches, running time, and how much there is of all.

No query per instance: a page of the fleet is one query, whatever its size. Never changes a row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    Table,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    union_all,
)

from dragons.adapters.sql import schema
from dragons.adapters.sql.asking import Asking, columns
from dragons.adapters.sql.mapping import from_values, names, numbers_of, texts_of
from dragons.control import rows
from dragons.control.ports import Member, Span, Tallies
from dragons.core.vocabulary import OrganismState

# SQLite takes 32,766 parameters in a query; one that asks for more is asked in parts.
_PARAMETERS_MAX = 10_000
# The worst first. What is quarantined waits for a person.
_RANKS = {
    OrganismState.QUARANTINED.value: 0,
    OrganismState.AUTOHEALING.value: 1,
    OrganismState.DEGRADED.value: 2,
    OrganismState.RUNNING.value: 3,
}

_instances = schema.MIRRORS[rows.InstanceRow].table
_leases = schema.MIRRORS[rows.LeaseRow].table
_dispatches = schema.MIRRORS[rows.DispatchRow].table
_incidents = schema.MIRRORS[rows.IncidentRow].table
_orders = schema.MIRRORS[rows.OrderRow].table
_messages = schema.MIRRORS[rows.MessageRow].table
_holds = schema.MIRRORS[rows.HoldRow].table
_versions = schema.MIRRORS[rows.VersionRow].table
# The first is the index's own condition, the second what it is sorted by.
_LIVE = (schema.IS_LIVE, _instances.c.state.in_(list(_RANKS)))


# Running time ends where authority is lost for good, maybe long before the instance is stopped.
_ENDED_MS = func.coalesce(_instances.c.halted_ms, _instances.c.stopped_ms).label("ended_ms")


def _ran(*what: ColumnElement[Any], where: ColumnElement[bool]) -> CompoundSelect[Any]:
    """`what` of instances that ran at `since_ms` or later: the live ones, and by their own index the others."""
    chosen = select(*what).where(_instances.c.tenant_id == bindparam("tenant_id"), where)
    since_ms = bindparam("since_ms", type_=_instances.c.stopped_ms.type)
    ended_ms = func.coalesce(_instances.c.halted_ms, since_ms + 1)
    return union_all(
        chosen.where(schema.IS_LIVE, ended_ms > since_ms),
        chosen.where(schema.IS_STOPPED, _instances.c.stopped_ms > since_ms, _ENDED_MS.element > since_ms),
    )


_OF_AGENT = _instances.c.agent == bindparam("agent")
# By agent, because so are the indexes.
_OF_ALL = _instances.c.agent.in_(
    select(_versions.c.agent).where(_versions.c.tenant_id == bindparam("tenant_id"))
)
_SPAN = (
    _instances.c.instance_id,
    _instances.c.agent,
    _instances.c.version,
    _instances.c.started_ms,
    _ENDED_MS,
    _instances.c.begun_seq,
    _instances.c.halted_seq,
)
_RUNNING_SPANS = _ran(_instances.c.started_ms, _ENDED_MS, where=_OF_AGENT)
_SPANS_OF_AGENT = _ran(*_SPAN, where=_OF_AGENT).order_by("started_ms", "instance_id")
_SPANS_OF_ALL = _ran(*_SPAN, where=_OF_ALL).order_by("started_ms", "instance_id")
_RAN = _ran(_instances.c.agent, _instances.c.started_ms, _ENDED_MS, where=_OF_ALL).subquery()


def _totals() -> Select[Any]:
    """Running time by agent, in milliseconds within [since_ms, now_ms)."""
    now_ms, since_ms = (bindparam(name, type_=_RAN.c.started_ms.type) for name in ("now_ms", "since_ms"))
    end, start = _RAN.c.ended_ms, _RAN.c.started_ms
    until = case((or_(end.is_(None), end > now_ms), now_ms), else_=end)
    begin = case((start < since_ms, since_ms), else_=start)
    return select(_RAN.c.agent, func.sum(until - begin)).where(until > begin).group_by(_RAN.c.agent)


_TOTALS = _totals()


class FleetReader(Asking):
    """The part of `dragons.control.ports.Reader` that shows all of a tenant at once."""

    def running_spans(self, tenant_id: str, agent: str, since_ms: int) -> Sequence[tuple[int, int | None]]:
        key = {"tenant_id": tenant_id, "agent": agent, "since_ms": since_ms}
        return [(started_ms, ended_ms) for started_ms, ended_ms in self._values(_RUNNING_SPANS, key)]

    def spans(self, tenant_id: str, since_ms: int, agent: str | None = None) -> Sequence[Span]:
        key: dict[str, Any] = {"tenant_id": tenant_id, "since_ms": since_ms}
        if agent is None:
            return [Span(*values) for values in self._values(_SPANS_OF_ALL, key)]
        return [Span(*values) for values in self._values(_SPANS_OF_AGENT, {**key, "agent": agent})]

    def running_totals(self, tenant_id: str, since_ms: int, now_ms: int) -> Mapping[str, int]:
        key = {"tenant_id": tenant_id, "since_ms": since_ms, "now_ms": now_ms}
        return {agent: int(total) for agent, total in self._values(_TOTALS, key)}

    def members(
        self,
        tenant_id: str,
        *,
        agent: str | None = None,
        state: OrganismState | None = None,
        skip: int = 0,
        limit: int = 1000,
    ) -> Sequence[Member]:
        joined = _instances.outerjoin(
            _leases,
            and_(_leases.c.tenant_id == _instances.c.tenant_id, _leases.c.lease_id == _instances.c.lease_id),
        ).outerjoin(
            _dispatches,
            and_(
                _dispatches.c.tenant_id == _instances.c.tenant_id,
                _dispatches.c.dispatch_id == _instances.c.dispatch_id,
            ),
        )
        query = select(
            *columns(rows.InstanceRow),
            *(_leases.c[name].label(f"lease_{name}") for name in ("expires_ms", "released_ms", "path")),
            *(_dispatches.c[name].label(f"dispatch_{name}") for name in ("restarts", "state")),
        ).select_from(joined)
        if state is OrganismState.STOPPED:
            order: tuple[Any, ...] = (_instances.c.instance_id.desc(),)
        else:
            order = (case(_RANKS, value=_instances.c.state), _instances.c.agent, _instances.c.instance_id)
        query = _chosen(query, tenant_id, agent, state).order_by(*order).offset(skip).limit(limit)
        return [_member(values) for values in self._values(query)]

    def member_count(
        self, tenant_id: str, *, agent: str | None = None, state: OrganismState | None = None
    ) -> int:
        query = _chosen(select(func.count()).select_from(_instances), tenant_id, agent, state)
        return self._ask(query).scalar() or 0

    def tallies(self, tenant_id: str) -> Tallies:
        # The conditions that say nothing make the index of what waits better than one of all rows.
        waiting = select(func.count(), func.min(_messages.c.created_ms)).where(
            _messages.c.tenant_id == tenant_id, _messages.c.done_ms.is_(None), _messages.c.due_ms >= 0
        )
        ((messages, oldest_ms),) = self._values(waiting)
        held = select(_holds.c.agent).where(_holds.c.tenant_id == tenant_id).order_by(_holds.c.agent)
        return Tallies(
            states=self._counted(_instances.c.state, tenant_id, *_LIVE),
            dispatches=self._counted(
                _dispatches.c.state, tenant_id, _dispatches.c.ended_ms.is_(None), _dispatches.c.state >= ""
            ),
            incidents_open=self._count(
                _incidents, tenant_id, _incidents.c.closed_ms.is_(None), _incidents.c.opened_seq >= 0
            ),
            holds=tuple(self._ask(held).scalars()),
            orders_waiting=self._count(
                _orders, tenant_id, _orders.c.done_ms.is_(None), _orders.c.target >= ""
            ),
            messages_waiting=messages,
            oldest_message_ms=oldest_ms or 0,
        )

    def revoked_among(self, tenant_id: str, entries: Collection[str]) -> frozenset[str]:
        table = schema.MIRRORS[rows.RevocationRow].table
        found: set[str] = set()
        for part in _parts(entries):
            query = select(table.c.entry).where(table.c.tenant_id == tenant_id, table.c.entry.in_(part))
            found.update(self._ask(query).scalars())
        return frozenset(found)

    def receipt_ids(self, tenant_id: str, seqs: Collection[int]) -> Mapping[int, str]:
        table = schema.receipts
        found: dict[int, str] = {}
        for part in _parts(seqs):
            query = select(table.c.seq, table.c.receipt_id).where(
                table.c.tenant_id == tenant_id, table.c.seq.in_(part)
            )
            found.update((seq, receipt_id) for seq, receipt_id in self._values(query))
        return found

    def _counted(self, what: Any, tenant_id: str, *where: ColumnElement[bool]) -> dict[str, int]:  # noqa: ANN401 - a column
        table = what.table
        query = select(what, func.count()).where(table.c.tenant_id == tenant_id, *where).group_by(what)
        return {name: int(count) for name, count in self._values(query)}

    def _count(self, table: Table, tenant_id: str, *where: ColumnElement[bool]) -> int:
        query = select(func.count()).select_from(table).where(table.c.tenant_id == tenant_id, *where)
        return self._ask(query).scalar() or 0


def _chosen(
    query: Select[Any], tenant_id: str, agent: str | None, state: OrganismState | None
) -> Select[Any]:
    query = query.where(_instances.c.tenant_id == tenant_id)
    if agent is not None:
        query = query.where(_instances.c.agent == agent)
    if state is not OrganismState.STOPPED:
        query = query.where(*_LIVE)
    return query if state is None else query.where(_instances.c.state == state.value)


def _member(values: Any) -> Member:  # noqa: ANN401 - a driver's row
    width = len(names(rows.InstanceRow))
    instance = from_values(rows.InstanceRow, values[:width])
    expires_ms, released_ms, path, restarts, dispatch_state = values[width:]
    return Member(
        instance=instance,
        lease_expires_ms=expires_ms or 0,
        lease_released_ms=released_ms,
        lease_path=() if path is None else texts_of(path),
        restarts=() if restarts is None else numbers_of(restarts),
        dispatch_state=dispatch_state or "",
    )


def _parts(wanted: Collection[Any]) -> list[list[Any]]:
    listed = sorted(wanted)
    return [listed[start : start + _PARAMETERS_MAX] for start in range(0, len(listed), _PARAMETERS_MAX)]
