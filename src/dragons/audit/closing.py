"""The end of a verification: what can only be judged when every receipt has been seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dragons.audit.verdicts import Fault, Question, Status
from dragons.core.clock import parse_time
from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole
from dragons.core.statement import is_signed_by
from dragons.evidence.checkpoint import Witness, count_witnesses, verify_checkpoint
from dragons.evidence.merkle import verify_consistency

if TYPE_CHECKING:
    from dragons.audit.verify import Verification

# The control plane closes what an instance left open within this time after the lease's end.
ABANDON_WITHIN_MS = 10 * 60 * 1000


def judge_end(run: Verification, witnesses: list[Witness], required: int, *, require_payloads: bool) -> None:
    """Steps 6, 9 and 10, and the keys that were revoked after they signed."""
    if run.report.receipts == 0:
        run.fail(Question.INTEGRITY, Fault("pack_empty", "there is no receipt in the pack"))
    if run.governance.trust.root is None:
        run.fail(Question.SIGNER, Fault("root_untrusted", "no genesis by the pinned root key"))
    _judge_statement(run)
    _judge_tree(run)
    _judge_start(run)
    _judge_compromised(run)
    _judge_open(run)
    _judge_payloads(run, require_payloads=require_payloads)
    _judge_witnesses(run, witnesses, required)


def _judge_statement(run: Verification) -> None:
    report, pack, statement = run.report, run.pack, run.reader.head.statement
    entry = run.governance.trust.signer(statement, KeyRole.LEDGER, pack.exported_at)
    if isinstance(entry, str):
        run.fail(Question.SIGNER, Fault("ledger_key_untrusted", f"the pack statement: {entry}"))
    elif not is_signed_by(statement, statement.signatures[0].keyid, entry.key):
        run.fail(Question.SIGNER, Fault("signature_invalid", "the pack statement's signature does not hold"))
    if report.selected != pack.selected or run.position != pack.last_position or report.selected == 0:
        run.fail(Question.COMPLETENESS, Fault(
            "selection_truncated",
            f"{report.selected} of {pack.selected} selected receipts, up to position {run.position} of {pack.last_position}",
            report.receipts,
        ))  # fmt: skip
    if run.revocations != pack.revocations:
        run.fail(Question.COMPLETENESS, Fault(
            "revocation_withheld", f"{run.revocations} of {pack.revocations} revocations are shown",
            report.receipts,
        ))  # fmt: skip


def _judge_tree(run: Verification) -> None:
    report, pack = run.report, run.pack
    try:
        end = verify_checkpoint(
            run.reader.head.end, pack.tenant_id, run.governance.trust.ledger_keys()
        )
    except InvalidInputError as error:
        run.fail(Question.SIGNER, Fault("checkpoint_malformed", str(error)))
        return
    if end is None:
        run.fail(Question.SIGNER, Fault("checkpoint_untrusted", "no ledger key signed the end checkpoint"))
        return
    if (end.size, end.root.hex()) != (pack.tree_size, pack.root):
        run.fail(Question.INTEGRITY, Fault("checkpoint_contradicts", "it is not the pack statement's tree"))
    if run.tree.end != end.size:
        run.fail(Question.INTEGRITY, Fault(
            "log_truncated", f"the log ends at {run.tree.end} of {end.size}", report.receipts))  # fmt: skip
    elif run.tree.root() != end.root:
        run.fail(Question.INTEGRITY, Fault("root_mismatch", "the Merkle root is not the checkpoint's"))


def _judge_start(run: Verification) -> None:
    head, pack = run.reader.head, run.pack
    if isinstance(head.start, msgspec.UnsetType):
        return
    try:
        start = verify_checkpoint(head.start, pack.tenant_id, run.governance.trust.ledger_keys())
    except InvalidInputError as error:
        run.fail(Question.SIGNER, Fault("checkpoint_malformed", str(error)))
        return
    if start is None:
        run.fail(Question.SIGNER, Fault("checkpoint_untrusted", "no ledger key signed the start checkpoint"))
        return
    if not verify_consistency(
        start.size, pack.tree_size, start.root, bytes.fromhex(pack.root), head.consistency
    ):
        run.fail(Question.INTEGRITY, Fault("inconsistent", "the start checkpoint is no prefix of the log"))


def _judge_compromised(run: Verification) -> None:
    for key_id, entry in run.governance.trust.keys.items():
        for issued_at, index, seq in run.signed_by.get(key_id, []):
            if issued_at >= entry.compromised_since:
                run.fail(Question.SIGNER, Fault(
                    "key_compromised", f"{key_id} is not trusted since {entry.compromised_since}", index, seq))  # fmt: skip
                break


def _judge_open(run: Verification) -> None:
    exported_ms = parse_time(run.pack.exported_at)
    live = 0
    for session_id, state in run.sessions.open.items():
        lease = run.governance.mandate.leases.get(state.lease_id)
        ended_ms = 0 if lease is None else parse_time(lease.released_at or lease.expires_at)
        if exported_ms < ended_ms + ABANDON_WITHIN_MS or run.pack.selection.kind == "window":
            live += 1
            continue
        what = "an authorized action" if state.decisions else "the session"
        run.fail(Question.COMPLETENESS, Fault(
            "orphan", f"{what} in {session_id} never ended", state.index, state.seq))  # fmt: skip
    if live:
        run.count(Question.COMPLETENESS, "open_sessions", live)


def _judge_payloads(run: Verification, *, require_payloads: bool) -> None:
    if run.payloads.left_over:
        run.fail(Question.REDACTION, Fault("payload_unclaimed", "a payload belongs to no selected receipt"))
    if not run.withheld:
        return
    run.count(Question.REDACTION, "withheld", len(run.withheld))
    if require_payloads or not run.reader.head.redacted:
        index, seq = min(run.withheld.values())
        run.fail(Question.REDACTION, Fault("payload_withheld", "its payload is not in the pack", index, seq))


def _judge_witnesses(run: Verification, witnesses: list[Witness], required: int) -> None:
    verdict = run.report.verdicts[Question.WITNESSES]
    if required == 0 and not witnesses:
        verdict.status = Status.NOT_ASKED
        return
    try:
        counted = count_witnesses(run.reader.head.end, witnesses)
    except InvalidInputError:
        counted = 0
    verdict.facts["cosigned"] = counted
    if counted < max(1, required):
        run.fail(Question.WITNESSES, Fault(
            "witnesses_missing", f"{counted} of {max(1, required)} trusted witnesses cosigned"))  # fmt: skip
