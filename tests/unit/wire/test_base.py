"""A body is exactly what it should be, or an error that says where it is not."""

from __future__ import annotations

import msgspec
import pytest

from dragons.core.errors import InvalidInputError
from dragons.wire.base import Empty, Problem, Recorded, decode
from dragons.wire.identity import TokenRequest


def test_a_body_is_decoded_into_its_type() -> None:
    wish = decode(TokenRequest, b'{"role": "auditor", "label": "ci"}')
    assert (wish.role, wish.label, wish.ttl_seconds) == ("auditor", "ci", 90 * 24 * 3600)
    assert decode(Empty, b"{}") == Empty()


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b'{"role": "auditor"}', "request_invalid", "label"),
        (b'{"role": "king", "label": "x"}', "request_invalid", "role"),
        (b'{"role": "auditor", "label": "x", "more": 1}', "request_invalid", "more"),
        (b'{"role": "auditor", "label": 1}', "request_invalid", "$.label"),
        (b"[]", "request_invalid", "array"),
        (b"", "request_malformed", "not JSON"),
        (b"{", "request_malformed", "not JSON"),
        (b'{"role": "\xff"}', "request_malformed", "not JSON"),
        (b'{"role": "auditor", "label": "x"} {}', "request_malformed", "not JSON"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, code: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        decode(TokenRequest, body)
    assert caught.value.code == code
    assert words in caught.value.message


def test_a_reader_ignores_what_it_does_not_know_yet() -> None:
    answer = {"receipt_id": "r", "seq": 1, "chain_root": "c", "issued_at": "t", "newer": True}
    assert decode(Recorded, msgspec.json.encode(answer)).seq == 1


def test_a_problem_leaves_out_what_is_empty() -> None:
    problem = Problem(type="t", title="T", status=404, detail="d", code="c")
    assert "fix" not in msgspec.to_builtins(problem)
