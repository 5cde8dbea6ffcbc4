"""Payload commitments bind without showing, and open to one value only."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from msgspec.structs import replace

from dragons.core.canonical import decode, encode
from dragons.core.errors import InvalidInputError
from dragons.evidence.payload import (
    DOMAIN,
    PAYLOAD_BYTES_MAX,
    SALT_BYTES,
    Payload,
    commit,
    opens,
    payload_hash,
)

SALT = bytes(range(32))


def test_the_commitment_is_over_domain_salt_and_canonical_body() -> None:
    payload = commit({"b": 1, "a": "é"}, salt=SALT)
    assert payload.body == '{"a":"é","b":1}'.encode()
    assert payload.salt == SALT
    assert DOMAIN == b"dragons/payload/v1\x00"
    assert payload.payload_hash == sha256(b"dragons/payload/v1\x00" + SALT + payload.body).hexdigest()


def test_a_fresh_salt_hides_equal_payloads() -> None:
    one, two = commit({"a": 1}), commit({"a": 1})
    assert len(one.salt) == SALT_BYTES == 32
    assert one.salt != two.salt
    assert one.payload_hash != two.payload_hash


def test_a_payload_opens_its_own_commitment() -> None:
    payload = commit({"a": 1})
    assert opens(payload, payload.payload_hash)
    assert decode(Payload, encode(payload)) == payload


def test_a_payload_is_judged_by_the_receipts_hash_not_its_own() -> None:
    honest, other = commit({"a": 1}, salt=SALT), commit({"a": 2}, salt=SALT)
    assert not opens(replace(other, payload_hash=honest.payload_hash), honest.payload_hash)
    assert opens(replace(honest, payload_hash="anything"), honest.payload_hash)


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b'{"a":2}'},
        {"body": b'{"a":1} '},
        {"body": b""},
        {"salt": bytes(32)},
        {"salt": b""},
        {"salt": SALT[:-1]},
    ],
)
def test_a_changed_payload_does_not_open(changes: dict[str, Any]) -> None:
    payload = commit({"a": 1}, salt=SALT)
    assert not opens(replace(payload, **changes), payload.payload_hash)


def test_bytes_cannot_move_between_salt_and_body() -> None:
    payload = commit({"a": 1}, salt=SALT)
    moved = replace(payload, salt=payload.salt + payload.body[:1], body=payload.body[1:])
    assert payload_hash(moved.salt, moved.body) == payload.payload_hash
    assert not opens(moved, payload.payload_hash)


@pytest.mark.parametrize("value", [{"a": None}, {"a": 1.5}, {"a": "\ud800"}])
def test_a_payload_outside_canonical_json_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        commit(value)
    assert caught.value.code == "not_canonical"


def test_a_payload_has_a_largest_size() -> None:
    frame = len(b'{"a":""}')
    assert len(commit({"a": "x" * (PAYLOAD_BYTES_MAX - frame)}).body) == PAYLOAD_BYTES_MAX
    with pytest.raises(InvalidInputError) as caught:
        commit({"a": "x" * (PAYLOAD_BYTES_MAX - frame + 1)})
    assert caught.value.code == "payload_too_large"
    assert "evidence" in caught.value.fix
