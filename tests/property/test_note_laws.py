"""Checkpoint notes come back whole; one flipped bit and they count for nothing."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole
from dragons.evidence.checkpoint import (
    Checkpoint,
    Witness,
    cosign,
    count_witnesses,
    format_witness,
    origin_of,
    parse_note,
    parse_witness,
    sign_checkpoint,
    verify_checkpoint,
)
from tests.property.builders import name, signer

LEDGER = signer(5, KeyRole.LEDGER)
TENANT = name("tnt", 1)
WITNESS_NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Z", "C"], exclude_characters="+"),
    min_size=1,
    max_size=20,
)


def bit_flips(text: str) -> list[str]:
    """Every text one bit away, as far as it is UTF-8."""
    data, found = text.encode(), []
    for place in range(len(data) * 8):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        try:
            found.append(changed.decode())
        except UnicodeDecodeError:
            continue
    return found


def code_of(read: Callable[[str], object], text: str) -> str:
    """The code of the refusal, empty when `text` is read."""
    try:
        read(text)
    except InvalidInputError as error:
        return error.code
    return ""


def verified(note: str) -> Checkpoint | None:
    try:
        return verify_checkpoint(note, TENANT, [LEDGER.public_key])
    except InvalidInputError:
        return None


@given(st.integers(0, 2**53 - 1), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_comes_back_from_its_note(size: int, root: bytes) -> None:
    note = sign_checkpoint(TENANT, size, root, LEDGER)
    expected = Checkpoint(origin_of(TENANT), size, root)
    assert parse_note(note).checkpoint == expected
    assert verify_checkpoint(note, TENANT, [LEDGER.public_key]) == expected


def test_a_note_with_any_flipped_bit_is_refused() -> None:
    note = sign_checkpoint(TENANT, 7, bytes(range(32)), LEDGER)
    assert verified(note)
    assert [other for other in bit_flips(note) if verified(other)] == []


def test_a_cosignature_with_any_flipped_bit_is_refused() -> None:
    witness = Witness("ann.example", signer(11).public_key)
    note = cosign(
        sign_checkpoint(TENANT, 7, bytes(range(32)), LEDGER), witness.name, signer(11), 1_800_000_000
    )
    line = note.rstrip("\n").rsplit("\n", 1)[1]
    rest = note[: -len(line) - 1]
    assert count_witnesses(f"{rest}{line}\n", [witness]) == 1
    for other in bit_flips(line):
        try:
            assert count_witnesses(f"{rest}{other}\n", [witness]) == 0, other
        except InvalidInputError:
            continue


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["a", "b", "c"])), max_size=8),
    st.sets(st.integers(1, 4)),
)
def test_witnesses_count_by_distinct_trusted_key(lines: list[tuple[int, str]], trusted: set[int]) -> None:
    note = sign_checkpoint(TENANT, 7, bytes(32), LEDGER)
    for number, label in lines:
        note = cosign(note, label, signer(number), 1_800_000_000)
    witnesses = [Witness(label, signer(number).public_key) for number in trusted for label in ("a", "b")]
    expected = {number for number, label in lines if number in trusted and label != "c"}
    assert count_witnesses(note, witnesses) == len(expected)


@given(WITNESS_NAMES, st.integers(1, 2**200))
def test_a_witness_comes_back_from_its_key_text(label: str, number: int) -> None:
    witness = Witness(label, signer(number).public_key)
    assert parse_witness(format_witness(witness)) == witness
    note = cosign(sign_checkpoint(TENANT, 7, bytes(32), LEDGER), label, signer(number), 0)
    assert count_witnesses(note, [parse_witness(format_witness(witness))]) == 1


@given(st.text(st.sampled_from("a1\n \u2014+/=A"), max_size=60) | st.text(max_size=60))
def test_any_text_is_a_note_or_refused(text: str) -> None:
    assert code_of(parse_note, text) in {"", "checkpoint_malformed"}


@given(st.text(st.sampled_from("a1+/=A9"), max_size=60) | st.text(max_size=60))
def test_any_text_is_a_witness_key_or_refused(text: str) -> None:
    assert code_of(parse_witness, text) in {"", "checkpoint_malformed", "key_low_order", "key_non_canonical"}
