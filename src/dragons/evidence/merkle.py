"""The Merkle log: hashing and proofs of RFC 6962 §2.1, over leaf hashes and ranges of them.

Pure functions; where hashes are stored is somebody else's business (`NodeReader`). Nodes are named
(level, index): level 0 are leaf hashes, node (l, i) covers leaves [i·2^l, (i+1)·2^l).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

EMPTY_ROOT = sha256(b"").digest()
HASH_BYTES = 32

NodeReader = Callable[[int, int], bytes]


class Node(NamedTuple):
    """A complete subtree by its place and hash; `offset` is its index on its level."""

    level: int
    offset: int
    hash: bytes


def leaf_hash(data: bytes) -> bytes:
    """RFC 6962: SHA-256 of 0x00 and the leaf."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962: SHA-256 of 0x01 and both children."""
    return sha256(b"\x01" + left + right).digest()


class Range:
    """Leaves [begin, end) as the fewest complete subtrees; grows at its end, O(log n) in memory."""

    __slots__ = ("_nodes", "begin", "end")

    def __init__(self, begin: int = 0, nodes: Iterable[Node] = ()) -> None:
        """Starts as `nodes`, which must be adjacent from `begin`; ValueError otherwise."""
        self.begin = begin
        self.end = begin
        self._nodes: list[Node] = []
        for node in nodes:
            self.append_node(node)

    def append(self, leaf: bytes, completed: Callable[[Node], None] | None = None) -> None:
        """Add the hash of the next leaf; `completed` hears of each subtree that became complete."""
        self.append_node(Node(0, self.end, leaf), completed)

    def append_node(self, node: Node, completed: Callable[[Node], None] | None = None) -> None:
        """Add a complete subtree that begins where the range ends; ValueError when it doesn't."""
        level, index, value = node
        if index << level != self.end:
            msg = f"node ({level}, {index}) does not begin at leaf {self.end}"
            raise ValueError(msg)
        self.end = (index + 1) << level
        nodes = self._nodes
        while nodes and index & 1 and nodes[-1].level == level:
            value = node_hash(nodes.pop().hash, value)
            level += 1
            index >>= 1
            if completed is not None:
                completed(Node(level, index, value))
        nodes.append(Node(level, index, value))

    def nodes(self) -> Sequence[Node]:
        """The subtrees, left to right."""
        return tuple(self._nodes)

    def root(self) -> bytes:
        """The tree hash of RFC 6962 §2.1; only for ranges that begin at 0."""
        if self.begin != 0:
            msg = "only a range from leaf 0 has a root"
            raise ValueError(msg)
        if not self._nodes:
            return EMPTY_ROOT
        value = self._nodes[-1].hash
        for node in reversed(self._nodes[:-1]):
            value = node_hash(node.hash, value)
        return value


def cover(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """(level, index) of the complete subtrees that cover leaves [begin, end), left to right."""
    while begin < end:
        level = (begin & -begin).bit_length() - 1 if begin else (end - begin).bit_length() - 1
        while begin + (1 << level) > end:
            level -= 1
        yield level, begin >> level
        begin += 1 << level


def root_at(size: int, read: NodeReader) -> bytes:
    """The root of the first `size` leaves."""
    return Range(0, (Node(level, index, read(level, index)) for level, index in cover(0, size))).root()


def inclusion_proof(index: int, size: int, read: NodeReader) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 §2.1.1; ValueError when `index` is not below `size`."""
    if not 0 <= index < size:
        msg = f"leaf {index} is not in a tree of {size}"
        raise ValueError(msg)
    return _path(index, 0, size, read)


def consistency_proof(first: int, second: int, read: NodeReader) -> list[bytes]:
    """PROOF(first, D[second]) of RFC 6962 §2.1.2; ValueError unless 0 < first <= second."""
    if not 0 < first <= second:
        msg = f"there is no consistency proof from {first} to {second}"
        raise ValueError(msg)
    return _subproof(first, 0, second, read, complete=True)


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """True when `leaf` (its hash) is at `index` in the tree of `size` leaves with `root` (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size or len(leaf) != HASH_BYTES:
        return False
    inner, last, value = index, size - 1, leaf
    for sibling in proof:
        if last == 0 or len(sibling) != HASH_BYTES:
            return False
        if inner & 1 or inner == last:
            value = node_hash(sibling, value)
            while not inner & 1 and inner:
                inner >>= 1
                last >>= 1
        else:
            value = node_hash(value, sibling)
        inner >>= 1
        last >>= 1
    return last == 0 and value == root


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> bool:
    """True when the tree of `first` leaves is a prefix of that of `second` (RFC 9162 §2.1.4.2).

    A proof from the empty tree proves nothing and is refused.
    """
    if not 0 < first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    path = list(proof)
    if any(len(item) != HASH_BYTES for item in path):
        return False
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    if not path:
        return False
    inner, last = first - 1, second - 1
    while inner & 1:
        inner >>= 1
        last >>= 1
    old = new = path[0]
    for item in path[1:]:
        if last == 0:
            return False
        if inner & 1 or inner == last:
            old, new = node_hash(item, old), node_hash(item, new)
            while not inner & 1 and inner:
                inner >>= 1
                last >>= 1
        else:
            new = node_hash(new, item)
        inner >>= 1
        last >>= 1
    return last == 0 and old == first_root and new == second_root


def _subtree(begin: int, end: int, read: NodeReader) -> bytes:
    # The hash of D[begin:end], where `begin` is a multiple of the subtree's width.
    size = end - begin
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return read(level, begin >> level)
    split = _split(size)
    return node_hash(_subtree(begin, begin + split, read), _subtree(begin + split, end, read))


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _path(index: int, begin: int, end: int, read: NodeReader) -> list[bytes]:
    if end - begin == 1:
        return []
    middle = begin + _split(end - begin)
    if index < middle:
        return [*_path(index, begin, middle, read), _subtree(middle, end, read)]
    return [*_path(index, middle, end, read), _subtree(begin, middle, read)]


def _subproof(first: int, begin: int, end: int, read: NodeReader, *, complete: bool) -> list[bytes]:
    size = end - begin
    if first == size:
        return [] if complete else [_subtree(begin, end, read)]
    split = _split(size)
    middle = begin + split
    if first <= split:
        return [*_subproof(first, begin, middle, read, complete=complete), _subtree(middle, end, read)]
    rest = _subproof(first - split, middle, end, read, complete=False)
    return [*rest, _subtree(begin, middle, read)]
