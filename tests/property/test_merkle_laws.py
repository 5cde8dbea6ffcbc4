"""The Merkle log equals the recursive definition of RFC 6962, and its proofs prove one thing each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.evidence.merkle import (
    EMPTY_ROOT,
    Node,
    NodeReader,
    Range,
    consistency_proof,
    cover,
    inclusion_proof,
    leaf_hash,
    root_at,
    verify_consistency,
    verify_inclusion,
)

SIZE_MAX = 300
LEAVES = [leaf_hash(number.to_bytes(4)) for number in range(SIZE_MAX)]


@cache
def tree_hash(begin: int, end: int) -> bytes:
    """MTH of RFC 6962 §2.1, word for word."""
    if begin == end:
        return sha256(b"").digest()
    if end - begin == 1:
        return LEAVES[begin]
    split = 1
    while split * 2 < end - begin:
        split *= 2
    return sha256(b"\x01" + tree_hash(begin, begin + split) + tree_hash(begin + split, end)).digest()


def read(level: int, index: int) -> bytes:
    assert (index + 1) << level <= SIZE_MAX, "only complete subtrees may be read"
    return tree_hash(index << level, (index + 1) << level)


def reader(size: int) -> NodeReader:
    """Reads only what a log of `size` leaves has stored."""

    def read_below(level: int, index: int) -> bytes:
        assert (index + 1) << level <= size, f"node ({level}, {index}) is not in a log of {size}"
        return read(level, index)

    return read_below


def flipped(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value) ^ 1 << bit).to_bytes(len(value))


@st.composite
def leaf_in_tree(draw: st.DrawFn, smallest: int = 1) -> tuple[int, int]:
    size = draw(st.integers(smallest, SIZE_MAX))
    return draw(st.integers(0, size - 1)), size


@st.composite
def two_sizes(draw: st.DrawFn) -> tuple[int, int]:
    second = draw(st.integers(1, SIZE_MAX))
    return draw(st.integers(1, second)), second


def alterations(proof: Sequence[bytes], bit: int) -> list[list[bytes]]:
    """The proof with one hash changed, left out, repeated or added, or in reverse."""
    found = [[*proof[:i], flipped(item, bit), *proof[i + 1 :]] for i, item in enumerate(proof)]
    found += [[*proof[:i], *proof[i + 1 :]] for i in range(len(proof))]
    found += [[*proof[:i], item, *proof[i:]] for i, item in enumerate(proof)]
    found += [[*proof, EMPTY_ROOT], [EMPTY_ROOT, *proof]]
    if len(proof) > 1:
        found.append(list(reversed(proof)))
    return found


def test_the_root_grown_leaf_by_leaf_is_the_defined_one_for_every_size() -> None:
    tree = Range()
    assert tree.root() == tree_hash(0, 0)
    for size, leaf in enumerate(LEAVES, start=1):
        tree.append(leaf)
        assert tree.end == size
        assert tree.root() == tree_hash(0, size)
        assert root_at(size, reader(size)) == tree_hash(0, size)


def test_every_subtree_that_completes_is_told_once_and_is_the_defined_one() -> None:
    told: list[Node] = []
    tree = Range()
    for leaf in LEAVES:
        tree.append(leaf, told.append)
    assert all(node.hash == read(node.level, node[1]) for node in told)
    places = [(node.level, node[1]) for node in told]
    expected = {(level, index) for level in range(1, 9) for index in range(SIZE_MAX >> level)}
    assert len(places) == len(expected)
    assert set(places) == expected


@given(leaf_in_tree())
def test_an_inclusion_proof_verifies(place: tuple[int, int]) -> None:
    index, size = place
    proof = inclusion_proof(index, size, reader(size))
    assert verify_inclusion(index, size, LEAVES[index], proof, tree_hash(0, size))
    assert len(proof) <= size.bit_length()


@given(leaf_in_tree(), st.integers(0, 255))
def test_an_inclusion_proof_with_any_change_fails(place: tuple[int, int], bit: int) -> None:
    index, size = place
    proof, root = inclusion_proof(index, size, reader(size)), tree_hash(0, size)
    assert not verify_inclusion(index, size, flipped(LEAVES[index], bit), proof, root)
    assert not verify_inclusion(index, size, LEAVES[index], proof, flipped(root, bit))
    for other in alterations(proof, bit):
        assert not verify_inclusion(index, size, LEAVES[index], other, root)


@given(leaf_in_tree(2), st.data())
def test_an_inclusion_proof_for_another_place_fails(place: tuple[int, int], data: st.DataObject) -> None:
    index, size = place
    proof = inclusion_proof(index, size, reader(size))
    other = data.draw(st.integers(-2, size + 2).filter(lambda number: number != index))
    assert not verify_inclusion(other, size, LEAVES[index], proof, tree_hash(0, size))


@given(leaf_in_tree(), st.integers(0, SIZE_MAX))
def test_an_inclusion_proof_against_another_tree_fails(place: tuple[int, int], other: int) -> None:
    index, size = place
    proof = inclusion_proof(index, size, reader(size))
    assert verify_inclusion(index, other, LEAVES[index], proof, tree_hash(0, other)) is (other == size)


@given(two_sizes())
def test_a_consistency_proof_verifies(sizes: tuple[int, int]) -> None:
    first, second = sizes
    proof = consistency_proof(first, second, reader(second))
    assert verify_consistency(first, second, tree_hash(0, first), tree_hash(0, second), proof)
    assert len(proof) <= second.bit_length() + 1


@given(two_sizes(), st.integers(0, 255))
def test_a_consistency_proof_with_any_change_fails(sizes: tuple[int, int], bit: int) -> None:
    first, second = sizes
    proof = consistency_proof(first, second, reader(second))
    old, new = tree_hash(0, first), tree_hash(0, second)
    assert not verify_consistency(first, second, flipped(old, bit), new, proof)
    assert not verify_consistency(first, second, old, flipped(new, bit), proof)
    for other in alterations(proof, bit):
        assert not verify_consistency(first, second, old, new, other)


@given(two_sizes(), st.integers(-1, SIZE_MAX), st.integers(-1, SIZE_MAX))
def test_a_consistency_proof_between_other_sizes_fails(sizes: tuple[int, int], one: int, two: int) -> None:
    first, second = sizes
    proof = consistency_proof(first, second, reader(second))
    old, new = tree_hash(0, max(0, one)), tree_hash(0, max(0, two))
    # A proof from a size to itself is empty and holds for every size.
    same = (one, two) == sizes or (first == second and one == two > 0)
    assert verify_consistency(one, two, old, new, proof) is same


@given(two_sizes(), st.integers(0, SIZE_MAX - 1))
def test_a_rewritten_leaf_has_no_consistency_proof(sizes: tuple[int, int], victim: int) -> None:
    first, second = sizes
    victim %= first
    leaves = [*LEAVES[:victim], flipped(LEAVES[victim], 0), *LEAVES[victim + 1 : second]]
    forged = Range(0, [Node(0, index, leaf) for index, leaf in enumerate(leaves)])
    forged_nodes = {(0, index): leaf for index, leaf in enumerate(leaves)}
    tree = Range()
    for leaf in leaves:
        tree.append(leaf, lambda node: forged_nodes.__setitem__((node.level, node[1]), node.hash))
    proof = consistency_proof(first, second, lambda level, index: forged_nodes[level, index])
    assert not verify_consistency(first, second, tree_hash(0, first), forged.root(), proof)


@given(st.integers(0, 5_000), st.integers(0, 5_000))
def test_a_cover_is_a_partition_into_aligned_subtrees(begin: int, end: int) -> None:
    at = begin
    for level, index in cover(begin, end):
        assert level >= 0
        assert index << level == at
        at = (index + 1) << level
    assert at == max(begin, end)


@given(st.integers(0, SIZE_MAX), st.integers(0, SIZE_MAX))
def test_a_cover_is_what_a_range_becomes_leaf_by_leaf(begin: int, end: int) -> None:
    tree = Range(begin)
    for index in range(begin, end):
        tree.append(LEAVES[index])
    assert [(node.level, node[1]) for node in tree.nodes()] == list(cover(begin, end))
    assert all(node.hash == read(node.level, node[1]) for node in tree.nodes())


@given(st.sets(st.integers(0, SIZE_MAX - 1)), st.integers(1, SIZE_MAX))
def test_the_root_from_some_leaves_and_the_gaps_between_them(chosen: set[int], size: int) -> None:
    tree = Range()
    for index in sorted(number for number in chosen if number < size):
        for level, place in cover(tree.end, index):
            tree.append_node(Node(level, place, read(level, place)))
        tree.append(LEAVES[index])
    for level, place in cover(tree.end, size):
        tree.append_node(Node(level, place, read(level, place)))
    assert tree.root() == tree_hash(0, size)


@given(st.sets(st.integers(0, SIZE_MAX - 1), min_size=1), st.integers(0, 255), st.data())
def test_one_changed_leaf_among_gaps_changes_the_root(
    chosen: set[int], bit: int, data: st.DataObject
) -> None:
    victim = data.draw(st.sampled_from(sorted(chosen)))
    tree = Range()
    for index in sorted(chosen):
        for level, place in cover(tree.end, index):
            tree.append_node(Node(level, place, read(level, place)))
        tree.append(flipped(LEAVES[index], bit) if index == victim else LEAVES[index])
    assert tree.root() != tree_hash(0, tree.end)


@given(st.integers(0, SIZE_MAX), st.integers(0, SIZE_MAX))
def test_a_range_taken_up_again_from_its_subtrees_goes_on_the_same(size: int, more: int) -> None:
    tree = Range(0, [Node(level, index, read(level, index)) for level, index in cover(0, size)])
    for leaf in LEAVES[size : size + more]:
        tree.append(leaf)
    assert tree.root() == tree_hash(0, min(SIZE_MAX, size + more))


@given(st.integers(0, 200), st.integers(0, 8), st.integers(0, 200))
def test_a_subtree_is_taken_only_where_the_range_ends(size: int, level: int, index: int) -> None:
    tree = Range(size)
    if index << level == size:
        tree.append_node(Node(level, index, EMPTY_ROOT))
        assert tree.end == (index + 1) << level
    else:
        with pytest.raises(ValueError, match="does not begin"):
            tree.append_node(Node(level, index, EMPTY_ROOT))
        assert tree.end == size
