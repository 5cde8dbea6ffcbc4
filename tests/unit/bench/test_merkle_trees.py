from hashlib import sha256

import pytest

from bench.merkle_trees import OurTree, measure
from bench.sizes import TINY
from dragons.evidence.merkle import inclusion_proof, leaf_hash, root_at, verify_inclusion

ENTRIES = [sha256(bytes([number])).digest() for number in range(21)]


def test_our_tree_proves_every_leaf() -> None:
    tree = OurTree()
    tree.grow(ENTRIES)
    root = tree.range.root()
    assert root == root_at(len(ENTRIES), tree.read)
    for place, entry in enumerate(ENTRIES):
        proof = inclusion_proof(place, len(ENTRIES), tree.read)
        assert verify_inclusion(place, len(ENTRIES), leaf_hash(entry), proof, root)


def test_without_the_peer_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.peers.find_spec", lambda _name: None)
    found = measure(TINY)
    assert "pymerkle is not installed" in found.missing
    assert not found.lines
    assert not found.met
