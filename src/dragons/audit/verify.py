"""Verifying an evidence pack: one pass, bounded memory, no network, no database.

Steps, in order (numbers as in spec/verify.md):
 1. the pack's head parses; 2. every line is canonical and continues log and chain; 3. every
 statement is signed by whom its kind demands, along a path from the pinned root; 4. every header
 is signed by the ledger; 5. authority holds at each receipt's time; 6. the selection has no gap and
 ends where the signed pack statement says; 7. times are plausible; 8. payloads open their hashes;
 9. the Merkle root equals the signed checkpoint's; 10. witnesses cosigned it.

A pack without a pinned root, without a genesis or without receipts is never valid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from dragons.audit.closing import judge_end
from dragons.audit.governance import Governance
from dragons.audit.kinds import STATEMENTS
from dragons.audit.pack import PACK, Line, Pack, PackReader, open_pack, parse_line
from dragons.audit.sessions import Sessions
from dragons.audit.signatures import SignatureChecker, Task
from dragons.audit.trust import check_fingerprint
from dragons.audit.verdicts import Fault, Question, Report
from dragons.core.canonical import Document
from dragons.core.clock import parse_time
from dragons.core.errors import InvalidInputError
from dragons.core.hashing import ZERO, sha256_hex
from dragons.core.keys import KeyRole, role_of
from dragons.core.vocabulary import Kind
from dragons.evidence.checkpoint import Witness
from dragons.evidence.merkle import Node, Range, leaf_hash
from dragons.evidence.payload import Payload, opens
from dragons.evidence.receipt import (
    RECEIPT,
    Abandonment,
    Claim,
    Closing,
    Decision,
    Erasure,
    Header,
    Record,
    Session,
)

# How far an instance's clock may be ahead of the ledger's.
SKEW_MS_MAX = 5_000
Progress = Callable[[int], None]
_PROGRESS_EVERY = 1_000


def verify_file(  # noqa: PLR0913 - each is one thing a verifier may ask
    path: Path,
    pin: str,
    *,
    witnesses: list[Witness] | None = None,
    witnesses_required: int = 0,
    require_payloads: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Judge the pack at `path` against the pinned root fingerprint `pin` (64 hex digits).

    `progress` hears the number of receipts judged so far. InvalidInputError when the file is no
    pack at all or `pin` is no fingerprint; everything else is a verdict.
    """
    with open_pack(path) as reader:
        run = Verification(reader, check_fingerprint(pin), workers=workers)
        try:
            run.receipts(progress)
            judge_end(run, witnesses or [], witnesses_required, require_payloads=require_payloads)
        finally:
            run.checker.close()
        return run.report


