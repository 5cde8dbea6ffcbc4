"""Batches of signatures: every bad one is reported with its place, with a pool and without."""

from __future__ import annotations

from array import array

import pytest

from dragons.audit import signatures
from dragons.audit.signatures import Place, SignatureChecker, bad_in_batch, bad_signatures
from dragons.core.keys import KeyRole
from tests.support.ledger import signer_of

SIGNER = signer_of("someone", KeyRole.INSTANCE)
OTHER = signer_of("other", KeyRole.INSTANCE)


def test_bad_signatures_are_named_by_their_position() -> None:
    good, bad = SIGNER.sign(b"yes"), SIGNER.sign(b"no")
    key = SIGNER.public_key.raw
    assert bad_signatures([key, good, b"yes", key, bad, b"yes", key, good, b"yes"]) == [1]
    assert bad_signatures([OTHER.public_key.raw, good, b"yes"]) == [0]
    assert bad_signatures([]) == []


def test_a_joined_batch_is_the_same_batch() -> None:
    good = SIGNER.sign(b"yes")
    parts = [
        SIGNER.public_key.raw,
        good,
        b"yes",
        SIGNER.public_key.raw,
        good,
        b"",
        OTHER.public_key.raw,
        good,
        b"yes",
    ]
    lengths = array("I", map(len, parts)).tobytes()
    assert bad_in_batch(lengths, b"".join(parts)) == bad_signatures(parts) == [1, 2]


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_bad(length: int) -> None:
    assert bad_signatures([SIGNER.public_key.raw, bytes(length), b"x"]) == [0]


@pytest.mark.parametrize("workers", [1, 2])
def test_all_batches_are_checked(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr(signatures, "BATCH", 4)
    monkeypatch.setattr(signatures, "POOL_FROM", 8)
    found: list[Place] = []
    checker = SignatureChecker(found.append, workers=workers)
    good = SIGNER.sign(b"yes")
    for index in range(50):
        message = b"no" if index in {3, 17, 49} else b"yes"
        checker.add((index, index + 100, "a signature"), SIGNER.public_key.raw, good, message)
    checker.finish()
    assert sorted(found) == [Place(at, at + 100, "a signature") for at in (3, 17, 49)]


def test_close_without_finish_stops_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "BATCH", 1)
    monkeypatch.setattr(signatures, "POOL_FROM", 1)
    checker = SignatureChecker(lambda _: None, workers=2)
    checker.add((0, 0, "x"), SIGNER.public_key.raw, SIGNER.sign(b"x"), b"x")
    checker.close()
    checker.close()
