from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragons.audit.verdicts import Fault, Question, Report, Status
from dragons.cli.main import run
from dragons.cli.output import console
from dragons.cli.verify import pinned, report_view
from dragons.core.errors import InvalidInputError

PIN = "5f" * 32


def shown(report: Report, capsys: pytest.CaptureFixture[str]) -> str:
    console().print(report_view(report))
    return capsys.readouterr().out


def test_the_pin_never_comes_from_the_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(tmp_path / "evidence.zip")]) == 2
    err = capsys.readouterr().err
    assert "[root_missing]" in err
    assert "dragons keys fingerprint" in err
    assert "never brings its own" in err


def test_a_pin_is_taken_as_given() -> None:
    assert pinned(PIN) == PIN
    with pytest.raises(InvalidInputError) as caught:
        pinned(None)
    assert caught.value.code == "root_missing"


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["none.zip", "--root", PIN], 3, "pack_missing"),
        (["none.zip", "--root", PIN, "--witness", "nonsense"], 2, "checkpoint_malformed"),
        (["none.zip", "--root", PIN, "--witnesses", "-1"], 2, "usage"),
        (["none.zip", "--root", PIN, "--workers", "0"], 2, "usage"),
    ],
)
def test_refusals(words: list[str], code: int, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", *words, "-o", "json"]) == code
    out, err = capsys.readouterr()
    assert not out
    assert json.loads(err)["error"]["code"] == reason


@pytest.mark.parametrize("pin", ["abc", "g" * 64, "", "5f" * 31])
def test_a_pin_has_one_form(pin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = tmp_path / "evidence.zip"
    pack.write_bytes(b"PK")
    assert run(["verify", str(pack), "--root", pin]) == 2
    assert "error: " in capsys.readouterr().err


def test_what_is_no_pack_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = tmp_path / "evidence.zip"
    pack.write_bytes(b"not a zip")
    assert run(["verify", str(pack), "--root", PIN]) == 2
    assert "[pack_damaged]" in capsys.readouterr().err


def test_verdicts_are_shown_separately(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(pinned=PIN, receipts=12, selected=7)
    report.verdicts[Question.WITNESSES].status = Status.NOT_ASKED
    report.verdicts[Question.REDACTION].facts["opened"] = 7
    text = shown(report, capsys)
    assert text.startswith("VALID  7 selected of 12 receipts shown")
    assert {line.split()[0] for line in text.splitlines()[7:]} == {question.value for question in Question}
    assert "not asked" in text
    assert "7 opened" in text
    assert PIN in text


def test_the_first_offending_receipt_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(pinned=PIN, receipts=12, selected=7)
    report.fail(Question.INTEGRITY, Fault("chain_broken", "parent_root\x1b[2J", 5, 17))
    report.fail(Question.INTEGRITY, Fault("later", "later", 9, 21))
    text = shown(report, capsys)
    assert text.startswith("NOT VALID")
    line = next(line for line in text.splitlines() if line.startswith("integrity"))
    assert "index 5, seq 17" in line
    assert "chain_broken" in line
    assert "\x1b" not in line