class Verification:
    """One verification: the state that the pass carries from line to line."""

    def __init__(self, reader: PackReader, pin: str, *, workers: int | None) -> None:
        self.reader = reader
        self.report = Report(pinned=pin)
        self.governance = Governance(pin)
        self.sessions = Sessions()
        self.tree = Range()
        self.checker = SignatureChecker(self._bad_signature, workers=workers)
        self.pack = reader.head.statement.body(PACK, Pack)
        self.payloads = _PayloadCursor(reader.payloads())
        self.positions: list[int] = []
        self.position = -1
        self.revocations = 0
        self.withheld: dict[str, tuple[int, int]] = {}
        self.signed_by: dict[str, list[tuple[str, int, int]]] = {}
        self._previous = ("", -1, ZERO)
        report = self.report
        report.tenant_id, report.pack_id = self.pack.tenant_id, self.pack.pack_id
        report.selection = msgspec.to_builtins(self.pack.selection)
        report.tree_size, report.root = self.pack.tree_size, self.pack.root
        report.exported_at = self.pack.exported_at

    def receipts(self, progress: Progress | None) -> None:
        """Judge every line, then wait for the signatures."""
        report = self.report
        for data in self.reader.lines():
            index = report.receipts
            try:
                line = parse_line(data)
                if isinstance(line.record, msgspec.UnsetType):
                    self._gap(line, index)
                    continue
                self._receipt(line.record, index, selected=line.selected is True)
            except (InvalidInputError, ValueError) as error:
                self.fail(Question.INTEGRITY, Fault("malformed", str(error), index))
            report.receipts += 1
            if progress is not None and report.receipts % _PROGRESS_EVERY == 0:
                progress(report.receipts)
        self.checker.finish()
        if progress is not None:
            progress(report.receipts)

    def fail(self, question: Question, fault: Fault) -> None:
        self.report.fail(question, fault)

    def _gap(self, line: Line, index: int) -> None:
        assert not isinstance(line.gap, msgspec.UnsetType)  # noqa: S101 - parse_line saw to it
        for node in line.gap:
            try:
                self.tree.append_node(Node(node.level, node.index, node.hash))
            except ValueError as error:
                self.fail(Question.INTEGRITY, Fault("gap_misplaced", str(error), index))

    def _receipt(self, record: Record, index: int, *, selected: bool) -> None:
        header = record.header.body(RECEIPT, Header)
        chain_root = sha256_hex(record.header.payload)
        self._chain(header, chain_root, record, index)
        self._header_signature(record, header, index)
        body = self._statement(record, header, index)
        if body is None:
            return
        self._times(header, body, index)
        if not isinstance(header.revocation_seq, msgspec.UnsetType):
            self._revocation(header, index)
        if selected:
            self.report.selected += 1
            self._select(header, chain_root, body, index)

    def _chain(self, header: Header, chain_root: str, record: Record, index: int) -> None:
        issued_at, seq, parent = self._previous
        seen = header.seq
        if header.tenant_id != self.pack.tenant_id:
            self.fail(Question.INTEGRITY, Fault("tenant_mismatch", header.tenant_id, index, seen))
        if seen != self.tree.end:
            self.fail(Question.INTEGRITY, Fault(
                "seq_broken", f"receipt {seen} stands where {self.tree.end} belongs", index, seen))  # fmt: skip
        elif seen == seq + 1 and header.parent_root != parent:
            self.fail(Question.INTEGRITY, Fault(
                "chain_broken", "parent_root is not the previous receipt's chain_root", index, seen))  # fmt: skip
        if header.statement_hash != record.statement.payload_digest():
            self.fail(Question.INTEGRITY, Fault(
                "statement_altered", "statement_hash is not the statement's", index, seen))  # fmt: skip
        if header.issued_at < issued_at:
            self.fail(Question.TIME, Fault("time_reversed", f"issued before receipt {seq}", index, seen))
        self._previous = (header.issued_at, seen, chain_root)
        if self.tree.end == seen:
            self.tree.append(leaf_hash(record.leaf()))

    def _header_signature(self, record: Record, header: Header, index: int) -> None:
        # The genesis brings the first ledger key along, so it is admitted before its own header.
        if header.kind is Kind.TENANT_CREATED:
            wrong = self.governance.trust.admit_tenant(record.statement)
            if wrong is not None:
                self.fail(Question.SIGNER, Fault("root_untrusted", wrong, index, header.seq))
        entry = self.governance.trust.signer(record.header, KeyRole.LEDGER, header.issued_at)
        if isinstance(entry, str):
            self.fail(Question.SIGNER, Fault("ledger_key_untrusted", entry, index, header.seq))
            return
        signature = record.header.signatures[0]
        self._note_use(signature.keyid, header, index)
        self.checker.add(
            Task(index, "the ledger's signature", entry.key.raw, signature.sig, record.header.pae())
        )

    def _statement(self, record: Record, header: Header, index: int) -> Document | None:
        envelope = record.statement
        kind = next((k for k in STATEMENTS[header.kind] if k.name == envelope.kind), None)
        if kind is None:
            self.fail(Question.INTEGRITY, Fault(
                "statement_kind", f"{header.kind} carries a {envelope.kind!r} statement", index, header.seq))  # fmt: skip
            return None
        body = envelope.body(kind.name, kind.document)
        if getattr(body, "tenant_id", None) != self.pack.tenant_id:
            self.fail(Question.INTEGRITY, Fault("tenant_mismatch", "in the statement", index, header.seq))
            return None
        if kind.signer is KeyRole.INSTANCE:
            self._by_instance(record, header, body, index)
            return body
        found = self.governance.admit(envelope, header, body, kind.signer)
        for question, fault in found:
            self.fail(question, Fault(fault.code, fault.detail, index, header.seq))
        for signature in envelope.signatures:
            self._note_use(signature.keyid, header, index)
        return body

    def _by_instance(self, record: Record, header: Header, body: Document, index: int) -> None:
        signatures = record.statement.signatures
        lease_id = self.governance.lease_of(body)
        key = self.governance.mandate.instance_key(lease_id)
        if key is None:
            self.fail(Question.AUTHORITY, Fault("lease_missing", lease_id, index, header.seq))
            return
        if len(signatures) != 1 or role_of(signatures[0].keyid) is not KeyRole.INSTANCE:
            self.fail(Question.SIGNER, Fault("statement_signer", "not one instance signature", index, header.seq))
            return
        self.checker.add(
            Task(index, "the instance's signature", key, signatures[0].sig, record.statement.pae())
        )
        if wrong := self.governance.judge(header, body, record.statement):
            code, _, detail = wrong.partition(": ")
            self.fail(Question.AUTHORITY, Fault(code, detail, index, header.seq))
        if wrong := _copied(header, body):
            self.fail(Question.INTEGRITY, Fault("header_contradicts", wrong, index, header.seq))

    def _times(self, header: Header, body: Document, index: int) -> None:
        if not isinstance(body, Claim):
            return
        if body.started_at > body.ended_at:
            self.fail(Question.TIME, Fault("time_reversed", "ended before it began", index, header.seq))
        elif body.ended_at > header.issued_at and (
            parse_time(body.ended_at) - parse_time(header.issued_at) > SKEW_MS_MAX
        ):
            self.fail(Question.TIME, Fault("time_future", "ended after its receipt was issued", index, header.seq))

    def _revocation(self, header: Header, index: int) -> None:
        if header.revocation_seq != self.revocations:
            self.fail(Question.COMPLETENESS, Fault(
                "revocation_withheld", f"revocation {self.revocations} is missing", index, header.seq))  # fmt: skip
        self.revocations += 1

    def _select(self, header: Header, chain_root: str, body: Document, index: int) -> None:
        kind = self.pack.selection.kind
        position = {"session": header.session_position, "agent": header.agent_seq}.get(kind, header.seq)
        expected = self.pack.first_position if self.position < 0 else self.position + 1
        if position != expected:
            self.fail(Question.COMPLETENESS, Fault(
                "receipt_missing", f"position {expected} of the selection is missing", index, header.seq))  # fmt: skip
        self.position = position if isinstance(position, int) else expected
        if kind == "session" and header.session_id != self.pack.selection.session_id:
            self.fail(Question.COMPLETENESS, Fault("foreign_receipt", "of another session", index, header.seq))
        fault = self.sessions.follow(header, chain_root, index)
        if fault is not None:
            self.fail(Question.COMPLETENESS, fault)
        self._decisions(body)
        self._payload(header, index)

    def _decisions(self, body: Document) -> None:
        if isinstance(body, Decision):
            self.sessions.decided(body.session_id, body.decision_id)
        elif isinstance(body, Claim | Abandonment) and not isinstance(body.decision_id, msgspec.UnsetType):
            self.sessions.settled(body.session_id, body.decision_id)
        elif isinstance(body, Erasure):
            for receipt_id in body.receipts:
                if self.withheld.pop(receipt_id, None) is not None:
                    self.count(Question.REDACTION, "erased")

    def _payload(self, header: Header, index: int) -> None:
        if isinstance(header.payload_hash, msgspec.UnsetType):
            return
        payload = self.payloads.take(header.payload_hash)
        if payload is None:
            self.withheld[header.receipt_id] = (index, header.seq)
            return
        self.count(Question.REDACTION, "opened")
        if not opens(payload, header.payload_hash):
            self.fail(Question.REDACTION, Fault(
                "payload_altered", "the payload does not open its payload_hash", index, header.seq))  # fmt: skip

    def count(self, question: Question, fact: str, by: int = 1) -> None:
        facts = self.report.verdicts[question].facts
        facts[fact] = facts.get(fact, 0) + by

    def _note_use(self, key_id: str, header: Header, index: int) -> None:
        # One entry a minute and key is enough to find the first use after a late-told compromise.
        uses = self.signed_by.setdefault(key_id, [])
        if not uses or uses[-1][0][:16] != header.issued_at[:16]:
            uses.append((header.issued_at, index, header.seq))

    def _bad_signature(self, index: int, what: str) -> None:
        self.fail(Question.SIGNER, Fault("signature_invalid", f"{what} does not hold", index))


class _PayloadCursor:
    """Payloads and receipts come in the same order, so one look ahead is enough."""

    def __init__(self, payloads: Iterator[Payload]) -> None:
        self._payloads = payloads
        self._next = next(payloads, None)

    def take(self, payload_hash: str) -> Payload | None:
        """The next payload if it is the one named, which then is used up."""
        found = self._next
        if found is None or found.payload_hash != payload_hash:
            return None
        self._next = next(self._payloads, None)
        return found

    @property
    def left_over(self) -> bool:
        return self._next is not None


_COPIED: dict[type[Document], tuple[str, ...]] = {
    Claim: ("session_id", "payload_hash", "evidence", "outcome", "action", "corrects"),
    Session: ("session_id", "payload_hash"),
    Closing: ("session_id", "payload_hash", "evidence", "outcome"),
}


def _copied(header: Header, body: Document) -> str | None:
    """The field in which a header contradicts the statement it repeats."""
    names = _COPIED.get(type(body), ())
    return next((name for name in names if getattr(header, name) != getattr(body, name)), None)
