"""The side of pymerkle, in its own process: its tree in SQLite and its tree in memory."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.figures import each, mixed, rate

# About the header and statement that a leaf of ours holds.
ENTRY_BYTES = 1_536


def entries(count: int) -> Iterator[bytes]:
    """The leaves that both sides put into their trees."""
    return (sha256(str(number).encode()).digest() * (ENTRY_BYTES // 32) for number in range(count))


class Worker:
    """Each method returns operations a second."""

    def __init__(self, folder: Path) -> None:
        import pymerkle  # noqa: PLC0415 - only in the peers' environment

        self._pymerkle = pymerkle
        self._stored = pymerkle.SqliteTree(str(folder / "leaves.db"))
        self._trees: dict[int, Any] = {}

    def version(self) -> str:
        """Of the package."""
        return str(self._pymerkle.__version__)

    def append(self, count: int) -> float:
        """Entries of its SQLite tree, each with a commit of its own."""
        leaves = list(entries(count))
        return each(lambda number: self._stored.append_entry(leaves[number]), count)

    def append_lists(self, count: int, group: int) -> float:
        """Entries of its SQLite tree, `group` with one commit."""
        leaves = list(entries(group))
        return each(lambda _: self._stored.append_entries(leaves), count) * group

    def prove_stored(self, count: int, size: int) -> float:
        """Proofs of inclusion from its SQLite tree, which grows to `size` first."""
        self._stored.append_entries(entries(max(0, size - self._stored.get_size())))
        places = mixed(count, size)
        return each(lambda _: self._stored.prove_inclusion(next(places) + 1, size), count)

    def grow(self, size: int) -> float:
        """Leaves put into a new tree in memory."""
        leaves = list(entries(size))
        return rate(lambda: self._pymerkle.InmemoryTree.init_from_entries(leaves), size)

    def prove(self, count: int, size: int) -> float:
        """Proofs of inclusion from a tree in memory."""
        tree, places = self._tree(size), mixed(count, size)
        return each(lambda _: tree.prove_inclusion(next(places) + 1, size), count)

    def verify(self, count: int, size: int) -> float:
        """Proofs of inclusion checked."""
        tree, check = self._tree(size), self._pymerkle.verify_inclusion
        root = tree.get_root()
        made = [
            (tree.get_leaf(place + 1), tree.prove_inclusion(place + 1, size)) for place in mixed(count, size)
        ]
        return each(lambda number: check(made[number][0], root, made[number][1]), count)

    def _tree(self, size: int) -> Any:  # noqa: ANN401 - pymerkle has no types
        if size not in self._trees:
            self._trees[size] = self._pymerkle.InmemoryTree.init_from_entries(list(entries(size)))
        return self._trees[size]
