"""Canonical bytes: what is written, and every form that is refused."""

from __future__ import annotations

import msgspec
import pytest

from dragons.core.canonical import (
    DEPTH_MAX,
    INT_MAX,
    Count,
    Document,
    SafeInt,
    canonical,
    decode,
    encode,
    parse_canonical,
)
from dragons.core.errors import InvalidInputError


class Sample(Document):
    zeta: str
    alpha: Count
    raw: bytes
    balance: SafeInt = 0
    note: str | msgspec.UnsetType = msgspec.UNSET


SAMPLE = Sample(zeta="é", alpha=1, raw=b"\x00\xff")
SAMPLE_BYTES = '{"alpha":1,"raw":"AP8=","zeta":"é"}'.encode()


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def code_of(action: object, *arguments: object) -> str:
    with pytest.raises(InvalidInputError) as caught:
        action(*arguments)  # type: ignore[operator]
    return caught.value.code


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, b"{}"),
        ([], b"[]"),
        (True, b"true"),
        ("", b'""'),
        (0, b"0"),
        (INT_MAX, b"9007199254740991"),
        (-INT_MAX, b"-9007199254740991"),
        ({"b": 1, "a": [True, False, {"d": 1, "c": 2}]}, b'{"a":[true,false,{"c":2,"d":1}],"b":1}'),
        ({"B": 1, "a": 2, "": 3, "1": 4, "10": 5, "2": 6}, b'{"":3,"1":4,"10":5,"2":6,"B":1,"a":2}'),
        ('"\\/', b'"\\"\\\\/"'),
        ("\b\t\n\f\r", b'"\\b\\t\\n\\f\\r"'),
        ("\x00\x0b\x1f\x7f", b'"\\u0000\\u000b\\u001f\x7f"'),
        ("\u2028€😂", '"\u2028€😂"'.encode()),
        ({"\ue000": 1, "😂": 2}, '{"😂":2,"\ue000":1}'.encode()),
        ([{"x": {"\uffff": 1, "\U00010000": 2}}], '[{"x":{"\U00010000":2,"\uffff":1}}]'.encode()),
    ],
)
def test_values_of_the_subset_have_these_bytes(value: object, expected: bytes) -> None:
    assert canonical(value) == expected
    assert parse_canonical(expected) == value


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.0,
        float("nan"),
        INT_MAX + 1,
        -INT_MAX - 1,
        10**400,
        10**5000,
        "\ud800",
        {"\udfff": 1},
        {"\udfff": 1, "é": 2},
        {1: "x"},
        {None: "x"},
        b"x",
        (1, 2),
        {1, 2},
        {"a": [None]},
        [{"a": 0.5}],
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else f"int{value.bit_length()}",
)
def test_values_outside_the_subset_are_refused(value: object) -> None:
    assert code_of(canonical, value) == "not_canonical"


def test_nesting_ends_at_the_limit() -> None:
    assert canonical(nested(DEPTH_MAX)) == b"[" * DEPTH_MAX + b"1" + b"]" * DEPTH_MAX
    assert code_of(canonical, nested(DEPTH_MAX + 1)) == "not_canonical"


def test_objects_count_as_nesting_too() -> None:
    value: object = 1
    for _ in range(DEPTH_MAX):
        value = {"a": value}
    assert parse_canonical(canonical(value)) == value
    assert code_of(canonical, {"a": value}) == "not_canonical"


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert code_of(canonical, loop) == "not_canonical"


@pytest.mark.parametrize(
    "data",
    [
        b" 1", b"1 ", b"[1, 2]", b"[1 ]", b'{"b":1,"a":2}', b'{"a":1,"a":1}', b'{"a":1,"a":2}', b'"\\u0061"', b'"\\/"',
        b'"\\u000A"', b'"\\u001F"', b'"\\u20ac"', b"1.0", b"1e2", b"1E2", b"-0", b"null", b"[null]", b"0.5",
        b"9007199254740992", b'{"\xee\x80\x80":1,"\xf0\x9f\x98\x82":2}',
    ],
)  # fmt: skip
def test_json_that_is_not_canonical_is_refused(data: bytes) -> None:
    assert code_of(parse_canonical, data) == "not_canonical"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[", b"{", b"01", b"+1", b"1 1", b"[1,]", b"{a:1}", b"'a'", b'"\x00"', b'"\xff"', b'"\xed\xa0\x80"',
        b'"\\ud800"', b'"\\udc00"', b"NaN", b"Infinity", b"\xef\xbb\xbf1", b"1" * 5000, b"1e400", b"[" * 100_000,
    ],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
def test_what_is_not_json_is_refused(data: bytes) -> None:
    assert code_of(parse_canonical, data) == "document_malformed"


def test_a_document_is_written_sorted_and_without_absent_fields() -> None:
    assert encode(SAMPLE) == SAMPLE_BYTES


def test_a_document_comes_back_from_its_bytes() -> None:
    assert decode(Sample, SAMPLE_BYTES) == SAMPLE
    full = Sample(zeta="", alpha=INT_MAX, raw=b"", balance=-INT_MAX, note="n")
    assert decode(Sample, encode(full)) == full


@pytest.mark.parametrize(
    "data",
    [
        b'{"alpha":1, "raw":"AP8=","zeta":""}',
        b'{"alpha":1,"raw":"AP8=","zeta":""}\n',
        b'{"raw":"AP8=","alpha":1,"zeta":""}',
        b'{"alpha":1,"alpha":1,"raw":"AP8=","zeta":""}',
        b'{"alpha":1,"raw":"AP8=","zeta":"\\u0061"}',
        b'{"alpha":1,"balance":0,"raw":"AP8=","zeta":""}',
    ],
)
def test_a_document_in_another_spelling_is_refused(data: bytes) -> None:
    assert code_of(decode, Sample, data) == "not_canonical"


@pytest.mark.parametrize("raw", ["AP8", "AP9=", "AP8=\\n", "A P8=", "AP-_", "AP8=="])
def test_another_base64_of_the_same_bytes_is_refused(raw: str) -> None:
    code_of(decode, Sample, f'{{"alpha":1,"raw":"{raw}","zeta":""}}'.encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"alpha":1,"zeta":""}',
        b'{"alpha":"1","raw":"","zeta":""}',
        b'{"alpha":-1,"raw":"","zeta":""}',
        b'{"alpha":1.0,"raw":"","zeta":""}',
        b'{"alpha":9007199254740992,"raw":"","zeta":""}',
        b'{"alpha":true,"raw":"","zeta":""}',
        b'{"alpha":1,"note":null,"raw":"","zeta":""}',
        b'{"alpha":1,"extra":1,"raw":"","zeta":""}',
        b'{"alpha":1,"balance":-9007199254740992,"raw":"","zeta":""}',
        b'{"alpha":1,"raw":"","zeta":"\xff"}',
        b'{"alpha":1,"raw":"","zeta":"\\ud800"}',
    ],
)
def test_a_document_of_another_form_is_refused(data: bytes) -> None:
    assert code_of(decode, Sample, data) == "document_malformed"


def test_a_document_with_a_lone_surrogate_is_not_written() -> None:
    assert code_of(encode, Sample(zeta="\ud800", alpha=1, raw=b"")) == "not_canonical"
