import pytest

from bench.sizes import TINY
from bench.toolkit import measure


def test_without_the_peer_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.peers.find_spec", lambda _name: None)
    found = measure(TINY)
    assert "agent-governance-toolkit is not installed" in found.missing
    assert "`make bench`" in found.missing
    assert not found.met
