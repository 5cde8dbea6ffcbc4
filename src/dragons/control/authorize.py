"""Authorizing an action by the control plane: decided on the database, on the record either way."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from dragons.authority.decide import Deny
from dragons.control.caller import Caller
from dragons.control.denials import Refused, Subject, record_denial
from dragons.control.ports import Transaction
from dragons.control.rows import DecisionRow
from dragons.control.standing import Standing, about, judge, standing_of
from dragons.control.steps import AnsweredBefore, Asker, StepStands, StepWish, ask_step, begin_step
from dragons.core.clock import format_time
from dragons.core.ids import DECISION as DECISION_PREFIX
from dragons.core.ids import new_id
from dragons.core.keys import Signer
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind, Reason
from dragons.evidence.receipt import DECISION, Decision

# Authorized actions that await their receipt, per session.
DECISIONS_OPEN_MAX = 1_000


class Authorized(NamedTuple):
    """The action may begin; `decision_id` belongs into the claim that reports it."""

    decision_id: str


def authorize_action(
    tx: Transaction,
    issuer: Signer,
    caller: Caller,
    session_id: str,
    action: str,
    *,
    wish: StepWish | None = None,
) -> Authorized | Refused | StepStands:
    """Allow one action of an open session now, or deny it. Both leave a receipt.

    With `wish` the action is a step that happens once. One that is done already is answered with its
    receipt and leaves no other; a question that is asked again is answered as before.
    """
    standing = standing_of(tx, caller.tenant_id, caller.instance_id)
    refused = _refuse(tx, standing, session_id, action)
    asker = Asker(caller.tenant_id, standing.instance.agent, caller.instance_id, session_id, action)
    found = None if refused is not None or wish is None else ask_step(tx, asker, wish)
    if isinstance(found, AnsweredBefore):
        return Authorized(found.decision_id)
    if isinstance(found, StepStands) and found.refused is None:
        return found
    if isinstance(found, Refused | StepStands):
        refused = found if isinstance(found, Refused) else found.refused
    if refused is not None:
        subject = Subject(caller.tenant_id, caller.instance_id, caller.instance_id, about(tx, standing))
        record_denial(tx, issuer, subject, action, refused)
        return found if isinstance(found, StepStands) else refused
    decision_id = _decide(tx, issuer, standing, asker, wish)
    if wish is not None:
        begin_step(tx, asker, wish, decision_id, standing.epoch)
    return Authorized(decision_id)


def _refuse(tx: Transaction, standing: Standing, session_id: str, action: str) -> Refused | None:
    tenant_id = standing.instance.tenant_id
    session = tx.session(tenant_id, session_id)
    if (
        session is None
        or session.instance_id != standing.instance.instance_id
        or session.closed_ms is not None
    ):
        return Refused(Reason.SESSION_CLOSED, session_id)
    if len(tx.decisions(tenant_id, session_id)) >= DECISIONS_OPEN_MAX:
        return Refused(Reason.SESSION_CLOSED, f"{DECISIONS_OPEN_MAX} actions await their receipts")
    decided = judge(tx, standing, action, tx.now_ms)
    return Refused(*decided) if isinstance(decided, Deny) else None


def _decide(tx: Transaction, issuer: Signer, standing: Standing, asker: Asker, wish: StepWish | None) -> str:
    """Put an allowed action on the record; returns the decision's id."""
    body = Decision(
        decision_id=new_id(DECISION_PREFIX, tx.now_ms),
        tenant_id=asker.tenant_id,
        instance_id=asker.instance_id,
        lease_id=standing.lease.lease_id,
        epoch=standing.epoch,
        session_id=asker.session_id,
        action=asker.action,
        decided_at=format_time(tx.now_ms),
        step_key=msgspec.UNSET if wish is None else wish.step_key,
    )
    tx.put_decision(
        DecisionRow(
            tenant_id=asker.tenant_id,
            decision_id=body.decision_id,
            session_id=asker.session_id,
            instance_id=asker.instance_id,
            action=asker.action,
            decided_ms=tx.now_ms,
            step_key="" if wish is None else wish.step_key,
        )
    )
    tx.append(
        asker.tenant_id,
        Kind.ACTION_AUTHORIZED,
        sign(DECISION, body, issuer),
        {**about(tx, standing), "session_id": asker.session_id, "action": asker.action},
    )
    return body.decision_id
