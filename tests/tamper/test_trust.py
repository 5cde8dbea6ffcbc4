"""Trust comes from the pin alone: foreign roots, foreign keys, spliced tenants, keys past their time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dragons.audit.pack import record_line
from dragons.audit.verdicts import Question, Report, Status
from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole
from dragons.core.statement import Signature, sign
from dragons.core.vocabulary import Kind
from dragons.evidence.checkpoint import sign_checkpoint
from dragons.evidence.receipt import Record
from dragons.identity.records import KEY, Key
from tests.support import packs, story, work
from tests.support.ledger import Book, signer_of
from tests.support.packs import Parts
from tests.support.story import Story
from tests.tamper.attacks import FOREIGN, changed_text, on_statement, resigned
from tests.tamper.conftest import found

Judge = Callable[..., Report]
INTEGRITY, SIGNER, AUTHORITY = Question.INTEGRITY, Question.SIGNER, Question.AUTHORITY
LOW_ORDER = bytes(32)


# --- the pin -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pin", ["", "none", "0" * 63, "g" * 64, "0" * 65])
def test_no_pin_is_no_verification(parts: Parts, judge: Judge, pin: str) -> None:
    with pytest.raises(InvalidInputError, match="fingerprint"):
        judge(parts, pin=pin)


def test_a_wrong_pin(parts: Parts, judge: Judge) -> None:
    report = judge(parts, pin="0" * 64)
    assert found(report, SIGNER) == ("ledger_key_untrusted", 0)
    assert not report.valid


def test_the_ledger_key_is_no_root(parts: Parts, told: Story, judge: Judge) -> None:
    assert not judge(parts, pin=told.book.key("ledger", KeyRole.LEDGER).public_key.fingerprint).valid


def test_a_pack_without_receipts(parts: Parts, judge: Judge) -> None:
    report = judge(parts.with_lines([]))
    assert found(report, INTEGRITY) == ("log_truncated", 0)
    assert report.verdicts[SIGNER].status is Status.FAIL


def test_a_signed_pack_of_an_empty_log(told: Story, judge: Judge) -> None:
    parts = packs.export(told.book)
    empty = parts.with_lines([]).with_pack(
        told.book.ledger, tree_size=0, selected=0, first_position=0, last_position=0, revocations=0
    )
    assert not judge(empty).valid


# --- whole ledgers made up -----------------------------------------------------------------------


def test_a_forged_root_with_everything_signed_again(judge: Judge) -> None:
    """The same tenant and the same words under the attacker's own keys throughout."""
    theirs, mine = story.short("acme"), Book("acme")
    mine._keys[("root", KeyRole.ROOT)] = signer_of("mallory/root", KeyRole.ROOT)
    mine.genesis()
    mine.register_key(mine.issuer, "issuer")
    report = judge(packs.export(mine), pin=theirs.book.pin)
    assert found(report, SIGNER) == ("ledger_key_untrusted", 0)


def test_a_genesis_signed_by_somebody_else(judge: Judge) -> None:
    book = Book()
    genesis = book.genesis()
    forged = Record(header=genesis.record.header, statement=resigned(genesis.record.statement))
    parts = packs.export(book).with_lines([record_line(forged, selected=True)])
    assert found(judge(parts, pin=book.pin), SIGNER) == ("ledger_key_untrusted", 0)


@pytest.mark.parametrize("field", ["root_key", "ledger_key"])
def test_a_genesis_with_an_unsafe_key(judge: Judge, field: str) -> None:
    book = Book()
    book.genesis(**{field: LOW_ORDER})
    report = judge(packs.export(book), pin=book.pin)
    assert found(report, SIGNER) == ("ledger_key_untrusted", 0)


def test_a_second_genesis(judge: Judge) -> None:
    book = story.tenant()
    book.genesis()
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("root_untrusted", 8)


def test_signed_again_with_a_key_and_its_self_made_statement(told: Story, judge: Judge) -> None:
    """An attacker adds a statement for his ledger key, then signs everything after it."""
    book = story.tenant()
    mallory = signer_of("mallory/root", KeyRole.ROOT)
    book.register_key(FOREIGN, "ledger", signers=[mallory])
    at = len(book.placed)
    book._keys[("ledger", KeyRole.LEDGER)] = FOREIGN  # type: ignore[index]
    story.publish(book, 2)
    report = judge(packs.export(book), pin=book.pin)
    assert found(report, SIGNER) == ("key_untrusted", at - 1)


