"""Seven separate answers, each with the first receipt that spoils it."""

from __future__ import annotations

import pytest

from dragons.audit.verdicts import Fault, Question, Report, Status, Verdict


def report(receipts: int = 1) -> Report:
    return Report(pinned="0" * 64, receipts=receipts)


def test_a_report_without_receipts_is_never_valid() -> None:
    assert report(0).valid is False
    assert report().valid is True


@pytest.mark.parametrize("question", list(Question))
def test_one_failed_verdict_spoils_the_report(question: Question) -> None:
    one = report()
    one.fail(question, Fault("x", "why", 3, 4))
    assert one.valid is False
    assert [q for q in Question if one.verdicts[q].status is Status.FAIL] == [question]


def test_what_nobody_asked_for_spoils_nothing() -> None:
    one = report()
    one.verdicts[Question.WITNESSES].status = Status.NOT_ASKED
    assert one.valid is True


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_first_offending_receipt_wins_whatever_the_order(order: tuple[int, ...]) -> None:
    faults = [Fault("late", "x", 7, 7), Fault("b", "x", 3, 3), Fault("everywhere", "x")]
    verdict = Verdict()
    for at in order:
        verdict.fail(faults[at])
    assert verdict.fault == faults[1]


def test_of_several_faults_at_one_receipt_the_code_decides() -> None:
    for pair in (("a", "b"), ("b", "a")):
        verdict = Verdict()
        for code in pair:
            verdict.fail(Fault(code, "x", 3, 3))
        assert verdict.fault is not None
        assert verdict.fault.code == "a"


def test_the_json_names_index_seq_code_and_facts() -> None:
    one = report()
    one.verdicts[Question.REDACTION].facts["opened"] = 2
    one.fail(Question.TIME, Fault("time_reversed", "back", 3, 9))
    value = one.to_json()
    assert list(value["verdicts"]) == [question.value for question in Question]
    assert value["verdicts"]["time"] == {
        "status": "fail",
        "first_offending": {"index": 3, "seq": 9},
        "code": "time_reversed",
        "detail": "back",
    }
    assert value["verdicts"]["redaction"] == {"status": "pass", "facts": {"opened": 2}}
    assert value["valid"] is False
