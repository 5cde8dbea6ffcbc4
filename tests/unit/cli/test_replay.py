from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragons.cli.main import run
from dragons.cli.replay import BROKEN, events_of
from tests.support import packs, story
from tests.support.ledger import Book


def made(folder: Path) -> tuple[Path, Book]:
    told = story.full()
    selection = packs.session_of(told.session.session_id)
    return packs.write(packs.export(told.book, selection), folder / "pack.zip"), told.book


def with_wrong_payload(folder: Path) -> tuple[Path, Book]:
    told = story.full()
    parts = packs.export(told.book, packs.session_of(told.session.session_id))
    parts.payloads[1].body = parts.payloads[1].body.replace(b"rows", b"cows")
    return packs.write(parts, folder / "pack.zip"), told.book


def test_the_verdict_comes_with_the_story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack, book = made(tmp_path)
    assert run(["packs", "replay", str(pack), "--root", book.pin, "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert (
        out.index("reconcile payments") < out.index("read:payments batch-") < out.index("closed: completed")
    )
    assert out.index("closed: completed") < out.index("\nVALID")
    assert "evidence   statement.xml sha256:" in out


def test_another_root_is_another_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack, _ = made(tmp_path)
    assert run(["packs", "replay", str(pack), "--root", "ab" * 32, "--workers", "1"]) == 1
    assert "NOT VALID" in capsys.readouterr().out


def test_without_a_pin_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack, _ = made(tmp_path)
    assert run(["packs", "replay", str(pack)]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert "[root_missing]" in err


def test_as_json_there_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack, book = made(tmp_path)
    words = [str(pack), "--root", book.pin, "--workers", "1", "-o", "json"]
    assert run(["packs", "replay", *words]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["report"]["valid"] is True
    assert [event["event"] for event in value["events"]][:2] == ["pack", "session"]
    assert value["events"][1]["goal"] == "reconcile payments"
    assert run(["verify", *words, "--replay"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["valid"] is True
    assert again["replay"] == value["events"]


def test_a_story_that_can_not_be_read_on_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack, book = with_wrong_payload(tmp_path)
    events = list(events_of(pack))
    assert events[-1]["event"] == BROKEN
    assert events[-1]["code"] == "payload_altered"
    assert run(["packs", "replay", str(pack), "--root", book.pin, "--workers", "1"]) == 1
    out = capsys.readouterr().out
    assert out.index("reconcile payments") < out.index("The story ends here") < out.index("NOT VALID")
