"""Re-verifying a store: every receipt, its chain, signature, leaf and place, the Merkle nodes, what follows.

Explains damage by its first place and kind. Reads only; repairs nothing, because a ledger that can
be repaired can be rewritten.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from dragons.control.derived import Derived
from dragons.control.ports import LEVELS_PER_STORED, Filter, Reader
from dragons.control.records import record_of
from dragons.control.rows import ReceiptRow
from dragons.core.canonical import decode
from dragons.core.clock import parse_time
from dragons.core.errors import DragonsError, NotFoundError, StorageError
from dragons.core.hashing import ZERO, sha256_hex
from dragons.core.keys import PublicKey
from dragons.core.statement import is_signed_by, payload_type
from dragons.core.vocabulary import Kind
from dragons.evidence.checkpoint import verify_checkpoint
from dragons.evidence.merkle import Node, Range, leaf_hash
from dragons.evidence.receipt import CLAIM, Claim, Header, Record

DAMAGE_MAX = 50
_PROGRESS_EVERY = 1_000
_CLAIM_TYPE = payload_type(CLAIM)
_LEVEL_MAX = 64


@dataclass(slots=True)
class Findings:
    """What a check found; `damage` has at most `DAMAGE_MAX` lines."""

    receipts: int = 0
    damage: list[str] = field(default_factory=list)
    _agents: dict[str, int] = field(default_factory=dict)
    _sessions: dict[str, int] = field(default_factory=dict)

    def add(self, line: str) -> None:
        """Note one piece of damage."""
        if len(self.damage) < DAMAGE_MAX:
            self.damage.append(line)


def fsck(reader: Reader, tenant_id: str, progress: Callable[[int], None] | None = None) -> Findings:
    """Check the tenant's whole ledger; `progress` hears the receipts checked so far."""
    findings = Findings()
    for fault in reader.storage_faults():
        findings.add(f"the database itself: {fault}")
    if findings.damage:
        # What is read from broken pages or by a broken index says nothing about the ledger.
        return findings
    if reader.tenant(tenant_id) is None:
        raise NotFoundError("tenant_missing", f"There is no tenant {tenant_id} in this store.")
    keys = _ledger_keys(reader, tenant_id, findings)
    wanted = _checkpoints(reader, tenant_id, keys, findings)
    walk = _Walk(reader, tenant_id, keys, findings)
    for row in reader.iter_receipts(tenant_id, Filter()):
        if not walk.take(row):
            return findings
        if walk.tree.end in wanted:
            walk.roots[walk.tree.end] = walk.tree.root()
        if progress is not None and findings.receipts % _PROGRESS_EVERY == 0:
            progress(findings.receipts)
    _check_end(walk, wanted)
    for line in walk.derived.differences(reader, tenant_id):
        findings.add(line)
    return findings


class _Walk:
    """The receipts in order: chain, tree and counts as they must be after each of them."""

    def __init__(
        self, reader: Reader, tenant_id: str, keys: dict[str, PublicKey], findings: Findings
    ) -> None:
        self.reader = reader
        self.tenant_id = tenant_id
        self.findings = findings
        self.tree = Range()
        self.roots: dict[int, bytes] = {}
        self.derived = Derived()
        self.keys = keys
        self.parent = ZERO

    def take(self, row: ReceiptRow) -> bool:
        """Check the next receipt; False when nothing can be said about those behind it."""
        findings = self.findings
        if row.seq != findings.receipts:
            findings.add(f"receipt {findings.receipts} is missing: the next stored one is {row.seq}")
            return False
        if not _is_readable(row):
            findings.add(f"receipt {row.seq}: a column holds a value of another type")
            return False
        try:
            record = record_of(row)
        except msgspec.DecodeError:
            findings.add(f"receipt {row.seq}: the signatures of its statement are unreadable")
            return False
        _check(self, row, record)
        self.parent = sha256_hex(row.header)
        self.tree.append(leaf_hash(record.leaf()), self._compare)
        findings.receipts += 1
        return True

    def _compare(self, node: Node) -> None:
        # What lies below or between is computed from stored hashes, which are checked themselves.
        if node.level % LEVELS_PER_STORED:
            return
        try:
            if self.reader.node(self.tenant_id, node.level, node.offset) != node.hash:
                self.findings.add(f"the stored Merkle node ({node.level}, {node.offset}) is wrong")
        except DragonsError as error:
            self.findings.add(error.message)


