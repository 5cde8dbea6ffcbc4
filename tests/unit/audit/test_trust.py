"""The keys that follow from one pinned fingerprint, and nothing else."""

from __future__ import annotations

import pytest

from dragons.audit.trust import FOREVER, Trust, TrustedKey, check_fingerprint
from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole
from dragons.core.statement import sign
from dragons.evidence.receipt import Record
from tests.support import story
from tests.support.ledger import Book


def record(book: Book, seq: int) -> Record:
    return book.placed[seq].record


@pytest.fixture
def book() -> Book:
    return story.tenant()


@pytest.fixture
def trust(book: Book) -> Trust:
    """Genesis, issuer and operator."""
    made = Trust(book.pin)
    assert made.admit_tenant(record(book, 0).statement) is None
    assert made.admit_key(record(book, 1).statement) is None
    assert made.admit_key(record(book, 2).statement) is None
    return made


@pytest.mark.parametrize("text", ["ab" * 32, "AB" * 32, f"sha256:{'ab' * 32}", f"  {'ab' * 32}\n"])
def test_a_fingerprint_has_one_form(text: str) -> None:
    assert check_fingerprint(text) == "ab" * 32


@pytest.mark.parametrize("text", ["", "ab", "zz" * 32, "ab" * 33, "sha256:"])
def test_anything_else_is_no_fingerprint(text: str) -> None:
    with pytest.raises(InvalidInputError, match="64 hexadecimal digits"):
        check_fingerprint(text)


def test_genesis_gives_root_and_ledger_key(book: Book, trust: Trust) -> None:
    assert trust.root is not None
    assert trust.root.fingerprint == book.pin
    assert trust.ledger_keys() == [book.ledger.public_key]


def test_nothing_is_trusted_before_genesis(book: Book) -> None:
    trust = Trust(book.pin)
    assert trust.admit_key(record(book, 1).statement) == "it comes before the genesis"
    assert trust.keys == {}


def test_another_pin_refuses_the_genesis(book: Book) -> None:
    trust = Trust("0" * 64)
    assert "not the pinned one" in str(trust.admit_tenant(record(book, 0).statement))
    assert trust.root is None


def test_a_signer_has_the_right_role_at_the_right_time(book: Book, trust: Trust) -> None:
    envelope = record(book, 1).header
    now = book.headers[1].issued_at
    assert isinstance(trust.signer(envelope, KeyRole.LEDGER, now), TrustedKey)
    assert "no issuer key" in str(trust.signer(envelope, KeyRole.ISSUER, now))
    assert "was not valid" in str(trust.signer(envelope, KeyRole.LEDGER, "2020-01-01T00:00:00.000Z"))


def test_two_signatures_are_not_one(book: Book, trust: Trust) -> None:
    body = record(book, 3).statement
    both = sign("catalogue", body.signatures[0], book.operator, book.issuer)
    assert "2 signatures" in str(trust.signer(both, KeyRole.OPERATOR, book.time()))


def test_a_revoked_key_ends_now_and_since_it_was_compromised(book: Book, trust: Trust) -> None:
    book.revoke_key(book.operator.key_id, compromised_since=book.time(60_000))
    at = book.headers[-1].issued_at
    before = record(book, 3).statement
    assert isinstance(trust.signer(before, KeyRole.OPERATOR, book.headers[3].issued_at), TrustedKey)
    assert trust.admit_revocation(book.placed[-1].record.statement, at) is None
    entry = trust.keys[book.operator.key_id]
    assert entry.not_after == at
    assert not entry.holds_at(at)
    assert entry.holds_at(book.headers[3].issued_at)
    assert trust.used_after_compromise() == {}


def test_a_use_after_a_compromise_that_is_told_later(book: Book, trust: Trust) -> None:
    used = book.headers[4].issued_at
    assert isinstance(trust.signer(record(book, 4).statement, KeyRole.OPERATOR, used), TrustedKey)
    book.revoke_key(book.operator.key_id, compromised_since=used)
    assert trust.admit_revocation(book.placed[-1].record.statement, book.time()) is None
    assert trust.used_after_compromise() == {book.operator.key_id: used}


def test_a_rotated_key_keeps_its_past(book: Book, trust: Trust) -> None:
    new = book.key("ledger-2", KeyRole.LEDGER)
    book.rotate(book.ledger, new, "ledger")
    assert trust.admit_key(book.placed[-1].record.statement) is None
    assert set(trust.ledger_keys()) == {book.ledger.public_key, new.public_key}
    assert trust.admit_key(book.placed[-1].record.statement) == f"{new.key_id} was already registered"


def test_a_key_of_genesis_has_no_end(book: Book, trust: Trust) -> None:
    assert trust.keys[book.ledger.key_id].not_after == FOREVER
