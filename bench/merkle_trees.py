"""pymerkle beside Dragons: appending durably, and proofs of inclusion.

pymerkle stores leaves and hashes. It makes and checks no signature, has no header, chain, claim or index but
the leaf's number. Its SQLite tree commits each entry by itself, or a whole list of one caller at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.append import AGENTS, append_rate
from bench.figures import Found, Line, alternate, compare, each, mixed, rate
from bench.growth import fill
from bench.peers import missing
from bench.plane import Plane, opened
from bench.sizes import Sizes
from dragons.evidence.merkle import Node, Range, inclusion_proof, leaf_hash, verify_inclusion

# About the header and statement that a leaf of ours holds.
_ENTRY_BYTES = 1_500


def measure(sizes: Sizes) -> Found:
    """Each kind of work in turn with pymerkle."""
    absent = missing("pymerkle", "pymerkle")
    if absent is not None:
        return absent
    return Found([*_stored(sizes), *_in_memory(sizes)])


def _entries(count: int) -> Iterator[bytes]:
    return (sha256(str(number).encode()).digest() * (_ENTRY_BYTES // 32) for number in range(count))


def _stored(sizes: Sizes) -> list[Line]:
    from pymerkle import SqliteTree  # noqa: PLC0415 - absent elsewhere

    with tempfile.TemporaryDirectory(prefix="bench-") as folder, opened(Path(folder), AGENTS) as plane:
        plane.append(sizes.appenders, 2)
        with closing(SqliteTree(str(Path(folder) / "leaves.db"))) as tree:
            lines = [_many(plane, tree, sizes), _one(plane, tree, sizes), _lists(plane, tree, sizes)]
            fill(plane, max(0, sizes.tree - plane.size()))
            tree.append_entries(_entries(max(0, sizes.tree - tree.get_size())))
            return [*lines, _stored_proofs(plane, tree, sizes)]


def _many(plane: Plane, tree: Any, sizes: Sizes) -> Line:  # noqa: ANN401 - pymerkle has no types
    pair = alternate(sizes.rounds, lambda: _append_each(tree, sizes), lambda: append_rate(plane, sizes))
    return compare(
        "durable append, many callers", pair,
        of=f"{sizes.appenders} appenders; 2 Ed25519 signatures made and 1 checked for each receipt",
        against=f"SqliteTree.append_entry, {_ENTRY_BYTES:,} bytes, one commit an entry; no signature",
    )  # fmt: skip


def _one(plane: Plane, tree: Any, sizes: Sizes) -> Line:  # noqa: ANN401
    def ours() -> float:
        return each(lambda _: plane.append_alone(plane.workers[0]), sizes.durable_alone)

    return compare(
        "durable append, one caller", alternate(sizes.rounds, lambda: _append_each(tree, sizes), ours),
        of="one appender; the same signatures, one commit a receipt", against="as above",
    )  # fmt: skip


def _append_each(tree: Any, sizes: Sizes) -> float:  # noqa: ANN401
    entries = list(_entries(sizes.durable_alone))
    return each(lambda number: tree.append_entry(entries[number]), len(entries))


def _lists(plane: Plane, tree: Any, sizes: Sizes) -> Line:  # noqa: ANN401
    # One caller hands over as many entries at once as we have appenders.
    group = list(_entries(sizes.appenders))

    def theirs() -> float:
        return each(lambda _: tree.append_entries(group), sizes.receipts_each) * len(group)

    return compare(
        "durable append, lists of one caller", alternate(sizes.rounds, theirs, lambda: append_rate(plane, sizes)),
        target=None, of=f"{sizes.appenders} appenders that don't know of each other, signed as above",
        against=f"SqliteTree.append_entries, {len(group)} entries a commit; NO signature made or checked",
    )  # fmt: skip


def _stored_proofs(plane: Plane, tree: Any, sizes: Sizes) -> Line:  # noqa: ANN401
    # Few: each of ours reads the database anew, as the API does.
    count, size = max(1, sizes.operations // 20), sizes.tree

    def theirs() -> float:
        places = mixed(count, size)
        return each(lambda _: tree.prove_inclusion(next(places) + 1, size), count)

    def ours() -> float:
        places = mixed(count, size)
        with plane.store.read() as reader:

            def prove(_: int) -> list[bytes]:
                return inclusion_proof(
                    next(places), size, lambda level, at: reader.node(plane.tenant_id, level, at)
                )

            return each(prove, count)

    return compare(
        "inclusion proof, from the store", alternate(sizes.rounds, theirs, ours), target=None,
        of=f"tree of {size:,}, from SQLite, nothing kept between proofs",
        against="SqliteTree.prove_inclusion; keeps subtree hashes in memory",
    )  # fmt: skip


def _in_memory(sizes: Sizes) -> list[Line]:
    from pymerkle import InmemoryTree  # noqa: PLC0415
    from pymerkle import verify_inclusion as their_verification  # noqa: PLC0415

    entries = list(_entries(sizes.tree))
    theirs = InmemoryTree.init_from_entries(entries)
    ours = OurTree()
    ours.grow(entries)
    root, size, count = ours.range.root(), len(entries), sizes.operations
    assert root == theirs.get_root()
    proofs = [theirs.prove_inclusion(place + 1, size) for place in mixed(count, size)]
    our_proofs = [(place, inclusion_proof(place, size, ours.read)) for place in mixed(count, size)]
    leaves = [leaf_hash(entry) for entry in entries]

    def check_theirs(number: int) -> None:
        their_verification(leaves[our_proofs[number][0]], root, proofs[number])

    def check_ours(number: int) -> None:
        place, proof = our_proofs[number]
        assert verify_inclusion(place, size, leaves[place], proof, root)

    def prove_theirs() -> float:
        places = mixed(count, size)
        return each(lambda _: theirs.prove_inclusion(next(places) + 1, size), count)

    def prove_ours() -> float:
        places = mixed(count, size)
        return each(lambda _: inclusion_proof(next(places), size, ours.read), count)

    rounds = sizes.rounds
    return [
        compare(
            "Merkle tree, growing", alternate(
                rounds, lambda: rate(lambda: InmemoryTree.init_from_entries(entries), size),
                lambda: rate(lambda: OurTree().grow(entries), size),
            ), of=f"{size:,} leaves, every node kept in memory", against="InmemoryTree.init_from_entries",
        ),
        compare(
            "inclusion proof, in memory", alternate(rounds, prove_theirs, prove_ours),
            of=f"tree of {size:,}", against="InmemoryTree.prove_inclusion",
        ),
        compare(
            "checking an inclusion proof", alternate(
                rounds, lambda: each(check_theirs, count), lambda: each(check_ours, count)
            ), of=f"tree of {size:,}", against="pymerkle.verify_inclusion",
        ),
    ]  # fmt: skip


class OurTree:
    """Our Merkle log with every complete subtree in a dictionary."""

    def __init__(self) -> None:
        self.range = Range()
        self._nodes: dict[tuple[int, int], bytes] = {}

    def grow(self, entries: list[bytes]) -> None:
        """Append the entries."""
        nodes = self._nodes

        def keep(node: Node) -> None:
            nodes[node.level, node.offset] = node.hash

        for number, entry in enumerate(entries):
            leaf = leaf_hash(entry)
            nodes[0, number] = leaf
            self.range.append(leaf, keep)

    def read(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        return self._nodes[level, index]
