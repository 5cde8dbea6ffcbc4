"""pymerkle beside Dragons: appending durably, and proofs of inclusion.

pymerkle stores leaves and hashes. It makes and checks no signature, has no header, chain, claim or index but
the leaf's number. Its SQLite tree commits each entry by itself, or a whole list of one caller at once.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.append import AGENTS, append_rate
from bench.figures import Found, Line, alternate, compare, each, mixed, rate
from bench.growth import fill
from bench.peer_pymerkle import ENTRY_BYTES, entries
from bench.peers import Peer, missing, working
from bench.plane import Plane, opened
from bench.sizes import Sizes
from dragons.evidence.merkle import Node, Range, inclusion_proof, leaf_hash, verify_inclusion


def measure(sizes: Sizes) -> Found:
    """Each kind of work in turn with pymerkle."""
    absent = missing()
    if absent is not None:
        return absent
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        working("bench.peer_pymerkle", Path(folder)) as peer,
    ):
        return Found([*_stored(Path(folder), peer, sizes), *_in_memory(peer, sizes)])


def _stored(folder: Path, peer: Peer, sizes: Sizes) -> list[Line]:
    with opened(folder, AGENTS) as plane:
        plane.append(sizes.appenders, 2)
        lines = [_many(plane, peer, sizes), _one(plane, peer, sizes), _lists(plane, peer, sizes)]
        fill(plane, max(0, sizes.tree - plane.size()))
        return [*lines, _stored_proofs(plane, peer, sizes)]


def _many(plane: Plane, peer: Peer, sizes: Sizes) -> Line:
    pair = alternate(
        sizes.rounds,
        lambda: peer.ask("append", count=sizes.durable_alone),
        lambda: append_rate(plane, sizes),
    )
    return compare(
        "durable append, many callers", pair,
        of=f"{sizes.appenders} appenders; 2 Ed25519 signatures made and 1 checked for each receipt",
        against=f"SqliteTree {peer.tell('version')}, {ENTRY_BYTES:,} bytes, one commit an entry; NO signature",
    )  # fmt: skip


def _one(plane: Plane, peer: Peer, sizes: Sizes) -> Line:
    pair = alternate(
        sizes.rounds,
        lambda: peer.ask("append", count=sizes.durable_alone),
        lambda: each(lambda _: plane.append_alone(plane.workers[0]), sizes.durable_alone),
    )
    return compare(
        "durable append, one caller", pair, target=None,
        of="one appender; the same signatures, one commit a receipt",
        against="as above: NO signature, no index",
    )  # fmt: skip


def _lists(plane: Plane, peer: Peer, sizes: Sizes) -> Line:
    # One caller hands over as many entries at once as we have appenders.
    pair = alternate(
        sizes.rounds,
        lambda: peer.ask("append_lists", count=sizes.receipts_each, group=sizes.appenders),
        lambda: append_rate(plane, sizes),
    )
    return compare(
        "durable append, lists of one caller", pair, target=None,
        of=f"{sizes.appenders} appenders that don't know of each other, signed as above",
        against=f"SqliteTree.append_entries, {sizes.appenders} entries a commit; NO signature made or checked",
    )  # fmt: skip


def _stored_proofs(plane: Plane, peer: Peer, sizes: Sizes) -> Line:
    # Few: each of ours reads the database anew, as the API does.
    count, size = max(1, sizes.operations // 20), sizes.tree

    def ours() -> float:
        places = mixed(count, size)
        with plane.store.read() as reader:

            def prove(_: int) -> list[bytes]:
                return inclusion_proof(
                    next(places), size, lambda level, at: reader.node(plane.tenant_id, level, at)
                )

            return each(prove, count)

    pair = alternate(sizes.rounds, lambda: peer.ask("prove_stored", count=count, size=size), ours)
    return compare(
        "inclusion proof, from the store", pair, target=None,
        of=f"tree of {size:,}, from SQLite, nothing kept between proofs",
        against="SqliteTree.prove_inclusion; keeps subtree hashes in memory",
    )  # fmt: skip


def _in_memory(peer: Peer, sizes: Sizes) -> list[Line]:
    size, count, rounds = sizes.tree, sizes.operations, sizes.rounds
    leaves = list(entries(size))
    growing = alternate(
        rounds, lambda: peer.ask("grow", size=size), lambda: rate(lambda: OurTree().grow(leaves), size)
    )
    tree = OurTree()
    tree.grow(leaves)
    proving = alternate(
        rounds, lambda: peer.ask("prove", count=count, size=size), lambda: tree.prove(count, size)
    )
    checking = alternate(
        rounds, lambda: peer.ask("verify", count=count, size=size), lambda: tree.verify(count, size)
    )
    return [
        compare(
            "Merkle tree, growing", growing,
            of=f"{size:,} leaves, every node kept in memory", against="InmemoryTree.init_from_entries",
        ),
        compare(
            "inclusion proof, in memory", proving,
            of=f"tree of {size:,}", against="InmemoryTree.prove_inclusion",
        ),
        compare(
            "checking an inclusion proof", checking,
            of=f"tree of {size:,}", against="pymerkle.verify_inclusion",
        ),
    ]  # fmt: skip


class OurTree:
    """Our Merkle log with every complete subtree in a dictionary."""

    def __init__(self) -> None:
        self.range = Range()
        self._nodes: dict[tuple[int, int], bytes] = {}

    def grow(self, leaves: list[bytes]) -> None:
        """Append the leaves."""
        nodes = self._nodes

        def keep(node: Node) -> None:
            nodes[node.level, node.offset] = node.hash

        for number, entry in enumerate(leaves):
            leaf = leaf_hash(entry)
            nodes[0, number] = leaf
            self.range.append(leaf, keep)

    def read(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        return self._nodes[level, index]

    def prove(self, count: int, size: int) -> float:
        """Proofs of inclusion a second."""
        places = mixed(count, size)
        return each(lambda _: inclusion_proof(next(places), size, self.read), count)

    def verify(self, count: int, size: int) -> float:
        """Proofs of inclusion checked a second."""
        root = self.range.root()
        made = [(place, inclusion_proof(place, size, self.read)) for place in mixed(count, size)]

        def check(number: int) -> None:
            place, proof = made[number]
            assert verify_inclusion(place, size, self.read(0, place), proof, root)

        return each(check, count)
