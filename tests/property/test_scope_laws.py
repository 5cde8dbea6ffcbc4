"""Scopes are sets in one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.core.capability import check_capability, check_scope_form, scope_of
from dragons.core.errors import InvalidInputError

CAPABILITIES = st.from_regex(r"[a-z][a-z0-9_-]{0,5}:[a-z0-9][a-z0-9_./-]{0,5}", fullmatch=True)
NAMES = st.lists(CAPABILITIES, max_size=8)


@given(NAMES)
def test_a_scope_keeps_its_members_and_takes_one_form(names: list[str]) -> None:
    scope = scope_of(names)
    assert set(scope) == set(names)
    assert len(scope) == len(set(names))
    check_scope_form(scope)
    assert scope_of(scope) == scope


@given(NAMES, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(names: list[str], random: object) -> None:
    shuffled = [*names, *names]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert scope_of(shuffled) == scope_of(names)


@given(NAMES, NAMES)
def test_a_union_does_not_depend_on_grouping(one: list[str], other: list[str]) -> None:
    assert scope_of([*scope_of(one), *scope_of(other)]) == scope_of([*other, *one])


@given(st.lists(CAPABILITIES, max_size=6))
def test_every_other_arrangement_is_refused(names: list[str]) -> None:
    if names == sorted(set(names)):
        check_scope_form(names)
    else:
        with pytest.raises(InvalidInputError):
            check_scope_form(names)


@given(NAMES, CAPABILITIES, st.sampled_from(["*", " ", "\n", "A", ":", "é", "\x00", "%"]), st.integers(0, 12))
def test_one_strange_character_refuses_the_whole_scope(
    names: list[str], victim: str, strange: str, place: int
) -> None:
    spoiled = victim[:place] + strange + victim[place:]
    with pytest.raises(InvalidInputError):
        scope_of([*names, spoiled])


@given(st.text(max_size=30))
def test_a_capability_is_one_verb_and_one_resource_in_ascii(text: str) -> None:
    try:
        check_capability(text)
    except InvalidInputError:
        return
    verb, colon, resource = text.partition(":")
    assert colon
    assert verb
    assert resource
    assert ":" not in resource
    assert text.isascii()
    assert text == text.lower().strip()
