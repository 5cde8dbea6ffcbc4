"""Every attack on every receipt of four packs: located by index, under the right verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from dragons.audit.verdicts import Question, Report
from dragons.core.vocabulary import Kind
from tests.support.packs import Parts
from tests.support.story import Story
from tests.tamper import attacks
from tests.tamper.attacks import Attack, is_selected
from tests.tamper.conftest import found

Judge = Callable[..., Report]
INTEGRITY, SIGNER, COMPLETENESS = Question.INTEGRITY, Question.SIGNER, Question.COMPLETENESS

ROOT_SIGNED = {Kind.KEY_REGISTERED, Kind.KEY_REVOKED}


def everywhere(parts: Parts) -> Iterable[int]:
    return range(len(parts.receipts()))


def test_the_packs_are_valid_as_they_are(parts: Parts, judge: Judge) -> None:
    report = judge(parts)
    assert report.valid, report.to_json()


@pytest.mark.parametrize(
    ("attack", "question", "code"),
    [
        (attacks.on_header(attacks.changed_byte), INTEGRITY, "malformed"),
        (attacks.on_header(attacks.changed_field), SIGNER, "signature_invalid"),
        (attacks.on_header(attacks.changed_signature), SIGNER, "signature_invalid"),
        (attacks.on_header(attacks.changed_keyid), SIGNER, "ledger_key_untrusted"),
        (attacks.on_header(attacks.changed_type), INTEGRITY, "malformed"),
        (attacks.on_header(attacks.without_signatures), SIGNER, "ledger_key_untrusted"),
        (attacks.on_header(attacks.resigned), SIGNER, "ledger_key_untrusted"),
        (attacks.on_header(attacks.impersonated), SIGNER, "signature_invalid"),
        (attacks.on_statement(attacks.changed_byte), INTEGRITY, "malformed"),
        (attacks.on_statement(attacks.changed_text), INTEGRITY, "statement_altered"),
        (attacks.on_statement(attacks.changed_type), INTEGRITY, "statement_kind"),
    ],
    ids=[
        "header byte", "header field", "header signature", "header keyid", "header type", "header stripped",
        "header resigned", "header impersonated", "statement byte", "statement field", "statement type",
    ],
)  # fmt: skip
def test_an_altered_receipt(
    parts: Parts, judge: Judge, attack: Attack, question: Question, code: str
) -> None:
    for index in everywhere(parts):
        report = judge(attack(parts, index))
        assert found(report, question) == (code, index)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (attacks.changed_signature, "signature_invalid"),
        (attacks.impersonated, "signature_invalid"),
        (attacks.changed_keyid, "statement_signer"),
        (attacks.without_signatures, "statement_signer"),
        (attacks.resigned, "statement_signer"),
    ],
    ids=["signature", "impersonated", "keyid", "stripped", "resigned"],
)
def test_an_altered_signature_of_a_statement(parts: Parts, judge: Judge, change, code: str) -> None:
    for index in everywhere(parts):
        kind = parts.header(index).kind
        report = judge(attacks.on_statement(change)(parts, index))
        if kind is Kind.TENANT_CREATED:
            expected = ("ledger_key_untrusted", 0)  # nobody vouches for any key then
        else:
            expected = ("key_untrusted" if kind in ROOT_SIGNED else code, index)
        assert found(report, SIGNER) == expected


def test_a_removed_receipt(parts: Parts, judge: Judge) -> None:
    for index in everywhere(parts):
        report = judge(attacks.removed(parts, index))
        assert found(report, INTEGRITY) == (_what_follows(parts, index, "log_truncated"), index)


def test_a_duplicated_receipt(parts: Parts, judge: Judge) -> None:
    for index in everywhere(parts):
        assert found(judge(attacks.duplicated(parts, index)), INTEGRITY) == ("seq_broken", index + 1)


def test_a_forged_receipt(parts: Parts, judge: Judge) -> None:
    for index in everywhere(parts):
        report = judge(attacks.forged(parts, index))
        # A key statement told twice is refused as well, and its code sorts first.
        code = "key_untrusted" if parts.header(index).kind is Kind.KEY_REGISTERED else "ledger_key_untrusted"
        assert found(report, SIGNER) == (code, index + 1)
        if parts.header(index).seq + 1 < parts.pack().tree_size:
            assert found(report, INTEGRITY) is not None


def test_reordered_neighbours(parts: Parts, judge: Judge) -> None:
    lines = parts.receipts()
    for index in everywhere(parts):
        at = lines[index]
        if at + 1 < len(parts.lines):
            code = "seq_broken" if at + 1 in lines else "gap_misplaced"
            assert found(judge(attacks.swapped(parts, index)), INTEGRITY) == (code, index)


def test_a_dropped_tail(parts: Parts, judge: Judge) -> None:
    for index in everywhere(parts):
        report = judge(attacks.truncated(parts, index))
        assert found(report, INTEGRITY) == ("log_truncated", index)
        if _selected_from(parts, index):
            assert found(report, COMPLETENESS) in {
                ("selection_truncated", index),
                ("revocation_withheld", index),
            }


def test_a_tail_replaced_by_hashes(parts: Parts, told: Story, judge: Judge) -> None:
    """The root comes out right: the signed pack statement is what tells."""
    attack = attacks.tail_hidden(told.book)
    for index in everywhere(parts):
        report = judge(attack(parts, index))
        assert found(report, INTEGRITY) == ("context_altered", None)
        if _selected_from(parts, index):
            assert found(report, COMPLETENESS) in {
                ("selection_truncated", index),
                ("revocation_withheld", index),
            }


def test_a_receipt_replaced_by_its_hash(parts: Parts, told: Story, judge: Judge) -> None:
    attack = attacks.hidden(told.book)
    for index in everywhere(parts):
        report = judge(attack(parts, index))
        assert found(report, INTEGRITY) is not None
        if is_selected(parts, index):
            assert found(report, COMPLETENESS) is not None


def test_a_withheld_revocation(parts: Parts, told: Story, judge: Judge) -> None:
    """The ledger itself leaves a revocation out of the pack and signs that: its count tells."""
    places = [i for i in everywhere(parts) if parts.header(i).kind in {Kind.REVOKED, Kind.KEY_REVOKED}]
    assert len(places) == 3
    for index in places:
        spoiled = attacks.hidden(told.book)(parts, index).resealed(told.book.ledger)
        code, at = found(judge(spoiled), COMPLETENESS) or ("", -1)
        assert code in {"revocation_withheld", "receipt_missing"}
        assert at is not None
        assert at >= index


def test_a_receipt_counted_in_or_out(parts: Parts, judge: Judge) -> None:
    for index in everywhere(parts):
        code = "receipt_missing" if is_selected(parts, index) else "receipt_foreign"
        assert found(judge(attacks.flag_flipped(parts, index)), COMPLETENESS) == (code, index)


def _selected_from(parts: Parts, index: int) -> bool:
    return any(is_selected(parts, later) for later in range(index, len(parts.receipts())))


def _what_follows(parts: Parts, index: int, at_end: str) -> str:
    at = parts.receipts()[index] + 1
    if at == len(parts.lines):
        return at_end
    return "seq_broken" if at in parts.receipts() else "gap_misplaced"