def test_another_tenants_genuine_receipt(parts: Parts, judge: Judge) -> None:
    other = packs.export(story.full("globex", cycles=2).book)
    for index in range(len(parts.receipts())):
        spoiled = parts.with_record(index, other.record(min(index, len(other.receipts()) - 1)))
        assert found(judge(spoiled), INTEGRITY) == ("tenant_mismatch", index)


def test_another_tenants_genuine_statement(judge: Judge) -> None:
    book = story.tenant()
    other = story.tenant("globex")
    book.append(Kind.CATALOGUE_PUBLISHED, other.placed[3].record.statement)
    assert found(judge(packs.export(book), pin=book.pin), INTEGRITY) == ("tenant_mismatch", 8)


# --- key statements ------------------------------------------------------------------------------


def test_a_root_statement_with_one_signature_too_many(judge: Judge) -> None:
    book = story.tenant()
    book.register_key(
        book.key("op-2", KeyRole.OPERATOR), "operator", ["operator"], signers=[book.root, book.issuer]
    )
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("key_untrusted", 8)


@pytest.mark.parametrize(
    "changes",
    [
        {"role_name": "ledger"},
        {"role_name": "root"},
        {"key_id": "opk_" + "0" * 32},
        {"key_id": "nonsense"},
        {"public_key": LOW_ORDER},
        {"replaces": "opk_" + "0" * 32},
    ],
)
def test_a_key_statement_that_does_not_add_up(judge: Judge, changes: dict[str, Any]) -> None:
    book = story.tenant()
    book.register_key(book.key("op-2", KeyRole.OPERATOR), "operator", ["operator"], **changes)
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("key_untrusted", 8)


def test_a_rotation_that_the_old_key_did_not_sign(judge: Judge) -> None:
    book = story.tenant()
    new = book.key("issuer-2", KeyRole.ISSUER)
    body = book.placed[1].record.statement.body(KEY, Key)
    body = msgspec.structs.replace(
        body, key_id=new.key_id, public_key=new.public_key.raw, replaces=book.issuer.key_id
    )
    envelope = sign(KEY, body, book.root, new)
    forged = Signature(keyid=book.issuer.key_id, sig=envelope.signatures[1].sig)
    envelope = msgspec.structs.replace(envelope, signatures=[envelope.signatures[0], forged])
    book.append(Kind.KEY_REGISTERED, envelope)
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("key_untrusted", 8)


def test_a_rotation_across_roles(judge: Judge) -> None:
    book = story.tenant()
    book.rotate(book.issuer, book.key("ledger-2", KeyRole.LEDGER), "ledger")
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("key_untrusted", 8)


def test_the_end_of_a_key_by_an_operator(judge: Judge) -> None:
    book = story.tenant()
    book.revoke_key(book.issuer.key_id, signer=book.operator)
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("key_untrusted", 8)


def test_the_end_of_an_unknown_key(judge: Judge) -> None:
    book = story.tenant()
    book.revoke_key("opk_" + "0" * 32)
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("key_untrusted", 8)


# --- keys past their time ------------------------------------------------------------------------


def test_an_operator_without_a_role_that_signs(judge: Judge) -> None:
    book = story.tenant()
    auditor = book.key("auditor", KeyRole.OPERATOR)
    book.register_key(auditor, "operator", ["auditor"])
    book.dock("reconciler", ["read:payments"], signer=auditor)
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("statement_signer", 9)


def test_an_operator_whose_key_expired(judge: Judge) -> None:
    book = story.tenant()
    temp = book.key("temp", KeyRole.OPERATOR)
    book.register_key(temp, "operator", ["operator"], not_after=book.time(2_000))
    book.now_ms += 2_000
    book.dock("reconciler", ["read:payments"], signer=temp)
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("statement_signer", 9)


def test_an_operator_whose_key_is_not_yet_valid(judge: Judge) -> None:
    book = story.tenant()
    temp = book.key("temp", KeyRole.OPERATOR)
    book.register_key(temp, "operator", ["operator"], not_before=book.time(60_000))
    book.dock("reconciler", ["read:payments"], signer=temp)
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("statement_signer", 9)


