"""The WorkLedger as the wire shows it: receipts with their proofs, sessions, the head of the log."""

from __future__ import annotations

import msgspec

from dragons.control.ports import Filter, Reader
from dragons.control.records import record_of
from dragons.control.rows import ReceiptRow, SessionRow
from dragons.core.clock import format_time
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.hashing import ZERO, sha256_hex
from dragons.evidence.checkpoint import parse_note
from dragons.evidence.merkle import consistency_proof, inclusion_proof, root_at
from dragons.wire.base import PAGE_MAX
from dragons.wire.evidence import (
    Consistency,
    LedgerView,
    Proof,
    ReceiptDetail,
    Receipts,
    ReceiptView,
    Sessions,
    SessionView,
)

EXHAUSTED = -1

_decode = msgspec.json.Decoder().decode


def receipts(reader: Reader, tenant_id: str, wanted: Filter) -> Receipts:
    """A page; `next_after` is where the next one begins."""
    rows = reader.receipts(tenant_id, wanted)
    more = len(rows) == wanted.limit
    return Receipts(receipts=[receipt(row) for row in rows], next_after=rows[-1].seq if more else EXHAUSTED)


def receipt(row: ReceiptRow) -> ReceiptView:
    """A receipt at a glance."""
    return ReceiptView(
        receipt_id=row.receipt_id,
        seq=row.seq,
        kind=row.kind,
        issued_at=format_time(row.issued_ms),
        chain_root=sha256_hex(row.header),
        header=_decode(row.header),
    )


def receipt_detail(reader: Reader, tenant_id: str, receipt_id: str) -> ReceiptDetail | None:
    """A receipt with its proof, None when no checkpoint covers it yet."""
    row = reader.receipt(tenant_id, receipt_id)
    if row is None:
        raise NotFoundError("receipt_missing", f"There is no receipt {receipt_id}.")
    note = reader.checkpoint(tenant_id)
    size = 0 if note is None else parse_note(note).checkpoint.size
    if note is None or size <= row.seq:
        return None
    path = inclusion_proof(row.seq, size, lambda level, index: reader.node(tenant_id, level, index))
    return ReceiptDetail(
        view=receipt(row),
        record=record_of(row),
        statement=_decode(row.statement),
        proof=Proof(leaf_hash=row.leaf_hash.hex(), path=[node.hex() for node in path], checkpoint=note),
    )


def ledger(reader: Reader, tenant_id: str) -> LedgerView:
    """The head: how many receipts, their root, the newest checkpoint."""
    size = reader.tree_size(tenant_id)
    last = reader.receipt_at(tenant_id, size - 1) if size else None
    return LedgerView(
        tenant_id=tenant_id,
        size=size,
        root=root_at(size, lambda level, index: reader.node(tenant_id, level, index)).hex(),
        chain_root=ZERO if last is None else sha256_hex(last.header),
        checkpoint=reader.checkpoint(tenant_id) or "",
        revocations=reader.revocation_count(tenant_id),
    )


def consistency(reader: Reader, tenant_id: str, first: int, second: int) -> Consistency:
    """That the log of `first` receipts is the beginning of the one of `second`."""
    size = reader.tree_size(tenant_id)
    if first > second:
        raise InvalidInputError("consistency_range", "`first` is not larger than `second`.")
    if second > size:
        raise NotFoundError("receipts_missing", f"The ledger has {size} receipts, not {second}.")
    proof = consistency_proof(first, second, lambda level, index: reader.node(tenant_id, level, index))
    return Consistency(first=first, second=second, proof=[node.hex() for node in proof])


def sessions(reader: Reader, tenant_id: str, agent: str | None, *, open_only: bool) -> Sessions:
    """The newest sessions, up to a page."""
    rows = [
        row for row in reader.sessions(tenant_id, open_only=open_only) if agent is None or row.agent == agent
    ]
    return Sessions(sessions=[_session(reader, row) for row in rows[:PAGE_MAX]])


def session(reader: Reader, tenant_id: str, session_id: str) -> SessionView:
    """One session; NotFoundError when the tenant has none of this id."""
    row = reader.session(tenant_id, session_id)
    if row is None:
        raise NotFoundError("session_missing", f"There is no session {session_id}.")
    return _session(reader, row)


def _session(reader: Reader, row: SessionRow) -> SessionView:
    wanted = Filter(session_id=row.session_id, limit=1, newest_first=True)
    last = next(iter(reader.receipts(row.tenant_id, wanted)), None)
    count = 0 if last is None or last.session_position is None else last.session_position + 1
    return SessionView(
        session_id=row.session_id,
        agent=row.agent,
        instance_id=row.instance_id,
        lease_id=row.lease_id,
        opened_at=format_time(row.opened_ms),
        closed_at="" if row.closed_ms is None else format_time(row.closed_ms),
        outcome=row.outcome,
        receipts=count,
        status="open" if row.closed_ms is None else "closed",
    )
