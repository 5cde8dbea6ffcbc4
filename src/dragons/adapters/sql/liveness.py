"""Reading and writing what liveness needs: policies, dispatches, orders, timers, incidents, messages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, select

from dragons.adapters.sql import schema
from dragons.adapters.sql.asking import Asking, columns, if_given
from dragons.control import rows


class LivenessReader(Asking):
    """The part of `dragons.control.ports.Reader` that liveness needs."""

    def policy(self, tenant_id: str, agent: str) -> rows.PolicyRow | None:
        found = self._newest(rows.PolicyRow, "version", 1, tenant_id=tenant_id, agent=agent)
        return found[0] if found else None

    def policies(self, tenant_id: str, agent: str | None = None) -> Sequence[rows.PolicyRow]:
        key = {"tenant_id": tenant_id} if agent is None else {"tenant_id": tenant_id, "agent": agent}
        return self._list(rows.PolicyRow, "agent", "version", **key)

    def dispatch(self, tenant_id: str, dispatch_id: str) -> rows.DispatchRow | None:
        return self._find(rows.DispatchRow, tenant_id=tenant_id, dispatch_id=dispatch_id)

    def dispatches(
        self, tenant_id: str, *, agent: str | None = None, open_only: bool = False, limit: int | None = None
    ) -> Sequence[rows.DispatchRow]:
        table = schema.MIRRORS[rows.DispatchRow].table
        extra = (table.c.ended_ms.is_(None),) if open_only else ()
        return self._newest(
            rows.DispatchRow, "created_ms", limit, *extra, tenant_id=tenant_id, **if_given(agent=agent)
        )

    def order(self, tenant_id: str, order_id: str) -> rows.OrderRow | None:
        return self._find(rows.OrderRow, tenant_id=tenant_id, order_id=order_id)

    def orders(
        self,
        tenant_id: str,
        *,
        dispatch_id: str | None = None,
        target: str | None = None,
        open_only: bool = True,
    ) -> Sequence[rows.OrderRow]:
        key = {"tenant_id": tenant_id, **if_given(dispatch_id=dispatch_id, target=target)}
        return self._rows(rows.OrderRow, _orders(tuple(key), open_only=open_only), key)

    def nodes(self, tenant_id: str) -> Sequence[rows.NodeRow]:
        return self._list(rows.NodeRow, "node", tenant_id=tenant_id)

    def hold(self, tenant_id: str, agent: str) -> rows.HoldRow | None:
        return self._find(rows.HoldRow, tenant_id=tenant_id, agent=agent)

    def incident(self, tenant_id: str, incident_id: str) -> rows.IncidentRow | None:
        return self._find(rows.IncidentRow, tenant_id=tenant_id, incident_id=incident_id)

    def incidents(
        self, tenant_id: str, *, agent: str | None = None, open_only: bool = False, limit: int = 1000
    ) -> Sequence[rows.IncidentRow]:
        table = schema.MIRRORS[rows.IncidentRow].table
        extra = (table.c.closed_ms.is_(None),) if open_only else ()
        return self._newest(
            rows.IncidentRow, "opened_seq", limit, *extra, tenant_id=tenant_id, **if_given(agent=agent)
        )

    def timers_due(self, tenant_id: str, now_ms: int, limit: int) -> Sequence[rows.TimerRow]:
        return self._rows(rows.TimerRow, _DUE, {"tenant_id": tenant_id, "now_ms": now_ms, "at_most": limit})

    def messages_due(
        self,
        tenant_id: str,
        now_ms: int,
        limit: int,
        *,
        channel: str | None = None,
        without: Sequence[str] = (),
    ) -> Sequence[rows.MessageRow]:
        table = schema.MIRRORS[rows.MessageRow].table
        query = select(*columns(rows.MessageRow)).where(
            table.c.tenant_id == tenant_id, table.c.due_ms <= now_ms, table.c.done_ms.is_(None)
        )
        if channel is not None:
            query = query.where(table.c.channel == channel)
        if without:
            query = query.where(table.c.channel.not_in(without))
        return self._rows(rows.MessageRow, query.order_by(table.c.due_ms).limit(limit))

    def messages(
        self, tenant_id: str, *, incident_id: str | None = None, limit: int = 1000
    ) -> Sequence[rows.MessageRow]:
        return self._newest(
            rows.MessageRow, "message_id", limit, tenant_id=tenant_id, **if_given(incident_id=incident_id)
        )

    def message(self, tenant_id: str, message_id: str) -> rows.MessageRow | None:
        return self._find(rows.MessageRow, tenant_id=tenant_id, message_id=message_id)

    def step(self, tenant_id: str, step_key: str) -> rows.StepRow | None:
        return self._find(rows.StepRow, tenant_id=tenant_id, step_key=step_key)

    def presence(self, tenant_id: str) -> rows.PresenceRow | None:
        return self._find(rows.PresenceRow, tenant_id=tenant_id)

    def outages(self, tenant_id: str, since_ms: int) -> Sequence[rows.OutageRow]:
        table = schema.MIRRORS[rows.OutageRow].table
        query = select(*columns(rows.OutageRow)).where(
            table.c.tenant_id == tenant_id, table.c.until_ms > since_ms
        )
        return self._rows(rows.OutageRow, query.order_by(table.c.from_ms))

    def _newest(
        self, row: type[Any], by: str, limit: int | None, *extra: ColumnElement[bool], **key: object
    ) -> list[Any]:
        table = schema.MIRRORS[row].table
        query = select(*columns(row)).where(*(table.c[name] == value for name, value in key.items()), *extra)
        return self._rows(row, query.order_by(table.c[by].desc()).limit(limit))


# Built once, because every sweep and every report of a node asks for these.
_TIMERS = schema.MIRRORS[rows.TimerRow].table
_DUE = (
    select(*columns(rows.TimerRow))
    .where(_TIMERS.c.tenant_id == bindparam("tenant_id"), _TIMERS.c.due_ms <= bindparam("now_ms"))
    .order_by(_TIMERS.c.due_ms)
    .limit(bindparam("at_most"))
)


@cache
def _orders(key: tuple[str, ...], *, open_only: bool) -> Select[Any]:
    table = schema.MIRRORS[rows.OrderRow].table
    query = select(*columns(rows.OrderRow)).where(*(table.c[name] == bindparam(name) for name in key))
    return (query.where(table.c.done_ms.is_(None)) if open_only else query).order_by(table.c.order_id)
