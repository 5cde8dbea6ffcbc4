from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragons.cli.context import Cli, Globals
from dragons.cli.main import run
from dragons.cli.output import Format
from dragons.cli.playbook import _notifier, _show_result
from dragons.core.errors import DragonsError
from dragons.node.playbook.book import open_book
from dragons.node.playbook.channel import Report, Told
from dragons.node.playbook.machine import Ending
from dragons.node.playbook.run import PlaybookResult

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "crashing-service"
RESULT = PlaybookResult(
    agent="shop@v1",
    manifest_hash="ab" * 32,
    instance_id="i",
    lease_id="lse_1",
    session_id="ses_1",
    receipt_id="rcp_1",
    chain_root="cd" * 32,
    ending=Ending.FAILED,
    why="2 restarts did not help",
    starts=3,
    exit_status=4,
    postmortem="/tmp/p.md",  # noqa: S108 - a name in a table
    report=Report(session_id="ses_2", told=[Told(kind="slack", name="ops", outcome="delivered")]),
    waiting=2,
)


def cli(wanted: Format = Format.TABLE, home: Path = Path("none")) -> Cli:
    return Cli(Globals(home), wanted)


def test_the_example_is_valid_without_a_home(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["playbook", "validate", str(EXAMPLE), "-o", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["agent"], shown["valid"]) == ("crashing-service", True)
    assert shown["manifest_hash"] == open_book(EXAMPLE).manifest.hash()


def test_what_it_does_and_may_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["playbook", "show", str(EXAMPLE), "-o", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["delegate_scope"] == ["notify:email", "notify:slack"]
    assert not set(shown["scope"]) & set(shown["delegate_scope"])
    assert shown["playbook"]["restart"]["attempts"] == 2
    assert run(["playbook", "show", str(EXAMPLE)]) == 0
    table = capsys.readouterr().out
    for text in ("price_malformed", "2, after pauses of 0.5 to 5 s", "email/on-call", "only hands on"):
        assert text in table


def test_a_fault_names_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "playbook.yaml").write_text("version: 1\nservice: {command: [a]}\nrestart: {attempts: x}\n")
    assert run(["playbook", "validate", str(tmp_path)]) == 2
    assert "playbook.yaml:3: restart.attempts: expected `int`, got `str`" in capsys.readouterr().err


def test_channels_are_checked_before_anything_runs(tmp_path: Path) -> None:
    book = open_book(EXAMPLE)
    found = _notifier(cli(), book, EXAMPLE / "notifiers.yaml")
    assert found is not None
    assert found.notifiers == EXAMPLE / "notifiers.yaml"
    with pytest.raises(DragonsError) as caught:
        _notifier(cli(home=tmp_path), book, None)
    assert caught.value.code == "notifiers_missing"
    assert str(tmp_path / "control" / "notifiers.yaml") in caught.value.message


def test_the_end_is_told_to_people_and_machines(capsys: pytest.CaptureFixture[str]) -> None:
    _show_result(cli(), RESULT)
    told = capsys.readouterr()
    assert told.out == ""
    assert "failed: 2 restarts did not help" in told.err
    assert "slack/ops delivered" in told.err
    assert "2 receipts wait" in told.err
    _show_result(cli(Format.JSON), RESULT)
    shown: dict[str, Any] = json.loads(capsys.readouterr().err)
    assert (shown["ending"], shown["starts"], shown["session_id"]) == ("failed", 3, "ses_1")
