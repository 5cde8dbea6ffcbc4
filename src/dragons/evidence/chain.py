"""The chain of one tenant's receipts: heads, and the sealing of the next receipt onto them.

`seal` is the only maker of receipts. It never reads a clock or a store: the caller gives both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from dragons.core.canonical import encode
from dragons.core.hashing import ZERO, sha256_hex
from dragons.core.keys import Signer
from dragons.core.statement import Envelope, Signature, pae, payload_type
from dragons.core.vocabulary import Kind
from dragons.evidence.merkle import Node, Range, leaf_hash
from dragons.evidence.receipt import RECEIPT, Header, Record

_TYPE = payload_type(RECEIPT)

REVOCATION_KINDS = frozenset({Kind.KEY_REVOKED, Kind.REVOKED})


@dataclass(slots=True)
class Head:
    """Where a tenant's ledger ends: the next seq, the last chain_root and time, and the tree."""

    next_seq: int = 0
    chain_root: str = ZERO
    issued_at: str = ""
    revocations: int = 0
    tree: Range = field(default_factory=Range)


class Sealed(NamedTuple):
    """A receipt that was made but is not yet durable."""

    header: Header
    header_bytes: bytes
    record: Record
    chain_root: str
    leaf: bytes
    completed: list[Node]


def seal(head: Head, header: Header, statement: Envelope, ledger: Signer) -> Sealed:
    """Sign `header` and move `head` past it; ValueError when the header doesn't continue the head."""
    if header.seq != head.next_seq or header.parent_root != head.chain_root:
        msg = f"receipt {header.seq} does not continue the ledger at {head.next_seq}"
        raise ValueError(msg)
    data = encode(header)
    signature = Signature(keyid=ledger.key_id, sig=ledger.sign(pae(_TYPE, data)))
    record = Record(
        header=Envelope(payload=data, payloadType=_TYPE, signatures=[signature]), statement=statement
    )
    leaf = leaf_hash(record.leaf())
    completed: list[Node] = []
    head.tree.append(leaf, completed.append)
    head.next_seq += 1
    head.chain_root = sha256_hex(data)
    head.issued_at = header.issued_at
    if not isinstance(header.revocation_seq, msgspec.UnsetType):
        head.revocations = header.revocation_seq + 1
    return Sealed(header, data, record, head.chain_root, leaf, completed)
