"""spec/vectors: made again they are the same, and each pack gives exactly the report that is written beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dragons.audit.verdicts import Question
from dragons.audit.verify import verify_file
from dragons.core.canonical import canonical, parse_canonical
from dragons.core.errors import InvalidInputError
from dragons.core.keys import PublicKey
from dragons.evidence.checkpoint import parse_witness
from scripts import vectors as made
from tests.support import cases_more
from tests.vectors import alone
from tests.vectors.codes import all_codes

INDEX: list[dict[str, Any]] = json.loads((made.PACKS / "index.json").read_text())["packs"]
BYTES_MAX = 2_000_000


def test_the_vectors_are_made_again_as_they_are() -> None:
    fresh = {**made.small(), **made.packs_and_index()}
    stale = [path.name for path, data in fresh.items() if not made.same(path, data)]
    assert not stale, "run scripts/make-vectors"
    assert {path for path in made.FOLDER.rglob("*") if path.is_file()} == set(fresh)


def test_twice_made_they_have_the_same_bytes() -> None:
    """Compressed too: only another zlib may give other archives of the same entries."""
    assert made.packs_and_index() == made.packs_and_index()


def test_they_stay_small() -> None:
    assert sum(path.stat().st_size for path in made.FOLDER.rglob("*") if path.is_file()) < BYTES_MAX


@pytest.mark.parametrize("entry", INDEX, ids=lambda entry: entry["file"])
def test_a_pack_gives_its_report(entry: dict[str, Any]) -> None:
    options = dict(entry["options"])
    if "witnesses" in options:
        options["witnesses"] = [parse_witness(one) for one in options["witnesses"]]
    report = verify_file(made.PACKS / entry["file"], entry["root"], workers=1, **options)
    assert report.to_json() == entry["report"]


@pytest.mark.parametrize("case", cases_more.all_of_it(), ids=lambda case: case.name)
def test_a_case_shows_what_it_is_named_after(case: Any) -> None:
    entry = next(one for one in INDEX if one["file"] == f"{case.name}.zip")
    codes = {verdict.get("code") for verdict in entry["report"]["verdicts"].values()}
    assert entry["report"]["valid"] is (case.code == "")
    assert case.code in codes or not case.code


def test_every_code_is_shown_by_some_pack() -> None:
    shown = {v["code"] for entry in INDEX for v in entry["report"]["verdicts"].values() if "code" in v}
    assert shown == all_codes()


def test_the_verifier_needs_no_more_than_three_packages() -> None:
    """All packs judged by a new process in which nothing else can be imported: the same reports."""
    command = [sys.executable, "-P", alone.__file__, str(made.PACKS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["reports"] == {entry["file"]: entry["report"] for entry in INDEX}
    assert said["strangers"] == []


def test_every_question_is_answered_badly_by_some_pack() -> None:
    failed = {
        name
        for entry in INDEX
        for name, verdict in entry["report"]["verdicts"].items()
        if verdict["status"] == "fail"
    }
    assert failed == {question.value for question in Question}


def test_what_is_refused_is_refused() -> None:
    for one in json.loads((made.FOLDER / "canonical.json").read_text())["refused"]:
        with pytest.raises(InvalidInputError):
            parse_canonical(one["text"].encode())
    for raw in json.loads((made.FOLDER / "keys.json").read_text())["refused"]:
        with pytest.raises(InvalidInputError):
            PublicKey(bytes.fromhex(raw))


def test_what_is_equal_is_equal() -> None:
    for one in json.loads((made.FOLDER / "canonical.json").read_text())["equal"]:
        assert canonical(one["value"]).hex() == one["hex"]


def test_a_check_names_what_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(made, "FOLDER", tmp_path)
    monkeypatch.setattr(made, "PACKS", tmp_path / "packs")
    monkeypatch.setattr(made, "packs_and_index", dict)
    assert made.main(["--check"]) == 1
    assert "out of date: keys.json" in capsys.readouterr().out
    assert made.main([]) == 0
    assert made.main(["--check"]) == 0