def test_an_operator_after_revocation(judge: Judge) -> None:
    book = story.tenant()
    book.revoke_key(book.operator.key_id)
    book.dock("reconciler", ["read:payments"])
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("statement_signer", 9)


@pytest.mark.parametrize("who", ["operator", "issuer"])
def test_a_key_that_was_compromised_before_it_signed(judge: Judge, who: str) -> None:
    """Told later: the first receipt that the key signed since is named, not the one that tells."""
    told = story.launched()
    book = told.book
    since = {"operator": book.headers[8].issued_at, "issuer": book.headers[9].issued_at}[who]
    key = book.operator if who == "operator" else book.issuer
    book.revoke_key(key.key_id, compromised_since=since)
    first = {"operator": 8, "issuer": 9}[who]
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("key_compromised", first)


@pytest.mark.parametrize("first", [3, 5, 9])
def test_a_compromised_ledger_key_names_its_first_receipt(judge: Judge, first: int) -> None:
    """To the receipt, also where many were signed within one minute."""
    told = story.launched()
    book = told.book
    old = book.ledger
    book.rotate(old, book.key("ledger-2", KeyRole.LEDGER), "ledger")
    book.ledger_name = "ledger-2"
    book.revoke_key(old.key_id, compromised_since=book.headers[first].issued_at)
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("key_compromised", first)


def test_a_key_that_was_compromised_after_its_last_signature(judge: Judge) -> None:
    told = story.launched()
    book = told.book
    old = book.issuer
    book.rotate(old, book.key("issuer-2", KeyRole.ISSUER), "issuer")
    book.issuer_name = "issuer-2"
    book.revoke_key(old.key_id, compromised_since=book.headers[10].issued_at)
    assert judge(packs.export(book), pin=book.pin).valid


def test_a_checkpoint_by_a_revoked_ledger_key(judge: Judge) -> None:
    book = story.tenant()
    old = book.ledger
    book.rotate(old, book.key("ledger-2", KeyRole.LEDGER), "ledger")
    book.ledger_name = "ledger-2"
    book.revoke_key(old.key_id)
    parts = packs.export(book)
    assert judge(parts, pin=book.pin).valid
    note = sign_checkpoint(book.tenant_id, parts.pack().tree_size, bytes.fromhex(parts.pack().root), old)
    assert found(judge(parts.with_head(end=note), pin=book.pin), SIGNER) == ("checkpoint_untrusted", None)
    assert found(judge(parts.with_pack(old), pin=book.pin), SIGNER) == ("pack_untrusted", None)


# --- roles do not mix ----------------------------------------------------------------------------


def test_a_header_signed_by_the_issuer(judge: Judge) -> None:
    book = story.tenant()
    book._keys[("ledger", KeyRole.LEDGER)] = book.issuer
    story.publish(book, 2)
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("ledger_key_untrusted", 8)


def test_a_lease_signed_by_the_operator(judge: Judge) -> None:
    book = story.tenant()
    dock = book.dock("reconciler", story.READ_WRITE)
    book.lease(dock, signer=book.operator)
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("statement_signer", 9)


def test_a_dock_signed_by_the_issuer(judge: Judge) -> None:
    book = story.tenant()
    book.dock("reconciler", story.READ_WRITE, signer=book.issuer)
    assert found(judge(packs.export(book), pin=book.pin), SIGNER) == ("statement_signer", 8)


def test_a_claim_signed_by_another_instance(judge: Judge) -> None:
    told = story.launched()
    other = told.book.lease(told.dock)
    work.work(told.book, told.session, signer=other.signer)
    assert found(judge(packs.export(told.book), pin=told.book.pin), SIGNER) == ("statement_signer", 12)


def test_a_statement_dated_again(judge: Judge) -> None:
    """The ledger seals what somebody else altered: both the hash and the signature tell."""
    told = story.short()
    parts = packs.export(told.book)
    for index in range(1, len(parts.receipts())):
        report = judge(on_statement(changed_text)(parts, index), pin=told.book.pin)
        assert found(report, INTEGRITY) == ("statement_altered", index)
        assert (found(report, SIGNER) or ("", -1))[1] == index
