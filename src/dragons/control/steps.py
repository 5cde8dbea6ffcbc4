"""Steps that happen once: who began one, whether it is done, and when it may begin again.

A step that was begun and whose end nobody reported is in doubt, and so is one that failed: it may have
had its effect. Never lets a step in doubt begin again before an agent has said, on the record, what
became of it; never takes a second completed claim for a step.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from dragons.control.denials import Refused
from dragons.control.ports import Appended, Filter, Transaction
from dragons.control.rows import StepRow
from dragons.control.standing import ended, standing_of
from dragons.core.canonical import decode
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError
from dragons.core.vocabulary import Kind, Outcome, Reason
from dragons.evidence.receipt import Claim, Decision, Header
from dragons.evidence.step import STEP_NOT_HAPPENED


class StepWish(NamedTuple):
    """What an instance asks for: to begin a step, or with `resolves` to say how a doubtful one ended.

    `attempt` is the same when the same question is asked again, and new for every other. `resolves` is
    the decision under which the step was begun that is in doubt.
    """

    step_key: str
    attempt: str = ""
    resolves: str = ""


class Asker(NamedTuple):
    """Who asks, for which action of which session."""

    tenant_id: str
    agent: str
    instance_id: str
    session_id: str
    action: str


class StepStands(NamedTuple):
    """A step that does not begin: completed earlier, or in doubt where `refused` says so.

    `payload_hash` commits to what came of it; `running` says that the asker itself may still be at it.
    """

    row: StepRow
    payload_hash: str = ""
    refused: Refused | None = None
    running: bool = False


class AnsweredBefore(NamedTuple):
    """The same question was allowed before, and its answer did not arrive."""

    decision_id: str


class Verdict(Enum):
    """What may become of a question about a step."""

    BEGIN = "it may begin, or an agent may say how it ended"
    REPEATED = "the question was answered before"
    COMPLETED = "it is done"
    RUNNING = "this instance began it and has not reported it"
    IN_DOUBT = "it was begun and nobody knows how it ended"
    NOT_IN_DOUBT = "there is no such doubt to resolve"
    FOREIGN = "another agent uses the key"


def judge_step(row: StepRow | None, asker: Asker, wish: StepWish, *, awaited: bool, alive: bool) -> Verdict:
    """The rule. `awaited`: the step's decision still awaits its claim; `alive`: whoever began it may act."""
    if row is not None and row.agent != asker.agent:
        return Verdict.FOREIGN
    if row is None or not row.decision_id:
        return Verdict.NOT_IN_DOUBT if wish.resolves else Verdict.BEGIN
    if row.completed_ms is not None:
        return Verdict.COMPLETED
    own = row.instance_id == asker.instance_id
    if own and awaited and _is_same_question(row, asker, wish):
        return Verdict.REPEATED
    if wish.resolves:
        if wish.resolves != row.decision_id:
            return Verdict.NOT_IN_DOUBT
        return Verdict.IN_DOUBT if awaited and alive and not own else Verdict.BEGIN
    return Verdict.RUNNING if own and awaited else Verdict.IN_DOUBT


def ask_step(tx: Transaction, asker: Asker, wish: StepWish) -> StepStands | Refused | AnsweredBefore | None:
    """None when the step may begin, else why it does not; ConflictError when there is no doubt to resolve."""
    row = tx.step(asker.tenant_id, wish.step_key)
    awaited = row is not None and _is_awaited(tx, row)
    alive = awaited and row is not None and _is_alive(tx, row)
    verdict = judge_step(row, asker, wish, awaited=awaited, alive=alive)
    if verdict is Verdict.BEGIN:
        return None
    if row is None or verdict is Verdict.NOT_IN_DOUBT:
        raise ConflictError("step_not_in_doubt", "No such beginning of the step is in doubt any more.")
    if verdict is Verdict.FOREIGN:
        return Refused(Reason.STEP_IN_DOUBT, f"its key is in use by the agent {row.agent}")
    if verdict is Verdict.REPEATED:
        return AnsweredBefore(row.decision_id)
    if verdict is Verdict.COMPLETED:
        return StepStands(row, _payload_hash(tx, row))
    running = verdict is Verdict.RUNNING
    who = "this instance" if running else f"{row.instance_id} of epoch {row.epoch}"
    how = "has not reported it" if running else "how it ended is not known"
    detail = f"{who} began it at {format_time(row.begun_ms)}; {how}"
    return StepStands(row, refused=Refused(Reason.STEP_IN_DOUBT, detail), running=running)


