"""What other projects let through, each once, by its name: none of it is valid here."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from dragons.audit.verdicts import Question, Report
from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole
from dragons.evidence.checkpoint import Witness, cosign
from dragons.evidence.merkle import Range, leaf_hash, root_at
from tests.support import packs, story, work
from tests.support.ledger import YEAR_MS, Book, signer_of
from tests.tamper import attacks
from tests.tamper.conftest import found

Judge = Callable[..., Report]


def test_a_chain_whose_tail_was_cut(judge: Judge) -> None:
    told = story.short()
    parts = packs.export(told.book)
    last = len(parts.receipts()) - 1
    report = judge(attacks.truncated(parts, last), pin=told.book.pin)
    assert found(report, Question.INTEGRITY) == ("log_truncated", last)
    assert found(report, Question.COMPLETENESS) == ("selection_truncated", last)


def test_an_empty_log(judge: Judge) -> None:
    book = Book()
    book.genesis()
    assert not judge(packs.export(book).with_lines([]), pin=book.pin).valid


def test_fields_outside_the_hash(judge: Judge) -> None:
    """There are none: an unknown field is refused, and a known one changes the hash."""
    told = story.short()
    parts = packs.export(told.book)
    line = parts.lines[5].replace(b'{"record":', b'{"note":"x","record":')
    report = judge(parts.with_lines([*parts.lines[:5], line, *parts.lines[6:]]), pin=told.book.pin)
    assert found(report, Question.INTEGRITY) == ("malformed", 5)


@pytest.mark.parametrize("size", range(1, 34))
def test_the_incremental_root_is_the_rebuilt_one(size: int) -> None:
    leaves = [leaf_hash(b"%d" % n) for n in range(size)]
    grown = Range()
    nodes = {(0, n): leaf for n, leaf in enumerate(leaves)}
    for leaf in leaves:
        grown.append(leaf, lambda node: nodes.update({(node.level, node.offset): node.hash}))
    assert grown.root() == root_at(size, lambda level, index: nodes[level, index]) == _rebuilt(leaves)


def _rebuilt(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1 as it is written there."""
    from hashlib import sha256  # noqa: PLC0415 - an independent second implementation

    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + _rebuilt(leaves[:split]) + _rebuilt(leaves[split:])).digest()


def test_a_chain_signed_again_without_trusted_keys(judge: Judge) -> None:
    """There is no way to verify without a pin, and an attacker's whole chain hangs on his own root."""
    told = story.short()
    mallory = story.short("mallory")
    parts = packs.export(mallory.book)
    assert judge(parts, pin=mallory.book.pin).valid
    assert not judge(parts, pin=told.book.pin).valid
    for nothing in ("", " ", "[]"):
        with pytest.raises(InvalidInputError):
            judge(parts, pin=nothing)


def test_a_delegation_link_forged_expired_and_with_an_unknown_parent(judge: Judge) -> None:
    told = story.launched()
    book = told.book
    book.dock("notifier", ["send:notice"])
    long_ago = msgspec.structs.replace(told.agent.lease, lease_id="lse_" + "0" * 32)
    ghost = msgspec.structs.replace(long_ago, expires_at="2020-01-01T00:00:00.000Z")
    parent = type(told.agent)(told.agent.signer, told.agent.instance_id, ghost, told.agent.lease_envelope)
    mallory = signer_of("mallory", KeyRole.INSTANCE)
    child = work.delegate(book, parent, "notifier", 1, ["send:notice"], signer=mallory, ttl_ms=-YEAR_MS)
    work.work(book, work.open_session(book, child, "x"), "send:notice")
    report = judge(packs.export(book), pin=book.pin)
    assert found(report, Question.AUTHORITY) == ("lease_missing", 12)


def test_one_witness_twice_is_one_witness(judge: Judge) -> None:
    """Names in other letters or with spaces do not make a second key."""
    told = story.short()
    parts = packs.export(told.book)
    key = signer_of("witness", KeyRole.LEDGER)
    note = parts.head.end
    trusted = []
    for name in ("w.example", "W.example", "w.example/"):
        note = cosign(note, name, key, 1_800_000_000)
        trusted.append(Witness(name, key.public_key))
    report = judge(parts.with_head(end=note), pin=told.book.pin, witnesses=trusted, witnesses_required=2)
    assert found(report, Question.WITNESSES) == ("witnesses_missing", None)
    assert report.verdicts[Question.WITNESSES].facts == {"cosigned": 1}
    once = cosign(parts.head.end, "w.example", key, 1_800_000_000)
    for name in (" w.example", "w.example ", "w. example"):
        twice = cosign(once, name, key, 1_800_000_001)
        named = [Witness("w.example", key.public_key), Witness(name, key.public_key)]
        report = judge(parts.with_head(end=twice), pin=told.book.pin, witnesses=named, witnesses_required=2)
        assert found(report, Question.WITNESSES) == ("witnesses_missing", None)


@pytest.mark.parametrize("votes", [0, 1, 2, 3])
def test_two_of_three_is_not_decided_on_the_first_vote(judge: Judge, votes: int) -> None:
    told = story.short()
    parts = packs.export(told.book)
    keys = [signer_of(f"witness-{n}", KeyRole.LEDGER) for n in range(3)]
    trusted = [Witness(f"w.example/{n}", key.public_key) for n, key in enumerate(keys)]
    note = parts.head.end
    for witness, key in list(zip(trusted, keys, strict=True))[:votes]:
        note = cosign(note, witness.name, key, 1_800_000_000)
    report = judge(parts.with_head(end=note), pin=told.book.pin, witnesses=trusted, witnesses_required=2)
    assert report.valid is (votes >= 2)
    assert found(report, Question.WITNESSES) == (None if votes >= 2 else ("witnesses_missing", None))


def test_two_writers_of_one_head(judge: Judge) -> None:
    """Both branches are genuine; no pack can show both, and a log is consistent with one only."""
    told = story.launched()
    work.work(told.book, told.session)
    fork = story.launched()
    work.work(fork.book, fork.session, "write:ledger")
    work.work(fork.book, fork.session)
    one, two = packs.export(told.book), packs.export(fork.book)
    spliced = two.with_lines([*one.lines, *two.lines[12:]])
    report = judge(spliced, pin=told.book.pin)
    assert found(report, Question.INTEGRITY) == ("chain_broken", 12)
    extended = packs.export(fork.book, start_size=12)
    forked = packs.export(told.book, start_size=12)
    report = judge(extended.with_head(start=forked.head.start), pin=fork.book.pin)
    assert found(report, Question.INTEGRITY) == ("inconsistent", None)


def test_a_ledger_that_began_again(judge: Judge) -> None:
    """A lost head that is taken for an empty ledger writes history a second time from 0."""
    told = story.short()
    again = Book("acme")
    again.genesis()
    parts = packs.export(told.book)
    spoiled = parts.with_lines([*parts.lines, *packs.export(again).lines])
    report = judge(spoiled, pin=told.book.pin)
    assert found(report, Question.INTEGRITY) == ("seq_broken", len(parts.receipts()))