def _check_end(walk: _Walk, wanted: dict[int, bytes]) -> None:
    end, findings = walk.tree.end, walk.findings
    if end == 0:
        findings.add("the tenant exists, but its ledger is empty")
    for size, root in wanted.items():
        if size > end:
            findings.add(f"a signed checkpoint of size {size} exists, but the ledger ends at {end}")
        elif walk.roots.get(size, walk.tree.root()) != root:
            findings.add(f"the first {size} receipts are not those of the signed checkpoint")
    for level in range(LEVELS_PER_STORED, _LEVEL_MAX, LEVELS_PER_STORED):
        # Not complete yet, so nobody has stored it, unless the ledger was longer.
        with suppress(StorageError):
            walk.reader.node(walk.tenant_id, level, end >> level)
            findings.add(f"a Merkle node ({level}, {end >> level}) is stored, but the ledger ends at {end}")


def _is_readable(row: ReceiptRow) -> bool:
    # SQLite takes any value in any column.
    blobs = (row.header, row.header_signature, row.statement, row.statement_signatures, row.leaf_hash)
    words = (row.receipt_id, row.kind, row.ledger_key_id, row.statement_type)
    return (
        all(isinstance(one, bytes) for one in blobs)
        and all(isinstance(one, str) for one in words)
        and isinstance(row.issued_ms, int)
    )


def _ledger_keys(reader: Reader, tenant_id: str, findings: Findings) -> dict[str, PublicKey]:
    keys = {}
    for row in reader.keys(tenant_id):
        if row.role == "ledger":
            try:
                keys[row.key_id] = PublicKey(row.public_key)
            except DragonsError as error:
                findings.add(f"the ledger key {row.key_id}: {error.message}")
    return keys


def _check(walk: _Walk, row: ReceiptRow, record: Record) -> None:
    findings = walk.findings
    at = f"receipt {row.seq}"
    try:
        header = decode(Header, row.header)
        issued_ms = parse_time(header.issued_at)
    except DragonsError as error:
        findings.add(f"{at}: {error.message}")
        return
    walk.derived.note(row, header)
    if header.parent_root != walk.parent:
        findings.add(f"{at}: parent_root is not the chain_root of receipt {row.seq - 1}")
    if header.statement_hash != sha256_hex(row.statement):
        findings.add(f"{at}: its statement was altered")
    key = walk.keys.get(row.ledger_key_id)
    if key is None or not is_signed_by(record.header, row.ledger_key_id, key):
        findings.add(f"{at}: the ledger's signature does not hold")
    if leaf_hash(record.leaf()) != row.leaf_hash:
        findings.add(f"{at}: the stored leaf hash is wrong")
    stored = (row.seq, row.tenant_id, row.receipt_id, row.kind, row.issued_ms)
    signed = (
        header.seq,
        header.tenant_id,
        header.receipt_id,
        header.kind.value,
        issued_ms,
    )
    if stored != signed or not _columns_hold(row, header, findings):
        findings.add(f"{at}: the columns it is found by differ from its signed header")


def _columns_hold(row: ReceiptRow, header: Header, findings: Findings) -> bool:
    agent = header.agent.partition("@")[0] if isinstance(header.agent, str) else None
    session = header.session_id if isinstance(header.session_id, str) else None
    if (row.agent, row.session_id, row.claim_id) != (agent, session, _claim_id(row)):
        return False
    for name, position, stored, seen in (
        (agent, header.agent_seq, row.agent_seq, findings._agents),  # noqa: SLF001 - its own module
        (session, header.session_position, row.session_position, findings._sessions),  # noqa: SLF001
    ):
        if name is not None:
            if not position == stored == seen.get(name, 0):
                return False
            seen[name] = seen.get(name, 0) + 1
    return True


def _claim_id(row: ReceiptRow) -> str | None:
    if row.kind != Kind.WORK.value or row.statement_type != _CLAIM_TYPE:
        return None
    try:
        return decode(Claim, row.statement).claim_id
    except DragonsError:
        return None


def _checkpoints(
    reader: Reader, tenant_id: str, keys: dict[str, PublicKey], findings: Findings
) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for size in reader.checkpoint_sizes(tenant_id):
        note = reader.checkpoint(tenant_id, at_most=size) or ""
        try:
            signed = verify_checkpoint(note, tenant_id, list(keys.values()))
        except DragonsError as error:
            findings.add(f"the checkpoint of size {size}: {error.message}")
            continue
        if signed is None or signed.size != size:
            findings.add(f"the checkpoint of size {size} is not signed by a ledger key")
        else:
            found[size] = signed.root
    return found
