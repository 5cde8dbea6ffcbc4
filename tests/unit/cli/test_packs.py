from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragons.cli.main import run
from tests.support import packs, story


def test_what_a_pack_says_of_itself_is_called_unverified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = story.full()
    pack = packs.write(
        packs.export(told.book, packs.session_of(told.session.session_id)), tmp_path / "pack.zip"
    )
    assert run(["packs", "show", str(pack)]) == 0
    out, err = capsys.readouterr()
    assert "Unverified" in err
    assert told.book.tenant_id in out
    assert told.session.session_id in out
    assert run(["packs", "show", str(pack), "-o", "json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["verified"] is False
    assert value["pack"]["selection"]["session_id"] == told.session.session_id


def test_a_missing_pack(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["packs", "show", "none.zip"]) == 3
    assert "[pack_missing]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--session", "s", "--agent", "a"],
        ["--ledger", "--since", "1h"],
        ["--agent", "a", "--until", "2026-01-01"],
    ],
)
def test_a_pack_is_of_one_thing(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["packs", "export", "--out", str(tmp_path / "pack.zip"), *words]) == 2
    assert "Give one of --session" in capsys.readouterr().err


def test_a_file_is_not_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pack.zip"
    out.write_text("precious")
    assert run(["packs", "export", "--out", str(out), "--ledger"]) == 1
    assert "--force" in capsys.readouterr().err
    assert out.read_text() == "precious"
