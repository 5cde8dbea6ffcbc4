"""Canonical bytes equal the reference encoder's, and no other spelling is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dragons.core.canonical import INT_MAX, canonical, parse_canonical
from dragons.core.errors import InvalidInputError

INTEGERS = st.integers(-INT_MAX, INT_MAX) | st.sampled_from([0, 1, -1, INT_MAX, -INT_MAX])
# U+E000 to U+FFFF sort after U+10000 and above in UTF-16, before them by code point.
CHARACTERS = (
    st.characters(exclude_categories=["Cs"])
    | st.characters(max_codepoint=0x7F)
    | st.characters(min_codepoint=0xE000, max_codepoint=0xFFFF, exclude_categories=[])
    | st.characters(min_codepoint=0x10000, exclude_categories=[])
)
TEXTS = st.text(CHARACTERS, max_size=8)
VALUES = st.recursive(
    st.booleans() | INTEGERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=12,
)
MIXED_KEYS = st.dictionaries(
    st.text(st.sampled_from("aZé\ud7ff\ue000\uffff\U00010000\U0010ffff"), max_size=3),
    INTEGERS,
    min_size=2,
    max_size=8,
)


@given(VALUES)
@example({"\ue000": 1, "\U00010000": 2, "\uffff": 3, "\U0010ffff": 4, "z": 5})
def test_canonical_is_what_the_reference_writes(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(MIXED_KEYS)
def test_keys_on_both_sides_of_the_surrogates_are_ordered_as_the_reference_does(
    value: dict[str, int],
) -> None:
    assert canonical(value) == rfc8785.dumps(value)
    assert canonical([{"k": value}]) == rfc8785.dumps([{"k": value}])


@given(VALUES)
def test_a_value_comes_back_from_its_bytes(value: Any) -> None:
    again = parse_canonical(canonical(value))
    assert again == value
    assert json.dumps(again, sort_keys=True) == json.dumps(value, sort_keys=True)


@given(VALUES, VALUES)
def test_different_values_have_different_bytes(one: Any, other: Any) -> None:
    assume(json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True))
    assert canonical(one) != canonical(other)


@given(st.dictionaries(TEXTS, INTEGERS, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_insertion_does_not_matter(value: dict[str, int], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(value)


def spelled(draw: Any, value: Any) -> str:
    """`value` in some valid JSON spelling; sometimes, by chance, in the canonical one."""
    blank = draw(st.sampled_from(["", "", "", " ", "\n", "\t", "\r"]))
    if value is True or value is False:
        text = json.dumps(value)
    elif isinstance(value, int):
        forms = [str(value), str(value), f"{value}.0", f"{value}e0", f"{value}E+0"]
        text = draw(st.sampled_from([*forms, "-0"] if value == 0 else forms))
    elif isinstance(value, str):
        text = '"' + "".join(spelled_character(draw, character) for character in value) + '"'
    elif isinstance(value, list):
        text = "[" + ",".join(spelled(draw, item) for item in value) + blank + "]"
    else:
        keys = draw(st.permutations(sorted(value)))
        if keys and draw(st.integers(0, 4)) == 0:
            keys = [*keys, keys[0]]
        text = (
            "{" + ",".join(f"{spelled(draw, key)}:{spelled(draw, value[key])}" for key in keys) + blank + "}"
        )
    return blank + text


def spelled_character(draw: Any, character: str) -> str:
    units = character.encode("utf-16-be")
    escape = "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
    plain = json.dumps(character, ensure_ascii=False)[1:-1]
    forms = [plain, plain, plain, escape, "\\u" + escape[2:].upper() if len(escape) == 6 else escape]
    return draw(st.sampled_from([*forms, "\\/"] if character == "/" else forms))


@given(st.data())
def test_only_the_canonical_spelling_is_read(data: st.DataObject) -> None:
    value = data.draw(VALUES)
    text = spelled(data.draw, value).encode()
    if text == canonical(value):
        assert parse_canonical(text) == value
    else:
        with pytest.raises(InvalidInputError):
            parse_canonical(text)


@given(
    st.binary(max_size=40)
    | st.text(st.sampled_from('{}[]",:0123456789.eE+-truefalsn\\ud8 \n'), max_size=30).map(str.encode)
)
def test_bytes_are_read_or_refused_and_what_is_read_is_canonical(data: bytes) -> None:
    try:
        value = parse_canonical(data)
    except InvalidInputError:
        return
    assert rfc8785.dumps(value) == data


OUTSIDE = (
    st.none()
    | st.floats()
    | st.integers(min_value=INT_MAX + 1)
    | st.integers(max_value=-INT_MAX - 1)
    | st.binary()
    | st.tuples()
)
SURROGATES = st.text(st.characters(categories=["Cs"]), min_size=1, max_size=2)


@given(OUTSIDE | SURROGATES, VALUES)
def test_one_value_outside_the_subset_spoils_the_whole(bad: Any, good: Any) -> None:
    for value in (bad, [good, bad], {"a": good, "b": bad}, [{"é": [bad]}]):
        with pytest.raises(InvalidInputError) as caught:
            canonical(value)
        assert caught.value.code == "not_canonical"


@given(SURROGATES, VALUES)
def test_a_key_with_a_lone_surrogate_is_refused(key: str, good: Any) -> None:
    with pytest.raises(InvalidInputError):
        canonical({key: good, "a": good})
