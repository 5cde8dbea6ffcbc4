"""Capabilities are `verb:resource`, without wildcards; scopes have one form."""

from __future__ import annotations

import pytest

from dragons.core.canonical import Document, decode, encode
from dragons.core.capability import SCOPE_MAX, Capability, Scope, check_capability, check_scope_form, scope_of
from dragons.core.errors import InvalidInputError

LONGEST_VERB = "a" * 32

GOOD = ["read:payments", "a:0", "x_y-z:b.c/d-e_f", f"{LONGEST_VERB}:b", "a:" + "b" * 95]
BAD = [
    "", ":", "read", "read:", ":payments", "Read:payments", "read:Payments", "read:*", "*:payments", "read:payments ",
    " read:payments", "read:payments\n", "read:pay ments", "read::payments", "1read:x", "_read:x", "read:/x", "read:é",
    "réad:x", "read:٣", "a" * 33 + ":b", "a:" + "b" * 96, "read:x\x00",
]  # fmt: skip


class Holder(Document):
    capability: Capability


class Scoped(Document):
    scope: Scope


@pytest.mark.parametrize("text", GOOD)
def test_a_capability_is_itself(text: str) -> None:
    assert check_capability(text) == text
    assert decode(Holder, encode(Holder(capability=text))).capability == text


@pytest.mark.parametrize("text", BAD)
def test_other_text_is_no_capability(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_capability(text)
    assert caught.value.code == "capability_malformed"
    assert "verb:resource" in caught.value.fix


@pytest.mark.parametrize("text", BAD)
def test_other_text_is_refused_inside_a_document_too(text: str) -> None:
    with pytest.raises(InvalidInputError):
        decode(Holder, encode(Holder(capability=text)))


def test_the_longest_capability_has_128_characters() -> None:
    longest = f"{LONGEST_VERB}:{'b' * 95}"
    assert len(longest) == 128
    assert check_capability(longest) == longest
    assert decode(Holder, encode(Holder(capability=longest))).capability == longest


def test_a_scope_is_sorted_and_distinct() -> None:
    assert scope_of(["write:b", "read:a", "write:b"]) == ["read:a", "write:b"]
    assert scope_of([]) == []


def test_a_scope_refuses_a_malformed_name() -> None:
    with pytest.raises(InvalidInputError) as caught:
        scope_of(["read:a", "read:*"])
    assert caught.value.code == "capability_malformed"


def test_a_scope_has_a_largest_size() -> None:
    names = [f"read:r{number}" for number in range(SCOPE_MAX)]
    assert len(scope_of([*names, names[0]])) == SCOPE_MAX
    with pytest.raises(InvalidInputError) as caught:
        scope_of([*names, "read:one-more"])
    assert caught.value.code == "scope_too_large"


def test_a_document_refuses_a_scope_above_the_largest_size() -> None:
    names = sorted(f"read:r{number}" for number in range(SCOPE_MAX + 1))
    assert decode(Scoped, encode(Scoped(scope=names[1:]))).scope == names[1:]
    with pytest.raises(InvalidInputError):
        decode(Scoped, encode(Scoped(scope=names)))


@pytest.mark.parametrize("scope", [["b:x", "a:x"], ["a:x", "a:x"]])
def test_a_scope_in_another_form_is_refused(scope: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_scope_form(scope)
    assert caught.value.code == "scope_unsorted"


@pytest.mark.parametrize("scope", [[], ["a:x"], ["a:x", "b:x"]])
def test_a_scope_in_its_one_form_passes(scope: list[str]) -> None:
    check_scope_form(scope)
