"""The end of a verification: what can only be judged when every receipt has been seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from dragons.audit.kinds import STATEMENTS
from dragons.audit.leases import HeldLease
from dragons.audit.mandate import Mandate
from dragons.audit.pack import HeartbeatDigest, parse_line
from dragons.audit.verdicts import Fault, Question, Status
from dragons.core.clock import parse_time
from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole, PublicKey, role_of
from dragons.core.statement import is_signed_by, payload_type
from dragons.evidence.checkpoint import Checkpoint, Witness, count_witnesses, verify_checkpoint
from dragons.evidence.merkle import verify_consistency
from dragons.evidence.receipt import RECEIPT, Header, Record
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat

if TYPE_CHECKING:
    from dragons.audit.verify import Verification

# The control plane abandons an instance's sessions with its halt or release; a pack may fall in between.
ABANDON_WITHIN_MS = 10 * 60 * 1000
# A lease that ended may be renewed as long as the grace lasts, at most 30 days, and outages don't count.
LAPSED_WITHIN_MS = 31 * 24 * 3600 * 1000


class Asked(NamedTuple):
    """What the verifier asks for beyond the pack itself."""

    witnesses: list[Witness]
    witnesses_required: int
    payloads: bool


def judge_end(run: Verification) -> None:
    """Steps 6 and 8 to 10, and the keys that signed after they were compromised."""
    if run.report.receipts == 0:
        run.fail(Question.INTEGRITY, Fault("pack_empty", "there is no receipt in the pack"))
    if run.governance.trust.root is None:
        run.fail(Question.SIGNER, Fault("root_untrusted", "no genesis by the pinned root key"))
    _judge_statement(run)
    _judge_selection(run)
    _judge_tree(run)
    _judge_start(run)
    _judge_compromised(run)
    _judge_open(run)
    _judge_payloads(run)
    _judge_heartbeats(run)
    _judge_witnesses(run)


def _judge_statement(run: Verification) -> None:
    pack, statement = run.pack, run.reader.head.statement
    entry = run.governance.trust.signer(statement, KeyRole.LEDGER, pack.exported_at)
    if isinstance(entry, str):
        run.fail(Question.SIGNER, Fault("pack_untrusted", f"the pack statement: {entry}"))
    elif not is_signed_by(statement, statement.signatures[0].keyid, entry.key):
        run.fail(Question.SIGNER, Fault("pack_untrusted", "the pack statement's signature does not hold"))
    if run.context.hexdigest() != pack.context_sha256:
        run.fail(
            Question.INTEGRITY,
            Fault("context_altered", "context or gaps are not those of the pack statement"),
        )
    if pack.exported_at < run.last_issued_at:
        run.fail(Question.TIME, Fault("time_reversed", "the pack is older than its last receipt"))


def _judge_selection(run: Verification) -> None:
    report, pack = run.report, run.pack
    report.selected = run.selection.selected
    run.fail(Question.COMPLETENESS, run.selection.malformed())
    run.fail(Question.COMPLETENESS, run.selection.end(report.receipts, run.last_seq))
    if run.revocations != pack.revocations:
        run.fail(Question.COMPLETENESS, Fault(
            "revocation_withheld", f"{run.revocations} of {pack.revocations} revocations are shown",
            report.receipts,
        ))  # fmt: skip


def _checkpoint(run: Verification, note: str, time: str, which: str) -> Checkpoint | None:
    try:
        found = verify_checkpoint(note, run.pack.tenant_id, run.governance.trust.ledger_keys(time))
    except InvalidInputError as error:
        run.fail(Question.SIGNER, Fault("checkpoint_malformed", f"the {which} checkpoint: {error.code}"))
        return None
    if found is None:
        run.fail(
            Question.SIGNER, Fault("checkpoint_untrusted", f"no ledger key signed the {which} checkpoint")
        )
    return found


def _judge_tree(run: Verification) -> None:
    report, pack, tree = run.report, run.pack, run.tree
    if tree.size != pack.tree_size:
        run.fail(Question.INTEGRITY, Fault(
            "log_truncated", f"the log ends at {tree.size} of {pack.tree_size}", report.receipts))  # fmt: skip
    elif tree.root().hex() != pack.root:
        run.fail(Question.INTEGRITY, Fault("root_mismatch", "the Merkle root is not the pack statement's"))
    end = _checkpoint(run, run.reader.head.end, pack.exported_at, "end")
    if end is not None and (end.size, end.root.hex()) != (pack.tree_size, pack.root):
        run.fail(Question.INTEGRITY, Fault("checkpoint_contradicts", "it is not the pack statement's tree"))


def _judge_start(run: Verification) -> None:
    head, pack = run.reader.head, run.pack
    if isinstance(head.start, msgspec.UnsetType):
        if head.consistency:
            run.fail(
                Question.INTEGRITY, Fault("inconsistent", "a consistency proof without a start checkpoint")
            )
        return
    # Its key may have been replaced since; what it says is proven by the consistency with the end.
    start = _checkpoint(run, head.start, "", "start")
    if start is None:
        return
    try:
        root = bytes.fromhex(pack.root)
    except ValueError:
        root = b""
    if not verify_consistency(start.size, pack.tree_size, start.root, root, head.consistency):
        run.fail(Question.INTEGRITY, Fault("inconsistent", "the start checkpoint is no prefix of the log"))


def _judge_compromised(run: Verification) -> None:
    """Find the first receipt signed by a key after it was compromised, which became known later.

    A second pass, but only over a pack that has such a receipt: nothing is remembered for it.
    """
    suspects = run.governance.trust.used_after_compromise()
    if not suspects:
        return
    index = -1
    for data in run.reader.lines():
        try:
            line = parse_line(data)
        except InvalidInputError:
            index += 1
            continue
        if isinstance(line.record, msgspec.UnsetType):
            continue
        index += 1
        try:
            header = line.record.header.body(RECEIPT, Header)
        except InvalidInputError:
            continue
        for key_id in _signers_in_their_role(line.record, header):
            since = suspects.get(key_id)
            if since is not None and header.issued_at >= since:
                run.fail(Question.SIGNER, Fault(
                    "key_compromised", f"{key_id} is not trusted since {since}", index, header.seq))  # fmt: skip
                return


def _signers_in_their_role(record: Record, header: Header) -> Iterator[str]:
    """Whose signatures count in a receipt: not that of an old key under its rotation."""
    demanded = {payload_type(kind.name): kind.signer for kind in STATEMENTS[header.kind]}
    for envelope, role in (
        (record.header, KeyRole.LEDGER),
        (record.statement, demanded.get(record.statement.payloadType)),
    ):
        if len(envelope.signatures) == 1 and role_of(key_id := envelope.signatures[0].keyid) is role:
            yield key_id


def _judge_open(run: Verification) -> None:
    exported_ms = parse_time(run.pack.exported_at)
    live = 0
    for session_id, state in run.sessions.open.items():
        if state.abandoned:
            continue
        lease = run.governance.mandate.leases.get(state.lease_id)
        until_ms = 0 if lease is None else _open_until_ms(run.governance.mandate, lease)
        if exported_ms < until_ms or run.pack.selection.kind == "window":
            live += 1
            continue
        run.sessions.orphaned(state, session_id)
    # With a receipt missing, nobody can say that a cycle never ended.
    if run.report.verdicts[Question.COMPLETENESS].status is Status.PASS:
        run.fail(Question.COMPLETENESS, run.sessions.orphan)
    run.count(Question.COMPLETENESS, "open_sessions", live)


def _open_until_ms(mandate: Mandate, lease: HeldLease) -> int:
    """Until when a session under `lease` may be open (epoch ms): an expired lease may be renewed yet."""
    halted = mandate.organisms.halted.get(lease.body.instance_id)
    over = [at for at in (lease.released_at, "" if halted is None else halted[1]) if at]
    if over:
        return parse_time(min(over)) + ABANDON_WITHIN_MS
    return parse_time(lease.expires_at) + LAPSED_WITHIN_MS


def _judge_payloads(run: Verification) -> None:
    for fault in run.payloads.end():
        run.fail(Question.REDACTION, fault)
    run.count(Question.REDACTION, "opened", run.payloads.opened)
    run.count(Question.REDACTION, "withheld", run.payloads.withheld)
    run.count(Question.REDACTION, "erased", run.payloads.erased)


def _judge_heartbeats(run: Verification) -> None:
    try:
        digests = run.reader.heartbeats()
    except InvalidInputError as error:
        run.fail(Question.SIGNER, Fault("heartbeat_untrusted", error.code))
        return
    for digest in digests:
        if not _is_genuine(run, digest):
            run.fail(
                Question.SIGNER, Fault("heartbeat_untrusted", f"the last heartbeat of {digest.instance_id}")
            )


def _is_genuine(run: Verification, digest: HeartbeatDigest) -> bool:
    try:
        body = digest.last.body(HEARTBEAT, Heartbeat)
    except InvalidInputError:
        return False
    lease = run.governance.mandate.leases.get(body.lease_id)
    return (
        lease is not None
        and (body.tenant_id, body.instance_id) == (run.pack.tenant_id, digest.instance_id)
        and lease.body.instance_id == digest.instance_id
        and len(digest.last.signatures) == 1
        and is_signed_by(digest.last, lease.key_id, PublicKey(lease.body.instance_key))
    )


def _judge_witnesses(run: Verification) -> None:
    verdict = run.report.verdicts[Question.WITNESSES]
    asked = run.asked
    if asked.witnesses_required == 0 and not asked.witnesses:
        verdict.status = Status.NOT_ASKED
        return
    required = max(1, asked.witnesses_required)
    try:
        counted = count_witnesses(run.reader.head.end, asked.witnesses)
    except InvalidInputError:
        counted = 0
    verdict.facts["cosigned"] = counted
    if counted < required:
        run.fail(Question.WITNESSES, Fault(
            "witnesses_missing", f"{counted} of {required} trusted witnesses cosigned"))  # fmt: skip
