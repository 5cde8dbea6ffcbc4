from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from dragons.cli.context import Cli, Globals
from dragons.cli.main import run
from dragons.cli.output import Format
from dragons.cli.up import _port, _ready, remember_url


def cli_of(home: Path) -> Cli:
    return Cli(Globals(home), Format.TABLE)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    config = {"url": "http://127.0.0.1:7999", "tenant_id": "tnt_1", "root_fingerprint": "ab", "more": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRAGONS_PORT", raising=False)


def test_the_port_is_wanted_or_remembered_or_the_usual(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _port(cli_of(home), 8000) == 8000
    assert _port(cli_of(home), None) == 7999
    assert _port(cli_of(tmp_path / "none"), None) is None
    monkeypatch.setenv("DRAGONS_PORT", "8100")
    assert _port(cli_of(home), None) is None, "the settings read the variable themselves"


def test_port_0_is_a_free_one(home: Path) -> None:
    port = _port(cli_of(home), 0)
    assert port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


def test_the_address_is_remembered_and_nothing_else_changes(home: Path) -> None:
    cli = cli_of(home)
    assert cli.config.url == "http://127.0.0.1:7999"
    remember_url(cli, "http://127.0.0.1:8000")
    assert cli.config.url == "http://127.0.0.1:8000"
    known = json.loads((home / "config.json").read_text())
    assert known == {
        "url": "http://127.0.0.1:8000",
        "tenant_id": "tnt_1",
        "root_fingerprint": "ab",
        "more": 1,
    }
    assert stat.S_IMODE((home / "config.json").stat().st_mode) == 0o600


def test_an_address_that_is_the_same_is_not_written(home: Path) -> None:
    before = (home / "config.json").stat().st_mtime_ns
    remember_url(cli_of(home), "http://127.0.0.1:7999")
    assert (home / "config.json").stat().st_mtime_ns == before


def test_nobody_there_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragons.cli.up._READY_SECONDS_MAX", 0.2)
    assert not _ready("http://127.0.0.1:1")


def test_a_taken_port_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert run(["up", "--home", str(tmp_path / "home"), "--port", port]) == 1
    assert "[port_taken]" in capsys.readouterr().err
