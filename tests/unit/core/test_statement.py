"""Signed statements: DSSE over canonical JSON, checked over the bytes that were received."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import pytest

from dragons.core.canonical import Document, encode
from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import (
    SIGNATURES_MAX,
    Envelope,
    Signature,
    check_shape,
    envelope_json,
    is_signed_by,
    pae,
    parse_envelope,
    payload_type,
    sign,
    valid_signers,
)
from tests.property.builders import signer

ALICE, BOB, MALLORY = (signer(number, KeyRole.OPERATOR) for number in (1, 2, 3))
KEYS = {one.key_id: one.public_key for one in (ALICE, BOB)}


class Note(Document):
    text: str


BODY = Note(text="hello")


def altered(envelope: Envelope, **changes: object) -> Envelope:
    fields = {
        "payload": envelope.payload,
        "payloadType": envelope.payloadType,
        "signatures": envelope.signatures,
    }
    return Envelope(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_example_of_the_dsse_specification_holds() -> None:
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("http://example.com/HelloWorld", b"hello world") == expected


def test_lengths_count_bytes_not_characters() -> None:
    assert pae("é", "ü".encode()) == "DSSEv1 2 é 2 ü".encode()
    assert pae("", b"") == b"DSSEv1 0  0 "


def test_moving_bytes_between_type_and_payload_changes_what_is_signed() -> None:
    assert pae("a 1 b", b"c") != pae("a", b"b 1 c")


def test_a_statement_signs_the_whole_body_under_its_type() -> None:
    envelope = sign("note", BODY, ALICE)
    assert envelope.payload == encode(BODY) == b'{"text":"hello"}'
    assert envelope.payloadType == "application/vnd.dragons.note+json" == payload_type("note")
    assert envelope.kind == "note"
    message = b"DSSEv1 33 application/vnd.dragons.note+json 16 " + envelope.payload
    assert envelope.pae() == message
    assert ALICE.public_key.verify(envelope.signatures[0].sig, message)
    assert envelope.payload_digest() == sha256(envelope.payload).hexdigest()


def test_the_body_comes_back_as_its_own_kind_only() -> None:
    envelope = sign("note", BODY, ALICE)
    assert envelope.body("note", Note) == BODY
    with pytest.raises(InvalidInputError) as caught:
        envelope.body("lease", Note)
    assert caught.value.code == "statement_kind"


@pytest.mark.parametrize(
    "media_type",
    ["", "application/json", "application/vnd.dragons.note", "vnd.dragons.note+json", "Application/vnd.dragons.note+json",
     "application/vnd.dragons.note+json ", "application/vnd.other.note+json"],
)  # fmt: skip
def test_another_media_type_has_no_kind(media_type: str) -> None:
    envelope = altered(sign("note", BODY, ALICE), payloadType=media_type)
    assert envelope.kind == ""
    with pytest.raises(InvalidInputError):
        envelope.body("note", Note)


def test_a_body_that_is_not_canonical_is_refused_even_when_signed() -> None:
    payload = b'{"text": "hello"}'
    signature = Signature(keyid=ALICE.key_id, sig=ALICE.sign(pae(payload_type("note"), payload)))
    envelope = Envelope(payload=payload, payloadType=payload_type("note"), signatures=[signature])
    assert is_signed_by(envelope, ALICE.key_id, ALICE.public_key)
    with pytest.raises(InvalidInputError) as caught:
        envelope.body("note", Note)
    assert caught.value.code == "not_canonical"


def test_every_signer_of_a_statement_is_found() -> None:
    envelope = sign("note", BODY, ALICE, BOB)
    assert valid_signers(envelope, KEYS) == [ALICE.key_id, BOB.key_id]
    assert is_signed_by(envelope, ALICE.key_id, ALICE.public_key)
    assert is_signed_by(envelope, BOB.key_id, BOB.public_key)


def test_a_foreign_signature_does_not_count() -> None:
    envelope = sign("note", BODY, ALICE, MALLORY)
    assert valid_signers(envelope, KEYS) == [ALICE.key_id]
    assert not is_signed_by(envelope, MALLORY.key_id, BOB.public_key)
    assert not is_signed_by(envelope, BOB.key_id, BOB.public_key)


def test_without_trusted_keys_nobody_signed() -> None:
    assert valid_signers(sign("note", BODY, ALICE), {}) == []


def test_a_key_id_that_is_borrowed_does_not_count() -> None:
    envelope = sign("note", BODY, MALLORY)
    borrowed = altered(envelope, signatures=[Signature(keyid=ALICE.key_id, sig=envelope.signatures[0].sig)])
    assert valid_signers(borrowed, KEYS) == []
    assert not is_signed_by(borrowed, ALICE.key_id, ALICE.public_key)


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": b'{"text":"hellp"}'},
        {"payload": b'{"text":"hello"} '},
        {"payloadType": payload_type("lease")},
    ],
)
def test_a_changed_statement_is_signed_by_nobody(changes: dict[str, object]) -> None:
    envelope = altered(sign("note", BODY, ALICE, BOB), **changes)
    assert valid_signers(envelope, KEYS) == []
    assert not is_signed_by(envelope, ALICE.key_id, ALICE.public_key)


def test_one_broken_signature_does_not_hide_the_other() -> None:
    whole = sign("note", BODY, ALICE, BOB)
    broken = Signature(keyid=ALICE.key_id, sig=bytes(64))
    envelope = altered(whole, signatures=[broken, whole.signatures[1]])
    assert valid_signers(envelope, KEYS) == [BOB.key_id]


def test_a_repeated_signature_names_its_signer_once() -> None:
    envelope = sign("note", BODY, ALICE)
    twice = altered(envelope, signatures=envelope.signatures * 2)
    assert list(valid_signers(twice, KEYS)) == [ALICE.key_id]


def test_an_envelope_comes_back_from_its_bytes() -> None:
    for signers in ([ALICE], [ALICE, BOB]):
        envelope = sign("note", BODY, *signers)
        assert parse_envelope(encode(envelope)) == envelope


def test_in_json_payload_and_signature_are_base64() -> None:
    envelope = sign("note", BODY, ALICE)
    assert envelope_json(envelope) == {
        "payload": b64encode(envelope.payload).decode(),
        "payloadType": envelope.payloadType,
        "signatures": [{"keyid": ALICE.key_id, "sig": b64encode(envelope.signatures[0].sig).decode()}],
    }


@pytest.mark.parametrize("count", [0, SIGNATURES_MAX + 1])
def test_a_statement_with_too_few_or_too_many_signatures_is_refused(count: int) -> None:
    envelope = sign("note", BODY, *(signer(number + 1) for number in range(count)))
    with pytest.raises(InvalidInputError) as caught:
        parse_envelope(encode(envelope))
    assert caught.value.code == "statement_signatures"


def test_the_largest_number_of_signatures_passes() -> None:
    signers: list[LocalSigner] = [signer(number + 1) for number in range(SIGNATURES_MAX)]
    envelope = parse_envelope(encode(sign("note", BODY, *signers)))
    assert len(valid_signers(envelope, {one.key_id: one.public_key for one in signers})) == SIGNATURES_MAX


def test_a_key_that_signs_twice_is_refused() -> None:
    envelope = sign("note", BODY, ALICE, ALICE)
    with pytest.raises(InvalidInputError) as caught:
        check_shape(envelope)
    assert caught.value.code == "statement_signatures"


@pytest.mark.parametrize("data", [b"", b"{}", b'{"payload":"","payloadType":"","signatures":[{}]}', b"[]"])
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_envelope(data)
    assert caught.value.code == "document_malformed"


def test_an_envelope_in_another_spelling_is_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_envelope(encode(sign("note", BODY, ALICE)) + b"\n")
    assert caught.value.code == "not_canonical"
