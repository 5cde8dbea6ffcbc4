"""Every attack on every kind of receipt of four packs: located by index, under the right verdict."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import pytest

from dragons.audit.verdicts import Question, Report
from dragons.core.vocabulary import Kind
from tests.support import packs, story
from tests.support.packs import Parts
from tests.support.story import Story
from tests.tamper import attacks
from tests.tamper.attacks import Attack, is_selected
from tests.tamper.conftest import found

Judge = Callable[..., Report]
INTEGRITY, SIGNER, COMPLETENESS = Question.INTEGRITY, Question.SIGNER, Question.COMPLETENESS

ROOT_SIGNED = {Kind.KEY_REGISTERED, Kind.KEY_REVOKED}


def everywhere(parts: Parts) -> Iterable[int]:
    """Every receipt in a deep run; else the first and the last of each kind, and both ends of the pack."""
    size = len(parts.receipts())
    if os.environ.get("HYPOTHESIS_PROFILE") == "deep":
        return range(size)
    kinds = [parts.header(index).kind for index in range(size)]
    first = {kind: index for index, kind in reversed([*enumerate(kinds)])}
    last = {kind: index for index, kind in enumerate(kinds)}
    return sorted({0, size - 1, *first.values(), *last.values()})


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
        assert found(report, INTEGRITY) == (_after_forging(parts, index), index + 2)


def test_an_inserted_receipt_of_another_tenant(parts: Parts, judge: Judge) -> None:
    """Genuine where it comes from."""
    stranger = packs.export(story.short("globex").book).lines[12]
    for index in everywhere(parts):
        at = parts.receipts()[index]
        report = judge(parts.with_lines([*parts.lines[:at], stranger, *parts.lines[at:]]))
        assert found(report, INTEGRITY) == ("tenant_mismatch", index)
        assert found(report, SIGNER) == ("ledger_key_untrusted", index)


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
        assert found(report, COMPLETENESS) == _after_cutting(parts, index)


def test_a_tail_replaced_by_hashes(parts: Parts, told: Story, judge: Judge) -> None:
    """The root comes out right: the signed pack statement is what tells."""
    attack = attacks.tail_hidden(told.book)
    for index in everywhere(parts):
        report = judge(attack(parts, index))
        assert found(report, INTEGRITY) == ("context_altered", None)
        assert found(report, COMPLETENESS) == _after_cutting(parts, index)


def test_a_receipt_replaced_by_its_hash(parts: Parts, told: Story, judge: Judge) -> None:
    attack = attacks.hidden(told.book)
    for index in everywhere(parts):
        report = judge(attack(parts, index))
        assert found(report, INTEGRITY) == ("context_altered", None)
        assert found(report, COMPLETENESS) == _after_hiding(parts, index)


def test_a_withheld_revocation(parts: Parts, told: Story, judge: Judge) -> None:
    """The ledger itself leaves a revocation out of the pack and signs that: its count tells."""
    places = [
        i for i in range(len(parts.receipts())) if parts.header(i).kind in {Kind.REVOKED, Kind.KEY_REVOKED}
    ]
    assert len(places) == 5
    for index in places:
        spoiled = attacks.hidden(told.book)(parts, index).resealed(told.book.ledger)
        assert found(judge(spoiled), COMPLETENESS) == _after_hiding(parts, index)


def test_a_receipt_counted_in_or_out(parts: Parts, judge: Judge) -> None:
    for index in everywhere(parts):
        code = "receipt_missing" if is_selected(parts, index) else "receipt_foreign"
        assert found(judge(attacks.flag_flipped(parts, index)), COMPLETENESS) == (code, index)


def _after_hiding(parts: Parts, index: int) -> tuple[str, int] | None:
    """What the first receipt tells that should have come after this one; all of them moved up by one."""
    end = len(parts.receipts())
    faults = []
    if is_selected(parts, index):
        following = next((at for at in range(index + 1, end) if is_selected(parts, at)), None)
        if following is not None:
            faults.append((following - 1, "receipt_missing"))
        elif parts.pack().selection.kind == "window":
            faults.append((index, "window_edge"))
        else:
            faults.append((end - 1, "selection_truncated"))
    elif parts.pack().selection.kind == "window":
        faults.extend(_at_an_edge(parts, index))
    if _is_revocation(parts, index):
        following = next((at for at in range(index + 1, end) if _is_revocation(parts, at)), end)
        faults.append((following - 1, "revocation_withheld"))
    return None if not faults else min(faults)[::-1]


def _at_an_edge(parts: Parts, index: int) -> Iterable[tuple[int, str]]:
    """The receipts just before and just after a window show that none was left out there."""
    selected = [at for at in range(len(parts.receipts())) if is_selected(parts, at)]
    if index == selected[0] - 1 or index == selected[-1] + 1:
        yield index, "window_edge"


def _after_cutting(parts: Parts, index: int) -> tuple[str, int] | None:
    """What is missing when this receipt and all after it are gone: told at the end."""
    rest = range(index, len(parts.receipts()))
    if any(_is_revocation(parts, at) for at in rest):
        return "revocation_withheld", index
    if any(is_selected(parts, at) for at in rest):
        return "selection_truncated", index
    is_edge = parts.pack().selection.kind == "window" and is_selected(parts, index - 1)
    return ("window_edge", index) if is_edge else None


def _after_forging(parts: Parts, index: int) -> str:
    """The forged receipt has the next one's place. Of a gap of one receipt it takes the whole place."""
    is_gap_of_one = (
        index + 1 < len(parts.receipts()) and parts.header(index + 1).seq == parts.header(index).seq + 2
    )
    return "chain_broken" if is_gap_of_one else _what_follows(parts, index, "log_truncated")


def _is_revocation(parts: Parts, index: int) -> bool:
    return parts.header(index).kind in {Kind.REVOKED, Kind.KEY_REVOKED}


def _what_follows(parts: Parts, index: int, at_end: str) -> str:
    at = parts.receipts()[index] + 1
    if at == len(parts.lines):
        return at_end
    return "seq_broken" if at in parts.receipts() else "gap_misplaced"
