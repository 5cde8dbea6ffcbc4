"""Orders to dispatchers: start the next instance of a dispatch, stop one. At most one start is open.

A start exists only when the instance before can't act any more, and carries the epoch that the new one
will have; a launch without such an order is refused. So whatever fails in between, two instances never
both hold authority for one dispatch.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from dragons.control.messages import enqueue
from dragons.control.policies import policy_of
from dragons.control.ports import About, Reader, Transaction
from dragons.control.rows import DispatchRow, InstanceRow, OrderRow, TimerRow
from dragons.core.canonical import encode
from dragons.core.clock import format_time
from dragons.core.ids import ORDER, new_id
from dragons.core.keys import Signer
from dragons.core.statement import parse_envelope, sign
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import REDISPATCH, Handover, Redispatch
from dragons.liveness.dispatch import DISPATCH_ORDER, PROCESS, WEBHOOK, Dispatch

ORDER_TIMER = "order"
START, STOP = "start", "stop"
DONE, FAILED, SUPERSEDED = "done", "failed", "superseded"


class Start(NamedTuple):
    """A start that is wanted: when, why, and after which instance."""

    not_before_ms: int
    reason: str
    previous: InstanceRow | None = None


def order_start(tx: Transaction, issuer: Signer, dispatch: DispatchRow, start: Start) -> OrderRow:
    """Order the next instance of `dispatch`, on the record; an open start before it is superseded."""
    tenant_id = dispatch.tenant_id
    withdraw_starts(tx, dispatch, "a newer start was ordered")
    handover = None if start.previous is None else handover_of(tx, start.previous)
    order = OrderRow(
        tenant_id=tenant_id,
        order_id=new_id(ORDER, tx.now_ms),
        dispatch_id=dispatch.dispatch_id,
        agent=dispatch.agent,
        kind=START,
        epoch=tx.epoch(tenant_id, dispatch.dispatch_id) + 1,
        dispatcher=dispatch.dispatcher,
        target=dispatch.target,
        instance_id="",
        due_ms=start.not_before_ms,
        created_ms=tx.now_ms,
        handover=b"" if handover is None else encode(handover),
    )
    tx.put_order(order)
    patience_ms = policy_of(tx, tenant_id, dispatch.agent).heal_timeout_ms
    tx.put_timer(TimerRow(tenant_id, ORDER_TIMER, order.order_id, start.not_before_ms + patience_ms))
    body = Redispatch(
        tenant_id=tenant_id,
        order_id=order.order_id,
        dispatch_id=order.dispatch_id,
        agent=dispatch.agent,
        epoch=order.epoch,
        reason=start.reason[:500],
        fenced_by=_fenced_by(tx, start.previous),
        not_before=format_time(start.not_before_ms),
        at=format_time(tx.now_ms),
        handover=msgspec.UNSET if handover is None else handover,
    )
    tx.append(
        tenant_id,
        Kind.REDISPATCHED,
        sign(REDISPATCH, body, issuer),
        About(agent=dispatch.agent, epoch=order.epoch),
    )
    if order.dispatcher == WEBHOOK:
        facts = _facts(order, dispatch, start.reason)
        enqueue(tx, tenant_id, "order", facts, channel=order.target, due_ms=order.due_ms)
    return order


def order_stop(tx: Transaction, dispatch: DispatchRow, instance: InstanceRow) -> None:
    """Have an instance's program ended where it runs. That it lost its authority does not depend on this."""
    waiting = tx.orders(dispatch.tenant_id, dispatch_id=dispatch.dispatch_id)
    if any(one.kind == STOP and one.instance_id == instance.instance_id for one in waiting):
        return
    order = OrderRow(
        tenant_id=dispatch.tenant_id,
        order_id=new_id(ORDER, tx.now_ms),
        dispatch_id=dispatch.dispatch_id,
        agent=dispatch.agent,
        kind=STOP,
        epoch=instance.epoch,
        dispatcher=dispatch.dispatcher,
        target=instance.node or dispatch.target,
        instance_id=instance.instance_id,
        due_ms=tx.now_ms,
        created_ms=tx.now_ms,
    )
    tx.put_order(order)
    if order.dispatcher == WEBHOOK:
        facts = _facts(order, dispatch, instance.state_reason)
        enqueue(tx, dispatch.tenant_id, "order", facts, channel=dispatch.target)


