"""Sessions, receipts, ledger and packs on the wire."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from dragons.core.statement import Envelope
from dragons.evidence.receipt import Record
from dragons.wire.base import BATCH_MAX, Recorded, Request, Response


class Claims(Request):
    """Up to `BATCH_MAX` claims, appended in order; a claim that is known already is answered as before."""

    claims: Annotated[list[Envelope], msgspec.Meta(min_length=1, max_length=BATCH_MAX)]


class ClaimResult(Response):
    """Either the receipt or the reason against it; `late` when the lease had ended before the receipt."""

    claim_id: str = ""
    receipt: Recorded | None = None
    late: bool = False
    code: str = ""
    detail: str = ""
    fix: str = ""


class ClaimResults(Response):
    results: list[ClaimResult]


class ReceiptView(Response):
    """A receipt at a glance; `header` is the signed header as JSON."""

    receipt_id: str
    seq: int
    kind: str
    issued_at: str
    chain_root: str
    header: dict[str, Any]


class Receipts(Response):
    """`next_after` continues the listing; -1 when it is exhausted."""

    receipts: list[ReceiptView]
    next_after: int


class Proof(Response):
    """RFC 6962 inclusion of leaf `seq` in the tree of the checkpoint."""

    leaf_hash: str
    path: list[str]
    checkpoint: str


class ReceiptDetail(Response):
    view: ReceiptView
    record: Record
    statement: dict[str, Any]
    proof: Proof


class SessionView(Response):
    session_id: str
    agent: str
    instance_id: str
    lease_id: str
    opened_at: str
    closed_at: str
    outcome: str
    receipts: int
    status: str


class Sessions(Response):
    sessions: list[SessionView]


class SessionOpened(Response):
    session_id: str
    receipt: Recorded


class LedgerView(Response):
    tenant_id: str
    size: int
    root: str
    chain_root: str
    checkpoint: str
    revocations: int


class Consistency(Response):
    first: int
    second: int
    proof: list[str]


class PackRequest(Request):
    """One of: a session, an agent, neither (the whole ledger or a window); times are RFC 3339."""

    session_id: str = ""
    agent: str = ""
    since: str = ""
    until: str = ""


class Fsck(Response):
    """What re-verifying the store found; `damage` is empty when it is sound."""

    receipts: int
    sound: bool
    damage: list[str]
