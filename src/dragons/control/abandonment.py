"""Ending what an instance never ended: every started cycle ends in a receipt."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from dragons.control.ports import Transaction
from dragons.control.rows import InstanceRow, SessionRow
from dragons.control.standing import about, as_recorded
from dragons.core.clock import format_time
from dragons.core.keys import Signer
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind, Outcome
from dragons.evidence.receipt import ABANDONMENT, Abandonment


def abandon_sessions(tx: Transaction, issuer: Signer, instance: InstanceRow, why: str) -> None:
    """End every open session of an instance that has lost its authority for good."""
    for session in tx.sessions(instance.tenant_id, instance_id=instance.instance_id, open_only=True):
        abandon_actions(tx, issuer, instance, session, why)
        tx.append(
            session.tenant_id,
            Kind.SESSION_CLOSED,
            sign(ABANDONMENT, _ending(tx, session, why), issuer),
            {
                **about(tx, as_recorded(tx, instance)),
                "session_id": session.session_id,
                "outcome": Outcome.ABANDONED,
            },
        )
        tx.put_session(replace(session, closed_ms=tx.now_ms, outcome=Outcome.ABANDONED.value))


def abandon_actions(
    tx: Transaction, issuer: Signer, instance: InstanceRow, session: SessionRow, why: str
) -> None:
    """End every authorized action of a session that was never reported."""
    known = about(tx, as_recorded(tx, instance))
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
