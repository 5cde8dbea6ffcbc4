"""The Merkle log of RFC 6962, against the roots that Certificate Transparency publishes."""

from __future__ import annotations

from hashlib import sha256

import pytest

from dragons.evidence.merkle import (
    EMPTY_ROOT,
    Node,
    Range,
    consistency_proof,
    cover,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_at,
    verify_consistency,
    verify_inclusion,
)

# The test tree of certificate-transparency and transparency-dev, and its roots for 1 to 8 leaves.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]


def built(size: int) -> tuple[Range, dict[tuple[int, int], bytes]]:
    """The range of the first leaves, and every node that became complete on the way."""
    tree, nodes = Range(), {}
    for index, value in enumerate(HASHES[:size]):
        nodes[0, index] = value
        tree.append(value, lambda node: nodes.__setitem__((node.level, node.offset), node.hash))
    return tree, nodes


def reader(size: int):
    nodes = built(size)[1]
    return lambda level, index: nodes[level, index]


def test_leaves_and_nodes_are_hashed_apart() -> None:
    assert leaf_hash(b"x") == sha256(b"\x00x").digest()
    assert node_hash(HASHES[0], HASHES[1]) == sha256(b"\x01" + HASHES[0] + HASHES[1]).digest()
    assert leaf_hash(HASHES[0] + HASHES[1]) != node_hash(HASHES[0], HASHES[1])


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert Range().root() == EMPTY_ROOT == sha256(b"").digest()
    assert root_at(0, reader(0)) == EMPTY_ROOT


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_roots_hold(size: int) -> None:
    assert built(size)[0].root().hex() == ROOTS[size - 1]
    assert root_at(size, reader(8)).hex() == ROOTS[size - 1]


def test_the_proofs_of_rfc_6962_hold() -> None:
    # RFC 6962 §2.1.3, with the tree of seven leaves: PATH(0), PATH(3), PATH(4), PATH(6).
    read = reader(7)
    a, b, c, d, e, f, j = HASHES[:7]
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, last = node_hash(g, h), node_hash(i, j)
    assert inclusion_proof(0, 7, read) == [b, h, last]
    assert inclusion_proof(3, 7, read) == [c, g, last]
    assert inclusion_proof(4, 7, read) == [f, j, k]
    assert inclusion_proof(6, 7, read) == [i, k]
    assert consistency_proof(3, 7, read) == [c, d, g, last]
    assert consistency_proof(4, 7, read) == [last]
    assert consistency_proof(6, 7, read) == [i, j, k]
    assert consistency_proof(7, 7, read) == []


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 4), (8, 8), (9, 8)])
def test_there_is_no_inclusion_proof_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="is not in a tree"):
        inclusion_proof(index, size, reader(8))
    assert not verify_inclusion(index, size, HASHES[0], [], HASHES[0])


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 4), (5, 4), (-1, 4)])
def test_there_is_no_consistency_proof_from_nothing_or_backwards(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="no consistency proof"):
        consistency_proof(first, second, reader(8))
    assert not verify_consistency(first, second, EMPTY_ROOT, EMPTY_ROOT, [])


def test_a_tree_of_one_leaf_is_that_leaf() -> None:
    assert inclusion_proof(0, 1, reader(1)) == []
    assert verify_inclusion(0, 1, HASHES[0], [], HASHES[0])
    assert not verify_inclusion(0, 1, HASHES[0], [], HASHES[1])
    assert not verify_inclusion(0, 1, HASHES[0], [HASHES[1]], node_hash(HASHES[0], HASHES[1]))


def test_a_node_cannot_pass_as_a_leaf() -> None:
    read = reader(4)
    inner = node_hash(HASHES[0], HASHES[1])
    assert not verify_inclusion(0, 4, inner, [node_hash(HASHES[2], HASHES[3])], root_at(4, read))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_hashes_of_another_length_are_refused(length: int) -> None:
    short = bytes(length)
    assert not verify_inclusion(0, 2, short, [HASHES[1]], node_hash(short, HASHES[1]))
    assert not verify_inclusion(0, 2, HASHES[0], [short], node_hash(HASHES[0], short))
    assert not verify_consistency(1, 2, HASHES[0], node_hash(HASHES[0], short), [short])


def test_bytes_cannot_move_between_two_hashes() -> None:
    joined = HASHES[0] + HASHES[1]
    root = sha256(b"\x01" + joined).digest()
    assert verify_inclusion(0, 2, joined[:32], [joined[32:]], root)
    assert not verify_inclusion(0, 2, joined[:31], [joined[31:]], root)


def test_equal_sizes_need_equal_roots_and_no_proof() -> None:
    root = built(5)[0].root()
    assert verify_consistency(5, 5, root, root, [])
    assert not verify_consistency(5, 5, root, EMPTY_ROOT, [])
    assert not verify_consistency(5, 5, root, root, [root])


def test_unequal_sizes_need_a_proof() -> None:
    roots = [built(size)[0].root() for size in range(9)]
    assert not verify_consistency(4, 8, roots[4], roots[8], [])
    assert not verify_consistency(3, 8, roots[3], roots[8], [])


def test_a_range_is_the_fewest_complete_subtrees() -> None:
    tree = Range(3)
    for index in range(3, 8):
        tree.append(HASHES[index])
    assert [(node.level, node.offset) for node in tree.nodes()] == [(0, 3), (2, 1)]
    assert (tree.begin, tree.end) == (3, 8)


def test_subtrees_that_complete_are_told_from_small_to_large() -> None:
    told: list[Node] = []
    tree = Range()
    for value in HASHES:
        tree.append(value, told.append)
    assert [(node.level, node.offset) for node in told] == [
        (1, 0),
        (1, 1),
        (2, 0),
        (1, 2),
        (1, 3),
        (2, 1),
        (3, 0),
    ]
    assert told[-1].hash.hex() == ROOTS[7]


@pytest.mark.parametrize(
    "node",
    [
        Node(0, 0, EMPTY_ROOT),
        Node(0, 3, EMPTY_ROOT),
        Node(1, 0, EMPTY_ROOT),
        Node(1, 2, EMPTY_ROOT),
        Node(2, 1, EMPTY_ROOT),
    ],
)
def test_a_subtree_that_does_not_begin_at_the_end_is_refused(node: Node) -> None:
    tree = Range(0, [Node(1, 0, HASHES[0])])
    with pytest.raises(ValueError, match="does not begin"):
        tree.append_node(node)
    assert tree.end == 2


def test_subtrees_with_a_gap_make_no_range() -> None:
    with pytest.raises(ValueError, match="does not begin"):
        Range(0, [Node(0, 0, HASHES[0]), Node(0, 2, HASHES[2])])


def test_a_range_that_begins_later_has_no_root() -> None:
    with pytest.raises(ValueError, match="from leaf 0"):
        Range(1, [Node(0, 1, HASHES[1])]).root()


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (0, 0, []),
        (5, 5, []),
        (6, 5, []),
        (0, 1, [(0, 0)]),
        (0, 8, [(3, 0)]),
        (0, 7, [(2, 0), (1, 2), (0, 6)]),
        (1, 8, [(0, 1), (1, 1), (2, 1)]),
        (3, 11, [(0, 3), (2, 1), (1, 4), (0, 10)]),
        (8, 12, [(2, 2)]),
    ],
)
def test_a_span_is_covered_by_complete_subtrees(
    begin: int, end: int, expected: list[tuple[int, int]]
) -> None:
    assert list(cover(begin, end)) == expected
