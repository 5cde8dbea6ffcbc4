"""The walked tree against the kept one: every size, every way of leaving leaves out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dragons.audit.tree import LogTree
from dragons.evidence.merkle import Range, cover, leaf_hash, root_at

SIZE = 37
LEAVES = [b"leaf %d" % n for n in range(SIZE)]


@pytest.fixture(scope="module")
def read() -> Callable[[int, int], bytes]:
    nodes = {(0, n): leaf_hash(leaf) for n, leaf in enumerate(LEAVES)}
    tree = Range()
    for leaf in LEAVES:
        tree.append(leaf_hash(leaf), lambda node: nodes.update({(node.level, node.offset): node.hash}))
    return lambda level, index: nodes[level, index]


def test_the_root_is_the_kept_ones_at_every_size(read: Callable[[int, int], bytes]) -> None:
    tree = LogTree()
    assert tree.root() == Range().root()
    for size, leaf in enumerate(LEAVES, start=1):
        tree.append(leaf)
        assert (tree.size, tree.root()) == (size, root_at(size, read))


def test_gaps_stand_for_their_leaves(read: Callable[[int, int], bytes]) -> None:
    for begin in range(SIZE):
        for end in range(begin, SIZE + 1):
            tree = LogTree()
            for leaf in LEAVES[:begin]:
                tree.append(leaf)
            for level, index in cover(begin, end):
                tree.skip(level, index, read(level, index))
            for leaf in LEAVES[end:]:
                tree.append(leaf)
            assert tree.root() == root_at(SIZE, read)


@pytest.mark.parametrize(("level", "index"), [(0, 0), (0, 4), (1, 1), (2, 0), (52, 0), (1, 2)])
def test_a_gap_begins_where_the_log_is(level: int, index: int) -> None:
    tree = LogTree()
    for leaf in LEAVES[:3]:
        tree.append(leaf)
    with pytest.raises(ValueError, match="does not begin at leaf 3"):
        tree.skip(level, index, bytes(32))
    assert tree.size == 3
