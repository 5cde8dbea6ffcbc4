"""Sessions: a goal is committed before execution begins, and every session ends on the record."""

from __future__ import annotations

from msgspec.structs import replace

from dragons.control.abandonment import abandon_actions
from dragons.control.append import LATE_MS_MAX
from dragons.control.caller import Caller
from dragons.control.denials import Refused, Subject, record_denial
from dragons.control.ports import About, Appended, Transaction
from dragons.control.rows import SessionRow
from dragons.control.standing import Standing, about, ended, standing_of
from dragons.control.statements import check_date, take_instance_statement
from dragons.core.capability import check_scope_form
from dragons.core.clock import parse_time
from dragons.core.errors import ConflictError, InvalidInputError, NotFoundError
from dragons.core.ids import SESSION as SESSION_PREFIX
from dragons.core.ids import check_id
from dragons.core.keys import PublicKey, Signer
from dragons.core.statement import Envelope
from dragons.core.vocabulary import Kind, Outcome, Reason
from dragons.evidence.receipt import CLOSING, SESSION, Closing, Session

SESSIONS_OPEN_MAX = 100


def open_session(tx: Transaction, issuer: Signer, caller: Caller, statement: Envelope) -> Appended | Refused:
    """Record a goal's commitment; refused when the instance has no authority or the scope is wider."""
    standing = standing_of(tx, caller.tenant_id, caller.instance_id)
    body = take_instance_statement(
        caller, statement, SESSION, Session, PublicKey(standing.instance.public_key)
    )
    check_id(SESSION_PREFIX, body.session_id)
    check_scope_form(body.scope)
    check_date("opened_at", parse_time(body.opened_at), tx.now_ms)
    lease = standing.lease
    refused = _refuse(standing, body)
    over = ended(tx, standing, tx.now_ms)
    refused = Refused(over.reason, lease.lease_id) if over is not None else refused
    if refused is not None:
        subject = Subject(caller.tenant_id, caller.instance_id, caller.instance_id, about(tx, standing))
        return record_denial(tx, issuer, subject, "session", refused)
    if tx.session(caller.tenant_id, body.session_id) is not None:
        raise ConflictError("session_exists", f"{body.session_id} was opened already.")
    if (
        len(tx.sessions(caller.tenant_id, instance_id=caller.instance_id, open_only=True))
        >= SESSIONS_OPEN_MAX
    ):
        raise ConflictError(
            "sessions_exhausted", f"An instance has at most {SESSIONS_OPEN_MAX} open sessions."
        )
    tx.put_session(
        SessionRow(
            caller.tenant_id,
            body.session_id,
            caller.instance_id,
            standing.instance.agent,
            lease.lease_id,
            tx.now_ms,
        )
    )
    return tx.append(
        caller.tenant_id,
        Kind.SESSION_OPENED,
        statement,
        {**about(tx, standing), "session_id": body.session_id, "payload_hash": body.payload_hash},
    )


def close_session(tx: Transaction, issuer: Signer, caller: Caller, statement: Envelope) -> Appended:
    """Record how a session ended. After the lease's end this is still accepted, marked late.

    An authorized action that was never reported ends as abandoned: no cycle stays open.
    """
    standing = standing_of(tx, caller.tenant_id, caller.instance_id)
    body = take_instance_statement(
        caller, statement, CLOSING, Closing, PublicKey(standing.instance.public_key)
    )
    # A closing may come late, so only its future is bounded.
    check_date("closed_at", max(parse_time(body.closed_at), tx.now_ms), tx.now_ms)
    session = tx.session(caller.tenant_id, body.session_id)
    if session is None or session.instance_id != caller.instance_id or body.lease_id != session.lease_id:
        raise NotFoundError("session_missing", f"{body.session_id} is no session of this instance.")
    if session.closed_ms is not None:
        raise ConflictError(Reason.SESSION_CLOSED, f"{body.session_id} is closed: {session.outcome}.")
    if body.outcome not in {Outcome.COMPLETED, Outcome.FAILED}:
        raise InvalidInputError("outcome_invalid", "A session closes as completed or failed.")
    over = ended(tx, standing, tx.now_ms)
    if over is not None and tx.now_ms - over.since_ms > LATE_MS_MAX:
        raise ConflictError(over.reason, "The session's lease ended too long ago.")
    why = "the session was closed before the action was reported"
    abandon_actions(tx, issuer, standing.instance, session, why)
    tx.put_session(replace(session, closed_ms=tx.now_ms, outcome=body.outcome.value))
    header: About = {
        **about(tx, standing),
        "session_id": body.session_id,
        "payload_hash": body.payload_hash,
        "evidence": body.evidence,
        "outcome": body.outcome,
    }
    if over is not None:
        header["late"] = True
    return tx.append(caller.tenant_id, Kind.SESSION_CLOSED, statement, header)


def _refuse(standing: Standing, body: Session) -> Refused | None:
    lease = standing.lease
    if body.lease_id != lease.lease_id:
        return Refused(Reason.LEASE_MISSING, body.lease_id)
    if body.epoch != standing.epoch:
        return Refused(Reason.EPOCH_STALE, f"epoch {body.epoch}")
    if extra := set(body.scope) - set(lease.scope) - set(lease.delegate_scope):
        return Refused(Reason.CAPABILITY_NOT_LEASED, ", ".join(sorted(extra)))
    return None
