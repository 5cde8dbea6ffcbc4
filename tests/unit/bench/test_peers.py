import sys
from pathlib import Path

import pytest

from bench.peers import missing, working


def test_peers_are_there_or_it_is_said_why_not(tmp_path: Path) -> None:
    assert missing(Path(sys.executable)) is None
    absent = missing(tmp_path / "python")
    assert absent is not None
    assert "`make bench`" in absent.missing
    assert not absent.met


def test_a_peer_is_asked_in_its_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.peers.PYTHON", Path(sys.executable))
    # Any module with a `Worker` will do; this one counts.
    (tmp_path / "counting.py").write_text(
        "class Worker:\n"
        "    def __init__(self, folder): self.folder = folder\n"
        "    def version(self): return '1.2'\n"
        "    def add(self, one, other): return one + other\n",
        "ascii",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with working("counting", tmp_path) as peer:
        assert peer.tell("version") == "1.2"
        assert peer.ask("add", one=2, other=3) == 5.0
        with pytest.raises(AssertionError, match="process of the benchmark ended"):
            peer.ask("nothing_of_this_name")
