from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragons.cli.main import run
from dragons.cli.replay import replay_steps
from dragons.core.vocabulary import Kind
from tests.support import packs, story
from tests.support.ledger import Book


def made(folder: Path, *, redacted: bool = False) -> tuple[Path, Book]:
    told = story.full()
    selection = packs.session_of(told.session.session_id)
    return packs.write(packs.export(told.book, selection, redacted=redacted), folder / "pack.zip"), told.book


def test_the_story_is_goal_action_evidence_outcome(tmp_path: Path) -> None:
    pack, book = made(tmp_path)
    steps = list(replay_steps(pack))
    assert steps[0].kind == Kind.SESSION_OPENED
    assert steps[0].goal == "reconcile payments"
    assert steps[-1].kind == Kind.SESSION_CLOSED
    assert steps[-1].outcome == "completed"
    work = [step for step in steps if step.kind == Kind.WORK]
    assert work[0].action == "read:payments"
    assert work[0].evidence[0]["name"] == "statement.xml"
    assert len(work[0].evidence[0]["sha256"]) == 64
    assert [step.seq for step in steps] == [
        header.seq for header in book.headers if header.session_id == steps[0].session_id
    ]
    assert any(not step.shown for step in steps), "an erased payload is told as absent"


def test_a_redacted_pack_tells_hashes_only(tmp_path: Path) -> None:
    pack, _ = made(tmp_path, redacted=True)
    steps = list(replay_steps(pack))
    assert not any(step.goal for step in steps)
    assert all(len(one["sha256"]) == 64 and "name" not in one for step in steps for one in step.evidence)


def test_the_verdict_comes_with_the_story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack, book = made(tmp_path)
    assert run(["packs", "replay", str(pack), "--root", book.pin, "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert out.index("goal     reconcile payments") < out.index("outcome  completed") < out.index("VALID")
    assert "evidence statement.xml" in out


def test_another_root_is_another_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack, _ = made(tmp_path)
    assert run(["packs", "replay", str(pack), "--root", "ab" * 32, "--workers", "1"]) == 1
    assert "NOT VALID" in capsys.readouterr().out
    assert run(["packs", "replay", str(pack)]) == 2


def test_as_json_there_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack, book = made(tmp_path)
    assert run(["packs", "replay", str(pack), "--root", book.pin, "--workers", "1", "-o", "json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["report"]["valid"] is True
    assert value["steps"][0]["goal"] == "reconcile payments"
    assert run(["verify", str(pack), "--root", book.pin, "--workers", "1", "--replay", "-o", "json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["valid"] is True
    assert len(value["replay"]) == value["selected"]


def test_a_payload_that_opens_nothing_is_not_told(tmp_path: Path) -> None:
    told = story.full()
    parts = packs.export(told.book, packs.session_of(told.session.session_id))
    parts.payloads[0].body = parts.payloads[0].body.replace(b"reconcile", b"embezzled")
    steps = list(replay_steps(packs.write(parts, tmp_path / "pack.zip")))
    assert steps[0].goal == ""
    assert not steps[0].shown
