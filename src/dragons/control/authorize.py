"""Authorizing an action by the control plane: decided on the database, on the record either way."""

from __future__ import annotations

from typing import NamedTuple

from dragons.authority.decide import Deny
from dragons.control.caller import Caller
from dragons.control.denials import Refused, Subject, record_denial
from dragons.control.ports import Transaction
from dragons.control.rows import DecisionRow
from dragons.control.standing import about, judge, standing_of
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
    tx: Transaction, issuer: Signer, caller: Caller, session_id: str, action: str
) -> Authorized | Refused:
    """Allow one action of an open session now, or deny it. Both leave a receipt."""
    standing = standing_of(tx, caller.tenant_id, caller.instance_id)
    session = tx.session(caller.tenant_id, session_id)
    decided = judge(tx, standing, action, tx.now_ms)
    refused = Refused(*decided) if isinstance(decided, Deny) else None
    if session is None or session.instance_id != caller.instance_id or session.closed_ms is not None:
        refused = Refused(Reason.SESSION_CLOSED, session_id)
    elif len(tx.decisions(caller.tenant_id, session_id)) >= DECISIONS_OPEN_MAX:
        refused = Refused(Reason.SESSION_CLOSED, f"{DECISIONS_OPEN_MAX} actions await their receipts")
    if refused is not None:
        subject = Subject(caller.tenant_id, caller.instance_id, caller.instance_id, about(tx, standing))
        return record_denial(tx, issuer, subject, action, refused)
    body = Decision(
        decision_id=new_id(DECISION_PREFIX, tx.now_ms),
        tenant_id=caller.tenant_id,
        instance_id=caller.instance_id,
        lease_id=standing.lease.lease_id,
        epoch=standing.epoch,
        session_id=session_id,
        action=action,
        decided_at=format_time(tx.now_ms),
    )
    tx.put_decision(
        DecisionRow(caller.tenant_id, body.decision_id, session_id, caller.instance_id, action, tx.now_ms)
    )
    tx.append(
        caller.tenant_id,
        Kind.ACTION_AUTHORIZED,
        sign(DECISION, body, issuer),
        {**about(tx, standing), "session_id": session_id, "action": action},
    )
    return Authorized(body.decision_id)
