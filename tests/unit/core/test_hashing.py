"""Digests are SHA-256 in 64 lower-case hex digits."""

from __future__ import annotations

import pytest

from dragons.core.canonical import Document, decode, encode
from dragons.core.errors import InvalidInputError
from dragons.core.hashing import HEX_LENGTH, ZERO, Digest, sha256_hex


class Cited(Document):
    digest: Digest


def test_the_digests_of_fips_180_hold() -> None:
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256_hex(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_digest_before_the_first_is_all_zeros() -> None:
    assert ZERO == "0" * HEX_LENGTH == "0" * 64


def test_a_document_carries_a_digest() -> None:
    digest = sha256_hex(b"x")
    assert decode(Cited, encode(Cited(digest=digest))).digest == digest


@pytest.mark.parametrize("text", ["", ZERO[:-1], ZERO + "0", ZERO + "\n"])
def test_a_document_refuses_a_digest_of_another_length(text: str) -> None:
    with pytest.raises(InvalidInputError):
        decode(Cited, encode(Cited(digest=text)))
