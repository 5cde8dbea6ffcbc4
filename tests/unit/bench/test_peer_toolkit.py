import subprocess
from pathlib import Path

import pytest

from bench.authorize import ACTION as OUR_ACTION
from bench.authorize import CAPABILITIES as OUR_CAPABILITIES
from bench.peer_toolkit import ACTION, CAPABILITIES, make_durable
from bench.peers import PYTHON, missing, working


def test_both_sides_decide_about_the_same() -> None:
    assert (ACTION, CAPABILITIES) == (OUR_ACTION, OUR_CAPABILITIES)


def test_a_file_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_text("x", "ascii")
    synced: list[int] = []
    monkeypatch.setattr("bench.peer_toolkit.os.fsync", synced.append)
    make_durable(path)
    assert len(synced) == 1
    with pytest.raises(FileNotFoundError):
        make_durable(tmp_path / "absent")


def test_dragons_is_not_part_of_the_peer(tmp_path: Path) -> None:
    if missing() is not None:
        pytest.skip("peers are not installed; `make bench` installs them")
    code = "import sys, bench.peer_process, bench.peer_toolkit; sys.exit('dragons' in sys.modules)"
    assert subprocess.run([PYTHON, "-c", code], check=False, cwd=Path(__file__).parents[3]).returncode == 0
    with working("bench.peer_toolkit", tmp_path) as peer:
        assert peer.ask("log", count=2) > 0
        assert peer.ask("durable_log", count=2) > 0
        assert peer.ask("check") == 1
        assert peer.ask("validate", credentials=3, calls=5) > 0
    assert len((tmp_path / "audit.jsonl").read_text("utf-8").splitlines()) == 4
