"""Verifying an evidence pack: one pass, bounded memory, no network, no database.

Steps, in order (numbers as in spec/verify.md):
 1. the pack's head parses; 2. every line is canonical and continues log and chain; 3. every header
 is signed by the ledger; 4. every statement is signed by whom its kind demands, along a path from
 the pinned root; 5. authority holds at each receipt's time; 6. the selection has no gap and ends
 where the signed pack statement says; 7. times are plausible; 8. payloads open their hashes;
 9. the Merkle root equals the signed checkpoint's; 10. witnesses cosigned it.

A pack without a pinned root, without a genesis or without receipts is never valid.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec

from dragons.audit.claims import judge_claim
from dragons.audit.closing import Asked, judge_end
from dragons.audit.copies import contradiction
from dragons.audit.governance import Governance, Wrong
from dragons.audit.kinds import STATEMENTS, StatementKind
from dragons.audit.pack import (
    PACK,
    RECORD_END_SELECTED,
    RECORD_END_UNSELECTED,
    RECORD_START,
    GapNode,
    Pack,
    PackReader,
    open_pack,
    parse_line,
)
from dragons.audit.redaction import PayloadCheck
from dragons.audit.selection import SelectionCheck
from dragons.audit.sessions import Sessions
from dragons.audit.signatures import Place, SignatureChecker
from dragons.audit.tree import LogTree
from dragons.audit.trust import check_fingerprint
from dragons.audit.verdicts import Fault, Question, Report
from dragons.authority.lease import Delegation
from dragons.core.canonical import Document, decode
from dragons.core.clock import parse_time
from dragons.core.errors import InvalidInputError
from dragons.core.hashing import ZERO
from dragons.core.keys import KeyRole
from dragons.core.statement import Envelope, pae, payload_type
from dragons.core.vocabulary import Kind
from dragons.evidence.checkpoint import Witness
from dragons.evidence.receipt import (
    RECEIPT,
    Abandonment,
    Claim,
    Decision,
    Erasure,
    Header,
    Record,
)
from dragons.identity.records import TENANT

# How far an instance's clock may be ahead of the ledger's.
SKEW_MS_MAX = 5_000
Progress = Callable[[int], None]
_PROGRESS_EVERY = 1_000
_HEADER_TYPE = payload_type(RECEIPT)
_GENESIS_TYPE = payload_type(TENANT)
# The pre-authentication encoding of a header up to its length: the same for all of them.
_HEADER_PAE = pae(_HEADER_TYPE, b"").removesuffix(b"0 ")
_BY_LEDGER, _BY_INSTANCE = "the ledger's signature", "the instance's signature"
_BY_TYPE: dict[tuple[Kind, str], StatementKind] = {
    (kind, payload_type(one.name)): one for kind, several in STATEMENTS.items() for one in several
}


def verify_file(
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
    fingerprint = check_fingerprint(pin)
    with open_pack(path) as reader:
        asked = Asked(witnesses or [], witnesses_required, payloads=require_payloads)
        run = Verification(reader, fingerprint, asked, workers=workers)
        try:
            run.receipts(progress)
            judge_end(run)
        finally:
            run.checker.close()
        return run.report


class Verification:
    """One verification: the state that the pass carries from line to line."""

    def __init__(self, reader: PackReader, pin: str, asked: Asked, *, workers: int | None) -> None:
        self.reader = reader
        self.asked = asked
        self.report = Report(pinned=pin)
        self.pack = reader.head.statement.body(PACK, Pack)
        self._tenant_id = self.pack.tenant_id
        self.governance = Governance(pin, whole=self.pack.selection.kind == "ledger")
        self.sessions = Sessions(partial=self.pack.selection.kind == "window")
        self.selection = SelectionCheck(self.pack)
        self.payloads = PayloadCheck(
            reader.payload_lines(), expected=asked.payloads or not reader.head.redacted
        )
        self.tree = LogTree()
        self.checker = SignatureChecker(self._bad_signature, workers=workers)
        self.context = sha256()
        self.revocations = 0
        self.last_seq = -1
        self.last_issued_at = ""
        self._last_root = ZERO
        report = self.report
        report.tenant_id, report.pack_id = self.pack.tenant_id, self.pack.pack_id
        report.selection = msgspec.to_builtins(self.pack.selection)
        report.tree_size, report.root = self.pack.tree_size, self.pack.root
        report.exported_at = self.pack.exported_at

    def receipts(self, progress: Progress | None) -> None:
        """Judge every line, then wait for the signatures."""
        report = self.report
        try:
            for data in self.reader.lines():
                self._line(data)
                if progress is not None and report.receipts % _PROGRESS_EVERY == 0:
                    progress(report.receipts)
        except InvalidInputError as error:
            self.fail(Question.INTEGRITY, Fault("damaged", error.code, report.receipts))
        self.checker.finish()
        if progress is not None:
            progress(report.receipts)

    def fail(self, question: Question, fault: Fault | None) -> None:
        """Record a fault, if there is one."""
        if fault is not None:
            self.report.fail(question, fault)

    def count(self, question: Question, fact: str, number: int) -> None:
        """Show a count beside a verdict; nothing when it is zero."""
        if number:
            self.report.verdicts[question].facts[fact] = number

    # --- step 2 ------------------------------------------------------------------------------------

    def _line(self, data: bytes) -> None:
        index = self.report.receipts
        try:
            line = parse_line(data)
            record = line.record
            if record is msgspec.UNSET:
                self._gap(data, line.gap or [], index)
                return
            # The leaf of the Merkle log is the canonical record: a part of the line, not encoded again.
            if line.selected is True:
                self._receipt(record, data[RECORD_START:-RECORD_END_SELECTED], index, selected=True)
            else:
                self.context.update(data + b"\n")
                self._receipt(record, data[RECORD_START:-RECORD_END_UNSELECTED], index, selected=False)
        except InvalidInputError as error:
            self.fail(Question.INTEGRITY, Fault("malformed", error.code, index))
        self.report.receipts = index + 1

    def _gap(self, data: bytes, nodes: list[GapNode], index: int) -> None:
        self.context.update(data + b"\n")
        for node in nodes:
            try:
                self.tree.skip(node.level, node.index, node.hash)
            except ValueError as error:
                self.fail(Question.INTEGRITY, Fault("gap_misplaced", str(error), index))

    def _receipt(self, record: Record, leaf: bytes, index: int, *, selected: bool) -> None:
        envelope, statement = record.header, record.statement
        if envelope.payloadType != _HEADER_TYPE:
            raise InvalidInputError("statement_kind", "The header is not of the receipt kind.")
        header = decode(Header, envelope.payload)
        seq, previous = header.seq, self.last_seq
        chain_root = sha256(envelope.payload).hexdigest()
        self._chain(header, statement, chain_root, leaf, index)
        self._header_signature(envelope, statement, header, index)
        if header.revocation_seq is not msgspec.UNSET:
            if header.revocation_seq != self.revocations:
                self.fail(Question.COMPLETENESS, Fault(
                    "revocation_withheld", f"revocation {self.revocations} is missing", index, seq))  # fmt: skip
            self.revocations = header.revocation_seq + 1
        if fault := self.selection.follow(header, index, previous, selected=selected):
            self.fail(Question.COMPLETENESS, fault)
        if selected:
            if fault := self.sessions.follow(header, chain_root, index):
                self.fail(Question.COMPLETENESS, fault)
            if header.payload_hash is not msgspec.UNSET and (fault := self.payloads.follow(header, index)):
                self.fail(Question.REDACTION, fault)
        self._statement(statement, header, index)

    def _chain(self, header: Header, statement: Envelope, chain_root: str, leaf: bytes, index: int) -> None:
        seq, end = header.seq, self.tree.size
        if header.tenant_id != self._tenant_id:
            self.fail(Question.INTEGRITY, Fault("tenant_mismatch", header.tenant_id, index, seq))
        elif seq != end:
            self.fail(Question.INTEGRITY, Fault(
                "seq_broken", f"receipt {seq} stands where {end} belongs", index, seq))  # fmt: skip
        elif seq == self.last_seq + 1 and header.parent_root != self._last_root:
            self.fail(Question.INTEGRITY, Fault(
                "chain_broken", "parent_root is not the previous receipt's chain_root", index, seq))  # fmt: skip
        if seq == end:
            self.tree.append(leaf)
        if header.statement_hash != sha256(statement.payload).hexdigest():
            self.fail(Question.INTEGRITY, Fault(
                "statement_altered", "statement_hash is not the statement's", index, seq))  # fmt: skip
        if header.issued_at < self.last_issued_at:
            self.fail(Question.TIME, Fault(
                "time_reversed", f"issued before receipt {self.last_seq}", index, seq))  # fmt: skip
        self.last_seq, self.last_issued_at, self._last_root = seq, header.issued_at, chain_root

    # --- steps 3 to 5 ------------------------------------------------------------------------------

    def _header_signature(self, envelope: Envelope, statement: Envelope, header: Header, index: int) -> None:
        trust = self.governance.trust
        # The genesis brings the first ledger key along, so it is admitted before its own header.
        if header.kind is Kind.TENANT_CREATED and statement.payloadType == _GENESIS_TYPE:
            wrong = "it is not the first receipt" if header.seq else trust.admit_tenant(statement)
            if wrong is not None:
                self.fail(Question.SIGNER, Fault("root_untrusted", wrong, index, header.seq))
        entry = trust.signer(envelope, KeyRole.LEDGER, header.issued_at)
        if isinstance(entry, str):
            self.fail(Question.SIGNER, Fault("ledger_key_untrusted", entry, index, header.seq))
            return
        payload = envelope.payload
        message = b"%b%d %b" % (_HEADER_PAE, len(payload), payload)
        self.checker.add((index, header.seq, _BY_LEDGER), entry.key.raw, envelope.signatures[0].sig, message)

    def _statement(self, envelope: Envelope, header: Header, index: int) -> None:
        kind = _BY_TYPE.get((header.kind, envelope.payloadType))
        if kind is None:
            self.fail(Question.INTEGRITY, Fault(
                "statement_kind", f"{header.kind} carries {envelope.payloadType[:80]}", index, header.seq))  # fmt: skip
            return
        body = decode(kind.document, envelope.payload)
        if body.tenant_id != self._tenant_id:  # type: ignore[attr-defined]  # every kind in STATEMENTS has one
            self.fail(Question.INTEGRITY, Fault("tenant_mismatch", "in the statement", index, header.seq))
            return
        if field := contradiction(header, body):
            self.fail(Question.INTEGRITY, Fault("header_contradicts", field, index, header.seq))
        if kind.signer is KeyRole.INSTANCE:
            wrong = self._by_instance(envelope, header, body, index)
        elif header.kind is Kind.TENANT_CREATED:
            wrong = None
        else:
            wrong = self.governance.admit(envelope, header, body, kind.signer)
        if wrong is not None:
            question, code, detail = wrong
            self.fail(question, Fault(code, detail, index, header.seq))
        self._follow(header, body, index)

    def _by_instance(self, envelope: Envelope, header: Header, body: Document, index: int) -> Wrong | None:
        lease_id: str = body.lease_id if type(body) is not Delegation else body.parent_lease_id  # type: ignore[attr-defined]
        lease = self.governance.mandate.leases.get(lease_id)
        if lease is None:
            return Question.AUTHORITY, "lease_missing", lease_id
        signatures = envelope.signatures
        if len(signatures) != 1 or signatures[0].keyid != lease.key_id:
            return Question.SIGNER, "statement_signer", f"it is not signed by {lease.key_id} alone"
        self.checker.add(
            (index, header.seq, _BY_INSTANCE),
            lease.body.instance_key,
            signatures[0].sig,
            envelope.pae(),
        )
        if type(body) is Claim:
            wrong = judge_claim(self.governance.mandate, lease, header, body)
            if wrong is None:
                return None
            code, _, detail = wrong.partition(": ")
            return Question.AUTHORITY, code, detail
        return self.governance.judge(lease, header, body, envelope)

    # --- what the body adds ------------------------------------------------------------------------

    def _follow(self, header: Header, body: Document, index: int) -> None:
        if type(body) is Claim:
            if body.ended_at > header.issued_at or body.started_at > body.ended_at:
                self._times(header, body, index)
            if body.decision_id is not msgspec.UNSET:
                self.sessions.settled(body.session_id, body.decision_id)
        elif isinstance(body, Decision):
            self.sessions.decided(body.session_id, body.decision_id, index, header.seq)
        elif isinstance(body, Abandonment) and isinstance(body.decision_id, str):
            self.sessions.settled(body.session_id, body.decision_id)
        elif isinstance(body, Erasure):
            self.payloads.erase(body)

    def _times(self, header: Header, body: Claim, index: int) -> None:
        if body.started_at > body.ended_at:
            self.fail(Question.TIME, Fault("time_reversed", "ended before it began", index, header.seq))
        elif body.ended_at > header.issued_at and (
            parse_time(body.ended_at) - parse_time(header.issued_at) > SKEW_MS_MAX
        ):
            self.fail(
                Question.TIME, Fault("time_future", "ended after its receipt was issued", index, header.seq)
            )

    def _bad_signature(self, place: Place) -> None:
        self.fail(
            Question.SIGNER, Fault("signature_invalid", f"{place.what} does not hold", place.at, place.seq)
        )
