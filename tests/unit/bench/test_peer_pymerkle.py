from pathlib import Path

import pytest

from bench.peer_pymerkle import ENTRY_BYTES, entries
from bench.peers import missing, working


def test_leaves_are_all_different_and_the_same_for_both() -> None:
    made = list(entries(300))
    assert len(set(made)) == 300
    assert {len(entry) for entry in made} == {ENTRY_BYTES}
    assert made == list(entries(300))


def test_every_kind_of_work_is_done(tmp_path: Path) -> None:
    if missing() is not None:
        pytest.skip("peers are not installed; `make bench` installs them")
    with working("bench.peer_pymerkle", tmp_path) as peer:
        assert peer.ask("append", count=2) > 0
        assert peer.ask("append_lists", count=2, group=3) > 0
        assert peer.ask("prove_stored", count=4, size=20) > 0
        assert peer.ask("grow", size=10) > 0
        assert peer.ask("prove", count=4, size=10) > 0
        assert peer.ask("verify", count=4, size=10) > 0
