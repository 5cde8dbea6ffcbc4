"""The commands; a node at work is in tests/functional/node."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from dragons.cli import node as command
from dragons.cli.output import Format
from dragons.core.errors import ForbiddenError, InvalidInputError, UnauthenticatedError
from dragons.sdk.errors import ControlPlaneUnreachable
from dragons.sdk.home import Home
from dragons.wire.dispatches import Nodes, NodeView
from tests.unit.cli.answers import cli_with

NODE = NodeView(
    node="n1", first_at="2026-11-20T19:44:03.123Z", seen_at="", seen_age_ms=2_400, running=3, version="0.1.0"
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    config = {"url": "http://127.0.0.1:9", "tenant_id": "tnt_" + "0" * 32}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_nodes_are_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, _ = cli_with(home, nodes=Nodes(nodes=[NODE]))
    command.list_nodes(cli)
    assert "2.4 s ago" in capsys.readouterr().out
    cli, _ = cli_with(home, Format.JSON, nodes=Nodes(nodes=[NODE]))
    command.list_nodes(cli)
    assert json.loads(capsys.readouterr().out)["nodes"][0]["running"] == 3
    cli, _ = cli_with(home, nodes=Nodes(nodes=[]))
    command.list_nodes(cli)
    assert "dragons node --name NAME" in capsys.readouterr().err


def test_a_name_is_checked_before_anything(home: Path) -> None:
    cli, _ = cli_with(home)
    with pytest.raises(InvalidInputError):
        command.node(cli, name="A node")


def test_a_given_token_is_used(home: Path) -> None:
    path = home / "given"
    path.write_text("dgt_given\n")
    path.chmod(0o600)
    cli, _ = cli_with(home)
    cli.options = cli.options.overridden(None, None, path)
    assert command._token(cli, Home(home), "n1", threading.Event()) == "dgt_given"


def test_a_control_plane_that_is_away_is_waited_for(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_TRY_AGAIN_SECONDS", 0)
    answers = [ControlPlaneUnreachable("http://x", "gone", maybe_recorded=False)] * 2

    def token_of(*_: object) -> str:
        if answers:
            raise answers.pop()
        return "dgt_new"

    monkeypatch.setattr("dragons.node.standing.token_of", token_of)
    cli, _ = cli_with(home)
    assert command._token(cli, Home(home), "n1", threading.Event()) == "dgt_new"
    assert capsys.readouterr().err.count("Trying again") == 1
    stopped = threading.Event()
    stopped.set()
    assert command._token(cli, Home(home), "n1", stopped) == ""


@pytest.mark.parametrize("error", [UnauthenticatedError("token_expired", "m"), ForbiddenError("x", "m")])
def test_what_time_does_not_mend_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def token_of(*_: object) -> str:
        raise error

    monkeypatch.setattr("dragons.node.standing.token_of", token_of)
    cli, _ = cli_with(home)
    with pytest.raises(type(error)):
        command._token(cli, Home(home), "n1", threading.Event())
