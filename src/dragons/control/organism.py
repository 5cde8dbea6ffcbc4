"""Changes of organism state: the only place that writes them, each with its receipt."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from dragons.control.ports import Transaction
from dragons.control.rows import InstanceRow, SessionRow
from dragons.control.standing import Standing, about
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, NotFoundError
from dragons.core.keys import Signer
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind, OrganismState, Outcome
from dragons.evidence.receipt import ABANDONMENT, TRANSITION, Abandonment, Transition
from dragons.liveness.organism import may_follow


def change_state(
    tx: Transaction, issuer: Signer, instance: InstanceRow, after: OrganismState, reason: str
) -> InstanceRow:
    """Move an instance along the table, on the record; a stopped one leaves no open session behind."""
    if not may_follow(instance.state, after):
        raise ConflictError("transition_illegal", f"{instance.state} can't become {after}.")
    body = Transition(
        tenant_id=instance.tenant_id,
        instance_id=instance.instance_id,
        before=instance.state,
        after=after,
        reason=reason[:500],
        at=format_time(tx.now_ms),
    )
    changed = replace(
        instance,
        state=after,
        state_reason=reason,
        state_since_ms=tx.now_ms,
        stopped_ms=tx.now_ms if after is OrganismState.STOPPED else None,
    )
    tx.put_instance(changed)
    tx.append(
        instance.tenant_id,
        Kind.STATE_CHANGED,
        sign(TRANSITION, body, issuer),
        about(tx, _standing(tx, changed)),
    )
    if after is OrganismState.STOPPED:
        for session in tx.sessions(instance.tenant_id, instance_id=instance.instance_id, open_only=True):
            abandon(tx, issuer, changed, session, reason)
    return changed


def abandon(tx: Transaction, issuer: Signer, instance: InstanceRow, session: SessionRow, why: str) -> None:
    """End a session that its instance never ended: every authorized action, then the session itself."""
    abandon_actions(tx, issuer, instance, session, why)
    tx.append(
        session.tenant_id,
        Kind.SESSION_CLOSED,
        sign(ABANDONMENT, _ending(tx, session, why), issuer),
        {
            **about(tx, _standing(tx, instance)),
            "session_id": session.session_id,
            "outcome": Outcome.ABANDONED,
        },
    )
    tx.put_session(replace(session, closed_ms=tx.now_ms, outcome=Outcome.ABANDONED.value))


def abandon_actions(
    tx: Transaction, issuer: Signer, instance: InstanceRow, session: SessionRow, why: str
) -> None:
    """End every authorized action of a session that was never reported."""
    known = about(tx, _standing(tx, instance))
    ending = _ending(tx, session, why)
    for decision in tx.decisions(session.tenant_id, session.session_id):
        body = msgspec.structs.replace(ending, decision_id=decision.decision_id)
        tx.append(
            session.tenant_id, Kind.WORK, sign(ABANDONMENT, body, issuer),
            {**known, "session_id": session.session_id, "action": decision.action, "outcome": Outcome.ABANDONED},
        )  # fmt: skip
        tx.drop_decision(session.tenant_id, decision.decision_id)


def _ending(tx: Transaction, session: SessionRow, why: str) -> Abandonment:
    return Abandonment(
        tenant_id=session.tenant_id,
        instance_id=session.instance_id,
        session_id=session.session_id,
        why=why[:500],
        abandoned_at=format_time(tx.now_ms),
    )


def _standing(tx: Transaction, instance: InstanceRow) -> Standing:
    lease = tx.lease(instance.tenant_id, instance.lease_id)
    if lease is None:
        raise NotFoundError("lease_missing", f"{instance.lease_id} is not on the record.")
    return Standing(instance, lease, instance.epoch, None)
