from pathlib import Path

import pytest

from bench.peers import make_durable, missing


def test_a_peer_is_there_or_it_is_said_why_not() -> None:
    assert missing("json", "json") is None
    absent = missing("no_such_module_here", "a-package")
    assert absent is not None
    assert absent.missing.startswith("a-package is not installed")


def test_a_file_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_text("x", "ascii")
    synced: list[int] = []
    monkeypatch.setattr("bench.peers.os.fsync", synced.append)
    make_durable(path)
    assert len(synced) == 1
    with pytest.raises(FileNotFoundError):
        make_durable(tmp_path / "absent")
