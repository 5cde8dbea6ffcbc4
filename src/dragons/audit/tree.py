"""The log's Merkle tree while it is walked: leaves and gaps from the left, in memory for its height.

The same hashing as `dragons.evidence.merkle`, which the root is compared with in tests; without the
names of nodes, because a verifier meets every leaf once.
"""

from __future__ import annotations

from hashlib import sha256

from dragons.evidence.merkle import EMPTY_ROOT


class LogTree:
    """Leaves [0, size) as the roots of the complete subtrees they consist of."""

    __slots__ = ("_roots", "size")

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """The next leaf's bytes."""
        value = sha256(b"\x00" + leaf).digest()
        if self.size & 1:
            self._add(0, value)
        else:
            self._roots.append(value)
            self.size += 1

    def skip(self, level: int, index: int, value: bytes) -> None:
        """A complete subtree whose leaves are not shown; ValueError when it does not begin at `size`."""
        if index << level != self.size:
            msg = f"node ({level}, {index}) does not begin at leaf {self.size}"
            raise ValueError(msg)
        self._add(level, value)

    def root(self) -> bytes:
        """The tree hash of RFC 6962 §2.1."""
        if not self._roots:
            return EMPTY_ROOT
        value = self._roots[-1]
        for left in self._roots[-2::-1]:
            value = sha256(b"\x01" + left + value).digest()
        return value

    def _add(self, level: int, value: bytes) -> None:
        # A set bit of `size` at a level is a complete subtree there, waiting for its right sibling.
        rest = self.size >> level
        while rest & 1:
            value = sha256(b"\x01" + self._roots.pop() + value).digest()
            rest >>= 1
        self._roots.append(value)
        self.size += 1 << level