def withdraw_starts(tx: Transaction, dispatch: DispatchRow, why: str) -> None:
    """Take back the start of `dispatch` that waits to be carried out, if there is one."""
    for order in tx.orders(dispatch.tenant_id, dispatch_id=dispatch.dispatch_id):
        if order.kind == START:
            close_order(tx, order, SUPERSEDED, why)


def open_start(tx: Transaction, dispatch: DispatchRow) -> OrderRow | None:
    """The start of `dispatch` that waits to be carried out."""
    waiting = tx.orders(dispatch.tenant_id, dispatch_id=dispatch.dispatch_id)
    return next((order for order in waiting if order.kind == START), None)


def close_order(tx: Transaction, order: OrderRow, outcome: str, detail: str) -> None:
    """An order is over."""
    tx.put_order(replace(order, done_ms=tx.now_ms, outcome=outcome, detail=detail[:500]))
    tx.drop_timer(order.tenant_id, ORDER_TIMER, order.order_id)


def take_orders(
    tx: Transaction, tenant_id: str, node: str, held: Collection[str] = (), limit: int = 100
) -> list[OrderRow]:
    """Orders for a node whose time has come, but for those that it says it holds.

    An answer that was lost, or given to a process that died, is so given again at once.
    """
    taken: list[OrderRow] = []
    for order in due_orders(tx, tenant_id, node, tx.now_ms, held)[:limit]:
        taken.append(replace(order, taken_ms=tx.now_ms))
        tx.put_order(taken[-1])
    return taken


def due_orders(
    reader: Reader, tenant_id: str, node: str, now_ms: int, held: Collection[str] = ()
) -> list[OrderRow]:
    """What a node has to carry out now, but for what it `held` already."""
    return [
        order
        for order in reader.orders(tenant_id, target=node)
        if order.dispatcher == PROCESS and order.due_ms <= now_ms and order.order_id not in held
    ]


def handover_of(tx: Transaction, instance: InstanceRow) -> Handover:
    """Where the work of an instance had got to, as far as it was verified."""
    made = Handover(
        instance_id=instance.instance_id, epoch=instance.epoch, progress_sequence=instance.progress_sequence
    )
    if instance.progress_ms is not None:
        made.progress_at = format_time(instance.progress_ms)
        made.progress_source = instance.progress_source
        if instance.progress_digest:
            made.progress_digest = instance.progress_digest
    sessions = tx.sessions(instance.tenant_id, instance_id=instance.instance_id, limit=1)
    if sessions:
        made.session_id = sessions[0].session_id
    if instance.last_work:
        made.receipt_id = instance.last_work
    return made


def _fenced_by(tx: Transaction, previous: InstanceRow | None) -> str:
    if previous is None:
        return "none"
    if previous.dead:
        return "death"
    lease = tx.lease(previous.tenant_id, previous.lease_id)
    return "expiry" if lease is not None and lease.expires_ms <= tx.now_ms else "staleness"


def _facts(order: OrderRow, dispatch: DispatchRow, reason: str) -> dict[str, object]:
    """What the receiver of a webhook needs: `dragons run --dispatch ID --epoch N` carries out a start.

    `spec_hash` says which command the operator meant, of those that the receiver keeps.
    """
    ordered = parse_envelope(dispatch.statement).body(DISPATCH_ORDER, Dispatch)
    facts: dict[str, object] = {
        "order_id": order.order_id,
        "kind": order.kind,
        "dispatch_id": order.dispatch_id,
        "agent": order.agent,
        "epoch": order.epoch,
        "not_before": format_time(order.due_ms),
        "reason": reason,
        "scope": ordered.scope,
        "ttl_seconds": ordered.ttl_seconds,
        "goal_hash": ordered.goal_hash,
        "spec_hash": ordered.spec_hash,
    }
    if order.instance_id:
        facts["instance_id"] = order.instance_id
    if order.handover:
        facts["handover"] = msgspec.json.decode(order.handover)
    return facts
