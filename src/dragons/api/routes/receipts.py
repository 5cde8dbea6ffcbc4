"""Receipts: appending work, and reading the WorkLedger."""

from __future__ import annotations

from dragons.api import ledger_views
from dragons.api.answers import recorded
from dragons.api.backend import sign_checkpoint
from dragons.api.operation import Call, Operation
from dragons.api.query import ReceiptQuery
from dragons.control.append import CheckedClaim, append_claim, check_claim
from dragons.control.caller import Caller
from dragons.control.denials import Refused
from dragons.control.ports import Filter, Reader, Transaction
from dragons.core.errors import DragonsError, StorageError
from dragons.core.keys import PublicKey, Signer
from dragons.core.statement import Envelope
from dragons.wire.base import Empty
from dragons.wire.evidence import ClaimResult, ClaimResults, Claims, ReceiptDetail, Receipts
from dragons.wire.remedies import REMEDIES, remedy_of


async def append(call: Call[Claims]) -> ClaimResults:
    """Append claims in order; each is answered for itself, with its receipt or the reason against it."""
    claims, caller = call.input.claims, call.caller
    issuer = call.backend.keyring.issuer(caller.tenant_id)
    key = call.instance_key()
    checked = [_check_one(caller, claim, key) for claim in claims]
    results = await call.write(lambda tx: [_append_one(tx, issuer, caller, claim) for claim in checked])
    return ClaimResults(results=results)


def _check_one(caller: Caller, claim: Envelope, key: PublicKey) -> CheckedClaim | ClaimResult:
    try:
        return check_claim(caller, claim, key)
    except DragonsError as error:
        return _refused(error)


def _append_one(
    tx: Transaction, issuer: Signer, caller: Caller, claim: CheckedClaim | ClaimResult
) -> ClaimResult:
    if isinstance(claim, ClaimResult):
        return claim
    try:
        outcome = append_claim(tx, issuer, caller, claim)
    except StorageError:
        raise
    except DragonsError as error:
        # The use case checks everything before it writes anything: the others are not touched.
        return _refused(error)
    if isinstance(outcome, Refused):
        reason = outcome.reason.value
        return ClaimResult(code=reason, detail=outcome.detail, fix=REMEDIES[reason])
    return ClaimResult(claim_id=outcome.claim_id, receipt=recorded(outcome.appended), late=outcome.late)


def _refused(error: DragonsError) -> ClaimResult:
    return ClaimResult(code=error.code, detail=error.message, fix=remedy_of(error))


async def list_receipts(call: Call[ReceiptQuery]) -> Receipts:
    """A page of the ledger: after a seq in order, or before it with `newest`."""
    wanted = call.input
    chosen = Filter(
        after=wanted.after,
        limit=wanted.limit,
        agent=wanted.agent or None,
        session_id=wanted.session_id or None,
        kind=wanted.kind or None,
        newest_first=wanted.newest,
    )
    return await call.read(lambda reader: ledger_views.receipts(reader, call.caller.tenant_id, chosen))


async def show(call: Call[Empty]) -> ReceiptDetail:
    """One receipt with the statement it carries and its proof of inclusion."""
    receipt_id, tenant_id = call.path["receipt_id"], call.caller.tenant_id

    def look(reader: Reader) -> ReceiptDetail | None:
        return ledger_views.receipt_detail(reader, tenant_id, receipt_id)

    found = await call.read(look)
    if found is None:
        await sign_checkpoint(call.backend, tenant_id)
        found = await call.read(look)
    if found is None:
        raise StorageError("checkpoint_missing", "No checkpoint covers the receipt.")
    return found


OPERATIONS = (
    Operation("receipts.append", "POST", "/v1/receipts", append, Claims, ClaimResults),
    Operation("receipts.list", "GET", "/v1/receipts", list_receipts, ReceiptQuery, Receipts),
    Operation("receipts.show", "GET", "/v1/receipts/{receipt_id}", show, answer=ReceiptDetail),
)
