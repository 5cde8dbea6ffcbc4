from pathlib import Path

import pytest

from bench.peers import missing
from bench.sizes import TINY
from bench.toolkit import measure


def test_without_the_peer_nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.peers.PYTHON", tmp_path / "python")
    found = measure(TINY)
    assert "`make bench` makes it" in found.missing
    assert not found.lines
    assert not found.met


def test_every_line_says_what_the_peer_leaves_out() -> None:
    if missing() is not None:
        pytest.skip("peers are not installed; `make bench` installs them")
    found = measure(TINY)
    assert all(line.ratio is not None for line in found.lines)
    durable = [line for line in found.lines if line.name.startswith(("durable", "log"))]
    assert len(durable) == 3
    assert all("NO signature" in line.against for line in durable)
    # What decides the speed is left out by the peer: that is no race.
    assert [line.target for line in durable].count(None) == 2
