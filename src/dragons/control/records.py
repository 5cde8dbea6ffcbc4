"""Stored receipts back in the form that was signed and hashed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from dragons.control.rows import ReceiptRow
from dragons.core.statement import Envelope, Signature, payload_type
from dragons.evidence.receipt import RECEIPT, Record

_TYPE = payload_type(RECEIPT)
_signatures: Callable[[bytes], list[Signature]] = msgspec.json.Decoder(list[Signature]).decode


def record_of(row: ReceiptRow) -> Record:
    """The record whose canonical bytes are the leaf of the Merkle log."""
    return Record(
        header=Envelope(
            payload=row.header,
            payloadType=_TYPE,
            signatures=[Signature(keyid=row.ledger_key_id, sig=row.header_signature)],
        ),
        statement=Envelope(
            payload=row.statement,
            payloadType=row.statement_type,
            signatures=_signatures(row.statement_signatures),
        ),
    )
