"""What is judged at the end. What an attacker can do to it is in tests/tamper/test_head.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dragons.audit.closing import ABANDON_WITHIN_MS, LAPSED_WITHIN_MS
from dragons.audit.verdicts import Question, Status
from dragons.core.clock import format_time, parse_time
from dragons.evidence.checkpoint import sign_checkpoint
from dragons.evidence.merkle import consistency_proof, root_at
from dragons.liveness.organism import Trigger
from tests.support import healing, packs, story, work
from tests.support.ledger import MINUTE_MS
from tests.support.story import Story


@pytest.mark.parametrize("spare_ms", [1, 0])
@pytest.mark.parametrize(
    ("over", "patience_ms"),
    [
        (lambda told: healing.transition(told.book, told.agent, Trigger.CRASHED), ABANDON_WITHIN_MS),
        (lambda told: work.release(told.book, told.agent), ABANDON_WITHIN_MS),
        (
            lambda told: setattr(told.book, "now_ms", parse_time(told.agent.lease.expires_at)),
            LAPSED_WITHIN_MS,
        ),
    ],
    ids=["halted", "released", "expired"],
)
def test_when_patience_ends(
    tmp_path: Path, over: Callable[[Story], object], patience_ms: int, spare_ms: int
) -> None:
    told = story.launched()
    over(told)
    told.book.now_ms += patience_ms - spare_ms - told.book.step_ms
    story.publish(told.book, 2)
    exported = format_time(told.book.now_ms)
    parts = packs.export(told.book).with_pack(told.book.ledger, exported_at=exported)
    report = packs.judge(parts, told.book.pin, tmp_path)
    expected = Status.PASS if spare_ms else Status.FAIL
    assert report.verdicts[Question.COMPLETENESS].status is expected


def test_a_window_leaves_its_sessions_open(tmp_path: Path) -> None:
    told = story.short()
    told.book.now_ms += 600 * MINUTE_MS
    story.publish(told.book, 2)
    report = packs.judge(packs.export(told.book, packs.window_of(told.book, 10, 11)), told.book.pin, tmp_path)
    assert report.valid
    assert report.verdicts[Question.COMPLETENESS].facts == {"open_sessions": 1}


def test_a_start_checkpoint_by_a_key_that_was_rotated_since(tmp_path: Path) -> None:
    """What it says is proven by consistency; its key need not hold any more."""
    told = story.full(cycles=1)
    book = told.book
    old = book._keys[next(key for key in book._keys if key[0] == "ledger")]
    parts = packs.export(book)
    note = sign_checkpoint(book.tenant_id, 9, root_at(9, book.read_node), old)
    proof = consistency_proof(9, parts.pack().tree_size, book.read_node)
    assert packs.judge(parts.with_head(start=note, consistency=proof), book.pin, tmp_path).valid


def test_an_orphan_is_not_told_where_a_receipt_is_missing(tmp_path: Path) -> None:
    told = story.launched()
    healing.transition(told.book, told.agent, Trigger.CRASHED)
    told.book.now_ms += 60 * MINUTE_MS
    story.publish(told.book, 2)
    assert not packs.judge(packs.export(told.book), told.book.pin, tmp_path).valid
    parts = packs.export(told.book)
    report = packs.judge(parts.with_lines(parts.lines[:-1]), told.book.pin, tmp_path)
    fault = report.verdicts[Question.COMPLETENESS].fault
    assert fault is not None
    assert fault.code == "selection_truncated"