def begin_step(tx: Transaction, asker: Asker, wish: StepWish, decision_id: str, epoch: int) -> None:
    """The step is begun under this decision."""
    tx.put_step(
        StepRow(
            tenant_id=asker.tenant_id,
            step_key=wish.step_key,
            agent=asker.agent,
            instance_id=asker.instance_id,
            epoch=epoch,
            session_id=asker.session_id,
            action=asker.action,
            decision_id=decision_id,
            attempt=wish.attempt,
            begun_ms=tx.now_ms,
        )
    )


def refuse_report(tx: Transaction, body: Claim) -> Refused | None:
    """Why a claim can't report a step: it is done already, was begun anew, or never begun by this decision."""
    row = _row_of(tx, body)
    if body.step_key is msgspec.UNSET or body.outcome is Outcome.DENIED:
        return None
    if row is None or body.decision_id is msgspec.UNSET:
        return Refused(Reason.ONLINE_CHECK_REQUIRED, "the step was not begun by a decision")
    if body.outcome is Outcome.COMPLETED and row.completed_ms is not None:
        at = format_time(row.completed_ms)
        return Refused(Reason.STEP_COMPLETED, f"{row.receipt_id} completed the step at {at}")
    if body.outcome is Outcome.COMPLETED and row.decision_id and row.decision_id != body.decision_id:
        at = format_time(row.begun_ms)
        return Refused(Reason.STEP_IN_DOUBT, f"{row.instance_id} of epoch {row.epoch} began it anew at {at}")
    if not _was_begun(tx, row, body):
        return Refused(Reason.ONLINE_CHECK_REQUIRED, f"the step was not begun by {body.decision_id}")
    return None


def report_step(tx: Transaction, agent: str, body: Claim, appended: Appended) -> None:
    """What a claim says of its step: completed, or, where the agent says so, not happened."""
    row = _row_of(tx, body)
    if row is None or body.decision_id is msgspec.UNSET:
        return
    if body.outcome is Outcome.COMPLETED:
        tx.put_step(
            replace(
                row,
                agent=agent,
                instance_id=body.instance_id,
                epoch=body.epoch,
                session_id=body.session_id,
                action=body.action,
                decision_id=body.decision_id,
                completed_ms=tx.now_ms,
                receipt_id=appended.receipt_id,
            )
        )
    elif (body.outcome, body.reason, body.decision_id) == (
        Outcome.FAILED,
        STEP_NOT_HAPPENED,
        row.decision_id,
    ) and row.completed_ms is None:
        tx.put_step(replace(row, decision_id=""))


def _row_of(tx: Transaction, body: Claim) -> StepRow | None:
    if isinstance(body.step_key, msgspec.UnsetType):
        return None
    return tx.step(body.tenant_id, body.step_key)


def _was_begun(tx: Transaction, row: StepRow, body: Claim) -> bool:
    """True when the cited decision began this step for this action of this instance."""
    if row.decision_id == body.decision_id:
        return (row.instance_id, row.session_id, row.action) == (
            body.instance_id,
            body.session_id,
            body.action,
        )
    # Begun earlier, and somebody has said since how it ended: rare enough to look into the session's record.
    wanted = Filter(session_id=body.session_id, kind=Kind.ACTION_AUTHORIZED.value)
    for receipt in tx.iter_receipts(body.tenant_id, wanted):
        decision = decode(Decision, receipt.statement)
        if decision.decision_id == body.decision_id:
            return (decision.step_key, decision.instance_id, decision.action) == (
                body.step_key,
                body.instance_id,
                body.action,
            )
    return False


def _is_awaited(tx: Transaction, row: StepRow) -> bool:
    found = tx.decisions(row.tenant_id, row.session_id)
    return any(one.decision_id == row.decision_id for one in found)


def _is_alive(tx: Transaction, row: StepRow) -> bool:
    return ended(tx, standing_of(tx, row.tenant_id, row.instance_id), tx.now_ms) is None


def _is_same_question(row: StepRow, asker: Asker, wish: StepWish) -> bool:
    return bool(wish.attempt) and (row.attempt, row.session_id, row.action) == (
        wish.attempt,
        asker.session_id,
        asker.action,
    )


def _payload_hash(tx: Transaction, row: StepRow) -> str:
    receipt = tx.receipt(row.tenant_id, row.receipt_id)
    if receipt is None:
        return ""
    header = decode(Header, receipt.header)
    return header.payload_hash if isinstance(header.payload_hash, str) else ""
