"""Appending work: an instance's signed claim becomes a receipt, exactly once.

A claim that arrives after its lease has ended is still evidence: it is accepted and marked `late`
when the work began under the lease, and refused, on the record, when it began after.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from dragons.authority.lease import BACKDATE_MS
from dragons.control.caller import Caller
from dragons.control.catalogue import risks
from dragons.control.denials import Refused, Subject, record_denial
from dragons.control.ports import About, Appended, Transaction
from dragons.control.progress import note_work
from dragons.control.rows import ReceiptRow
from dragons.control.standing import Ended, Standing, about, ended, standing_of
from dragons.control.statements import take_instance_statement
from dragons.control.steps import refuse_report, report_step
from dragons.core.clock import format_time, parse_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from dragons.core.hashing import sha256_hex
from dragons.core.ids import CLAIM as CLAIM_PREFIX
from dragons.core.ids import check_id
from dragons.core.keys import PublicKey, Signer
from dragons.core.statement import Envelope
from dragons.core.vocabulary import Kind, Outcome, Reason, Risk
from dragons.evidence.receipt import CLAIM, Claim

LATE_MS_MAX = 30 * 24 * 3600 * 1000
SKEW_MS_MAX = 5_000


class ClaimReceipt(NamedTuple):
    """The receipt of a claim; `known` when it had been appended before."""

    claim_id: str
    appended: Appended
    late: bool
    known: bool


class CheckedClaim(NamedTuple):
    """A claim whose signature by `key` held. Checked outside the writer, whose time is everybody's."""

    body: Claim
    statement: Envelope
    key: PublicKey


def check_claim(caller: Caller, statement: Envelope, key: PublicKey) -> CheckedClaim:
    """The claim when the caller's instance signed it with `key`; ForbiddenError otherwise."""
    return CheckedClaim(take_instance_statement(caller, statement, CLAIM, Claim, key), statement, key)


def append_claim(
    tx: Transaction, issuer: Signer, caller: Caller, claim: CheckedClaim
) -> ClaimReceipt | Refused:
    """The receipt for a claim, or why the work had no authority (on the record as a denial)."""
    standing = standing_of(tx, caller.tenant_id, caller.instance_id)
    body, statement, key = claim
    if key.raw != standing.instance.public_key:
        raise ForbiddenError("signature_invalid", "The claim was not signed by the instance's key.")
    known = tx.receipt_by_claim(caller.tenant_id, body.claim_id)
    if known is not None:
        return _again(known, body, statement)
    _check_form(tx, caller, body)
    over = ended(tx, standing, tx.now_ms)
    refused = _refuse(tx, standing, body, over) or refuse_report(tx, body)
    if refused is not None:
        subject = Subject(caller.tenant_id, caller.instance_id, caller.instance_id, about(tx, standing))
        return record_denial(tx, issuer, subject, "receipt", refused)
    if isinstance(body.decision_id, str) and _decided(tx, body):
        tx.drop_decision(caller.tenant_id, body.decision_id)
    header: About = {
        **about(tx, standing),
        "session_id": body.session_id,
        "action": body.action,
        "payload_hash": body.payload_hash,
        "evidence": body.evidence,
        "outcome": body.outcome,
    }
    late = over is not None
    if late:
        header["late"] = True
    if isinstance(body.corrects, str):
        header["corrects"] = body.corrects
    appended = tx.append(caller.tenant_id, Kind.WORK, statement, header, claim_id=body.claim_id)
    report_step(tx, standing.instance.agent, body, appended)
    if body.outcome is Outcome.COMPLETED and not late:
        note_work(tx, issuer, standing.instance, body, appended)
    return ClaimReceipt(body.claim_id, appended, late, known=False)


def _again(known: ReceiptRow, body: Claim, statement: Envelope) -> ClaimReceipt:
    if known.statement != statement.payload:
        raise ConflictError("claim_reused", f"{body.claim_id} was used for another claim.")
    appended = Appended(known.receipt_id, known.seq, sha256_hex(known.header), format_time(known.issued_ms))
    return ClaimReceipt(body.claim_id, appended, late=b'"late":true' in known.header, known=True)


def _check_form(tx: Transaction, caller: Caller, body: Claim) -> None:
    check_id(CLAIM_PREFIX, body.claim_id)
    session = tx.session(caller.tenant_id, body.session_id)
    if session is None or session.instance_id != caller.instance_id:
        raise NotFoundError("session_missing", f"{body.session_id} is no session of this instance.")
    if session.closed_ms is not None and session.outcome != Outcome.ABANDONED.value:
        raise ConflictError(Reason.SESSION_CLOSED, f"{body.session_id} is closed: {session.outcome}.")
    if body.outcome is Outcome.ABANDONED:
        raise InvalidInputError("outcome_invalid", "Only the control plane abandons.")
    started_ms, ended_ms = parse_time(body.started_at), parse_time(body.ended_at)
    if started_ms > ended_ms or ended_ms > tx.now_ms + SKEW_MS_MAX:
        raise InvalidInputError(
            "time_implausible", "The claim's times are reversed or lie in the future.", fix="Set the clock."
        )
    if isinstance(body.corrects, str) and tx.receipt(caller.tenant_id, body.corrects) is None:
        raise NotFoundError("receipt_missing", f"{body.corrects} can't be corrected: it does not exist.")


def _refuse(tx: Transaction, standing: Standing, body: Claim, over: Ended | None) -> Refused | None:
    lease, instance = standing.lease, standing.instance
    if body.lease_id != lease.lease_id:
        return Refused(Reason.LEASE_MISSING, body.lease_id)
    if body.epoch != instance.epoch:
        return Refused(Reason.EPOCH_STALE, f"epoch {body.epoch}")
    if over is not None and tx.now_ms - over.since_ms > LATE_MS_MAX:
        return Refused(over.reason, "it came too late")
    if body.outcome is Outcome.DENIED:
        return None
    started_ms = parse_time(body.started_at)
    # The first lease's `not_before`: renewals move it on, but not the beginning of the authority.
    if started_ms < instance.started_ms - BACKDATE_MS:
        return Refused(Reason.LEASE_NOT_YET_VALID, lease.lease_id)
    if any(
        since <= started_ms < until for since, until in zip(lease.gaps[::2], lease.gaps[1::2], strict=True)
    ):
        return Refused(
            Reason.LEASE_EXPIRED, f"{body.action} began at {body.started_at}, before a late renewal"
        )
    if over is not None and started_ms >= over.since_ms:
        return Refused(over.reason, f"{body.action} began at {body.started_at}")
    if body.action not in lease.scope:
        return Refused(Reason.CAPABILITY_NOT_LEASED, body.action)
    risk = risks(tx, instance.tenant_id).get(body.action)
    if risk is None:
        return Refused(Reason.CAPABILITY_UNKNOWN, body.action)
    if risk is Risk.HIGH and not _decided(tx, body):
        return Refused(Reason.ONLINE_CHECK_REQUIRED, body.action)
    return None


def _decided(tx: Transaction, body: Claim) -> bool:
    if isinstance(body.decision_id, msgspec.UnsetType):
        return False
    found = {row.decision_id: row for row in tx.decisions(body.tenant_id, body.session_id)}
    decision = found.get(body.decision_id)
    return decision is not None and (decision.action, decision.instance_id, decision.step_key) == (
        body.action,
        body.instance_id,
        body.step_key if isinstance(body.step_key, str) else "",
    )
