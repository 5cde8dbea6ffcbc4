"""Dispatches: work that an operator ordered and that goes on, instance after instance, until it is done."""

from __future__ import annotations

from msgspec.structs import replace

from dragons.control.caller import Caller
from dragons.control.messages import QUARANTINED, enqueue
from dragons.control.orders import (
    FAILED,
    Start,
    close_order,
    order_start,
    withdraw_starts,
)
from dragons.control.policies import policy_of
from dragons.control.ports import About, Appended, Transaction
from dragons.control.rows import DispatchRow, OrderRow
from dragons.control.statements import check_date, take_operator_statement
from dragons.core.canonical import encode
from dragons.core.capability import check_scope_form
from dragons.core.clock import format_time, parse_time
from dragons.core.errors import ConflictError, NotFoundError
from dragons.core.ids import DISPATCH, check_id
from dragons.core.keys import Signer
from dragons.core.statement import Envelope, sign
from dragons.core.vocabulary import Kind, Reason
from dragons.evidence.receipt import DISPATCH_END, DispatchEnd
from dragons.liveness.dispatch import DISPATCH_ORDER, Dispatch
from dragons.liveness.organism import recent_restarts
from dragons.liveness.policy import backoff_ms

OPEN, HELD = "open", "held"


def create_dispatch(tx: Transaction, issuer: Signer, caller: Caller, statement: Envelope) -> Appended:
    """Record an operator's order and have the first instance started."""
    body, _ = take_operator_statement(tx, caller, statement, DISPATCH_ORDER, Dispatch)
    check_id(DISPATCH, body.dispatch_id)
    check_scope_form(body.scope)
    check_date("created_at", parse_time(body.created_at), tx.now_ms)
    if not tx.versions(caller.tenant_id, body.agent):
        raise NotFoundError(
            "agent_missing",
            f"{body.agent} has no version on the record.",
            fix="Register its manifest first: dragons manifests register DIR --activate",
        )
    if tx.dispatch(caller.tenant_id, body.dispatch_id) or tx.epoch(caller.tenant_id, body.dispatch_id):
        raise ConflictError("dispatch_exists", f"{body.dispatch_id} was ordered already.")
    if tx.hold(caller.tenant_id, body.agent) is not None:
        raise ConflictError(
            Reason.ORGANISM_QUARANTINED,
            f"{body.agent} is quarantined: nothing of it is dispatched.",
            fix=f"Release it with `dragons agents release {body.agent} --reason …`.",
        )
    row = DispatchRow(
        tenant_id=caller.tenant_id,
        dispatch_id=body.dispatch_id,
        agent=body.agent,
        dispatcher=body.dispatcher,
        target=body.target,
        statement=encode(statement),
        state=OPEN,
        state_reason="ordered",
        created_ms=tx.now_ms,
    )
    tx.put_dispatch(row)
    appended = tx.append(caller.tenant_id, Kind.DISPATCH_ORDERED, statement, About(agent=body.agent))
    order_start(tx, issuer, row, Start(tx.now_ms, "ordered by an operator"))
    return appended


def end_dispatch(tx: Transaction, issuer: Signer, dispatch: DispatchRow, outcome: str, reason: str) -> None:
    """A dispatch is over: nothing more is started. `outcome` is completed, failed or cancelled."""
    withdraw_starts(tx, dispatch, "the dispatch is over")
    tx.put_dispatch(replace(dispatch, state=outcome, state_reason=reason, ended_ms=tx.now_ms))
    body = DispatchEnd(
        tenant_id=dispatch.tenant_id,
        dispatch_id=dispatch.dispatch_id,
        agent=dispatch.agent,
        outcome=outcome,
        reason=reason[:500],
        at=format_time(tx.now_ms),
    )
    tx.append(
        dispatch.tenant_id, Kind.DISPATCH_ENDED, sign(DISPATCH_END, body, issuer), About(agent=dispatch.agent)
    )


def start_failed(tx: Transaction, issuer: Signer, order: OrderRow, detail: str) -> None:
    """A start of a dispatch without an instance in healing did not come about: try again, or hold it."""
    close_order(tx, order, FAILED, detail)
    dispatch = tx.dispatch(order.tenant_id, order.dispatch_id)
    if dispatch is None or dispatch.state != OPEN:
        return
    policy = policy_of(tx, dispatch.tenant_id, dispatch.agent)
    recent = recent_restarts(dispatch.restarts, policy, tx.now_ms)
    if recent >= policy.restarts_max:
        hold_dispatch(tx, dispatch, f"it could not be started {recent + 1} times; the last: {detail}")
        return
    dispatch = replace(dispatch, restarts=(*dispatch.restarts, tx.now_ms))
    tx.put_dispatch(dispatch)
    # The first try of a dispatch that never ran is no restart, so every further one waits.
    wait_ms = backoff_ms(policy, recent + 1)
    _start_after(tx, issuer, dispatch, tx.now_ms + wait_ms, detail)


def hold_dispatch(tx: Transaction, dispatch: DispatchRow, reason: str) -> None:
    """Let nothing of a dispatch be started until an operator releases it, and tell a person."""
    set_held(tx, dispatch, reason)
    facts = {
        "agent": dispatch.agent,
        "dispatch_id": dispatch.dispatch_id,
        "state": HELD,
        "reason": reason,
        "at": format_time(tx.now_ms),
        "restarts": len(dispatch.restarts),
    }
    enqueue(tx, dispatch.tenant_id, QUARANTINED, facts)


def set_held(tx: Transaction, dispatch: DispatchRow, reason: str) -> None:
    """Let nothing of a dispatch be started until an operator releases it."""
    withdraw_starts(tx, dispatch, reason)
    tx.put_dispatch(replace(dispatch, state=HELD, state_reason=reason))


def release_dispatch(tx: Transaction, issuer: Signer, dispatch: DispatchRow, reason: str) -> None:
    """Let a held dispatch go on, from a clean count of restarts."""
    dispatch = replace(dispatch, state=OPEN, state_reason="released by an operator", restarts=())
    tx.put_dispatch(dispatch)
    _start_after(tx, issuer, dispatch, tx.now_ms, reason)


def _start_after(
    tx: Transaction, issuer: Signer, dispatch: DispatchRow, not_before_ms: int, why: str
) -> None:
    """Order the next instance after the latest one, which may still be waiting for its fence."""
    known = tx.instances(dispatch.tenant_id, dispatch_id=dispatch.dispatch_id)
    latest = max(known, key=lambda one: one.epoch, default=None)
    if latest is not None and not latest.dead:
        not_before_ms = max(not_before_ms, latest.fence_ms)
    order_start(tx, issuer, dispatch, Start(not_before_ms, why, latest))
