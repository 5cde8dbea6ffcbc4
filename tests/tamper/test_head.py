"""Everything beside the receipts: pack statement, checkpoints, consistency, payloads, heartbeats, witnesses."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from dragons.audit.pack import PACK, HeartbeatDigest, Selection
from dragons.audit.verdicts import Question, Report, Status
from dragons.core.keys import KeyRole
from dragons.core.statement import sign
from dragons.evidence.checkpoint import Witness, cosign, sign_checkpoint
from dragons.evidence.merkle import root_at
from dragons.evidence.payload import Payload
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat
from tests.support import packs
from tests.support.ledger import signer_of
from tests.support.packs import Parts
from tests.support.story import Story
from tests.tamper import attacks
from tests.tamper.attacks import FOREIGN
from tests.tamper.conftest import found

Judge = Callable[..., Report]
INTEGRITY, SIGNER, COMPLETENESS = Question.INTEGRITY, Question.SIGNER, Question.COMPLETENESS
REDACTION, WITNESSES, TIME = Question.REDACTION, Question.WITNESSES, Question.TIME


# --- pack statement ------------------------------------------------------------------------------


def test_a_changed_pack_statement(parts: Parts, judge: Judge) -> None:
    body = msgspec.structs.replace(parts.pack(), selected=parts.pack().selected - 1)
    payload = msgspec.json.encode(body, order="sorted")
    statement = msgspec.structs.replace(parts.head.statement, payload=payload)
    assert found(judge(parts.with_head(statement=statement)), SIGNER) == ("pack_untrusted", None)


@pytest.mark.parametrize(
    "change", [attacks.changed_signature, attacks.changed_keyid, attacks.without_signatures]
)
def test_a_pack_statement_signed_wrongly(parts: Parts, judge: Judge, change: Callable[[Any], Any]) -> None:
    spoiled = parts.with_head(statement=change(parts.head.statement))
    assert found(judge(spoiled), SIGNER) == ("pack_untrusted", None)


def test_a_pack_statement_by_a_foreign_key(parts: Parts, judge: Judge) -> None:
    assert found(judge(parts.with_pack(FOREIGN)), SIGNER) == ("pack_untrusted", None)


def test_a_pack_statement_by_a_key_with_another_role(parts: Parts, told: Story, judge: Judge) -> None:
    assert found(judge(parts.with_pack(told.book.issuer)), SIGNER) == ("pack_untrusted", None)


def test_a_pack_statement_of_another_pack(four: dict[str, Parts], judge: Judge) -> None:
    spoiled = four["session"].with_head(statement=four["agent"].head.statement)
    assert found(judge(spoiled), COMPLETENESS) is not None


@pytest.mark.parametrize(
    ("changes", "question", "code"),
    [
        ({"selected": 3}, COMPLETENESS, "selection_truncated"),
        ({"last_position": 99}, COMPLETENESS, "selection_truncated"),
        ({"revocations": 4}, COMPLETENESS, "revocation_withheld"),
        ({"root": "0" * 64}, INTEGRITY, "checkpoint_contradicts"),
        ({"root": "x" * 64}, INTEGRITY, "checkpoint_contradicts"),
        ({"tree_size": 900}, INTEGRITY, "checkpoint_contradicts"),
        ({"context_sha256": "0" * 64}, INTEGRITY, "context_altered"),
        ({"exported_at": "2027-01-15T08:00:01.000Z"}, TIME, "time_reversed"),
        ({"selection": Selection(kind="session")}, COMPLETENESS, "selection_malformed"),
        ({"tenant_id": "tnt_" + "0" * 32}, INTEGRITY, "tenant_mismatch"),
    ],
)
def test_a_ledger_that_lies_in_its_pack_statement(
    parts: Parts, told: Story, judge: Judge, changes: dict[str, Any], question: Question, code: str
) -> None:
    report = judge(parts.with_pack(told.book.ledger, **changes))
    assert not report.valid
    result = found(report, question)
    assert result is not None
    if question in {COMPLETENESS, TIME} and code != "selection_malformed":
        assert result[0] == code
    if code == "tenant_mismatch":
        assert result == (code, 0)


# --- checkpoints ---------------------------------------------------------------------------------


def test_an_end_checkpoint_of_another_root(parts: Parts, told: Story, judge: Judge) -> None:
    book = told.book
    note = sign_checkpoint(book.tenant_id, parts.pack().tree_size, bytes(32), book.ledger)
    assert found(judge(parts.with_head(end=note)), INTEGRITY) == ("checkpoint_contradicts", None)


def test_an_end_checkpoint_by_a_foreign_key(parts: Parts, told: Story, judge: Judge) -> None:
    root = bytes.fromhex(parts.pack().root)
    note = sign_checkpoint(told.book.tenant_id, parts.pack().tree_size, root, FOREIGN)
    assert found(judge(parts.with_head(end=note)), SIGNER) == ("checkpoint_untrusted", None)


def test_an_end_checkpoint_of_another_tenant(parts: Parts, told: Story, judge: Judge) -> None:
    root = bytes.fromhex(parts.pack().root)
    note = sign_checkpoint("tnt_" + "0" * 32, parts.pack().tree_size, root, told.book.ledger)
    assert found(judge(parts.with_head(end=note)), SIGNER) == ("checkpoint_untrusted", None)


def test_an_end_checkpoint_that_is_none(parts: Parts, judge: Judge) -> None:
    assert found(judge(parts.with_head(end="nothing\n")), SIGNER) == ("checkpoint_malformed", None)


def test_an_older_checkpoint_as_the_end(parts: Parts, told: Story, judge: Judge) -> None:
    book = told.book
    note = sign_checkpoint(book.tenant_id, 20, root_at(20, book.read_node), book.ledger)
    assert found(judge(parts.with_head(end=note)), INTEGRITY) == ("checkpoint_contradicts", None)


@pytest.mark.parametrize("kind", ["ledger", "session", "window"])
def test_a_start_checkpoint_of_another_log(
    four: dict[str, Parts], told: Story, judge: Judge, kind: str
) -> None:
    note = sign_checkpoint(told.book.tenant_id, 9, bytes(32), told.book.ledger)
    assert found(judge(four[kind].with_head(start=note)), INTEGRITY) == ("inconsistent", None)


@pytest.mark.parametrize("kind", ["ledger", "session", "window"])
def test_a_start_checkpoint_by_a_foreign_key(
    four: dict[str, Parts], told: Story, judge: Judge, kind: str
) -> None:
    note = sign_checkpoint(told.book.tenant_id, 9, root_at(9, told.book.read_node), FOREIGN)
    assert found(judge(four[kind].with_head(start=note)), SIGNER) == ("checkpoint_untrusted", None)


@pytest.mark.parametrize("kind", ["ledger", "session", "window"])
def test_an_altered_consistency_proof(four: dict[str, Parts], judge: Judge, kind: str) -> None:
    proof = four[kind].head.consistency
    assert proof
    for spoiled in (proof[:-1], [*proof, bytes(32)], [bytes(32), *proof[1:]], []):
        assert found(judge(four[kind].with_head(consistency=spoiled)), INTEGRITY) == ("inconsistent", None)


def test_a_consistency_proof_without_its_checkpoint(four: dict[str, Parts], judge: Judge) -> None:
    spoiled = four["agent"].with_head(consistency=[bytes(32)])
    assert found(judge(spoiled), INTEGRITY) == ("inconsistent", None)


# --- payloads ------------------------------------------------------------------------------------


def _receipts_with_payload(parts: Parts) -> list[int]:
    here = {payload.payload_hash for payload in parts.payloads}
    return [at for at in range(len(parts.receipts())) if parts.header(at).payload_hash in here]


@pytest.mark.parametrize(
    "change",
    [
        lambda p: Payload(payload_hash=p.payload_hash, salt=bytes(32), body=p.body),
        lambda p: Payload(payload_hash=p.payload_hash, salt=p.salt[:16], body=p.body),
        lambda p: Payload(payload_hash=p.payload_hash, salt=p.salt, body=p.body.replace(b"4", b"5") + b" "),
    ],
    ids=["salt", "short salt", "body"],
)
def test_an_altered_payload(parts: Parts, judge: Judge, change: Callable[[Payload], Payload]) -> None:
    for number, index in enumerate(_receipts_with_payload(parts)):
        payloads = list(parts.payloads)
        payloads[number] = change(payloads[number])
        assert found(judge(replace(parts, payloads=payloads)), REDACTION) == ("payload_altered", index)


def test_swapped_payloads(parts: Parts, judge: Judge) -> None:
    places = _receipts_with_payload(parts)
    for number, index in enumerate(places[:-1]):
        payloads = list(parts.payloads)
        payloads[number : number + 2] = payloads[number + 1], payloads[number]
        assert found(judge(replace(parts, payloads=payloads)), REDACTION) == ("payload_withheld", index)


def test_dropped_payloads(parts: Parts, judge: Judge) -> None:
    for number, index in enumerate(_receipts_with_payload(parts)):
        payloads = [*parts.payloads[:number], *parts.payloads[number + 1 :]]
        assert found(judge(replace(parts, payloads=payloads)), REDACTION) == ("payload_withheld", index)


def test_a_payload_too_many(parts: Parts, judge: Judge) -> None:
    spoiled = replace(parts, payloads=[*parts.payloads, parts.payloads[0]])
    assert found(judge(spoiled), REDACTION) == ("payload_unclaimed", None)


def test_a_redacted_pack_is_valid_and_says_so(four: dict[str, Parts], told: Story, judge: Judge) -> None:
    parts = packs.export(told.book, redacted=True)
    report = judge(parts)
    assert report.valid
    assert report.verdicts[REDACTION].facts == {"withheld": len(four["ledger"].payloads) + 1}


def test_a_redacted_pack_where_payloads_are_asked_for(told: Story, judge: Judge) -> None:
    parts = packs.export(told.book, redacted=True)
    first = next(i for i in range(99) if isinstance(parts.header(i).payload_hash, str))
    assert found(judge(parts, require_payloads=True), REDACTION) == ("payload_withheld", first)


# --- heartbeats ----------------------------------------------------------------------------------


def _beat(told: Story, signer: Any, **changes: Any) -> HeartbeatDigest:
    agent = told.agent
    body = Heartbeat(
        tenant_id=told.book.tenant_id,
        instance_id=agent.instance_id,
        lease_id=agent.lease.lease_id,
        epoch=1,
        sequence=41,
        sent_at=told.book.time(),
    )
    body = msgspec.structs.replace(body, **changes)
    return HeartbeatDigest(instance_id=agent.instance_id, accepted=41, last=sign(HEARTBEAT, body, signer))


def test_a_genuine_heartbeat(four: dict[str, Parts], told: Story, judge: Judge) -> None:
    assert judge(replace(four["session"], heartbeats=[_beat(told, told.agent.signer)])).valid


@pytest.mark.parametrize(
    ("signer", "changes"),
    [
        ("mallory", {}),
        (None, {"lease_id": "lse_" + "0" * 32}),
        (None, {"instance_id": "0" * 32}),
        (None, {"tenant_id": "tnt_" + "0" * 32}),
    ],
)
def test_a_forged_heartbeat(four: dict[str, Parts], told: Story, judge: Judge, signer, changes) -> None:
    key = told.agent.signer if signer is None else signer_of(signer, KeyRole.INSTANCE)
    spoiled = replace(four["session"], heartbeats=[_beat(told, key, **changes)])
    assert found(judge(spoiled), SIGNER) == ("heartbeat_untrusted", None)


def test_something_else_as_a_heartbeat(four: dict[str, Parts], told: Story, judge: Judge) -> None:
    digest = HeartbeatDigest(
        instance_id=told.agent.instance_id,
        accepted=1,
        last=sign(PACK, four["session"].pack(), told.agent.signer),
    )
    spoiled = replace(four["session"], heartbeats=[digest])
    assert found(judge(spoiled), SIGNER) == ("heartbeat_untrusted", None)


# --- witnesses -----------------------------------------------------------------------------------


def test_witnesses_are_counted_by_key(parts: Parts, judge: Judge) -> None:
    one, two = (signer_of(name, KeyRole.LEDGER) for name in ("witness-1", "witness-2"))
    trusted = [Witness("w.example/1", one.public_key), Witness("w.example/2", two.public_key)]
    again = Witness("w.example/1b", one.public_key)
    note = cosign(parts.head.end, "w.example/1", one, 1_800_000_000)
    twice = cosign(note, "w.example/1b", one, 1_800_000_001)
    both = cosign(note, "w.example/2", two, 1_800_000_001)
    assert judge(parts, witnesses=trusted).verdicts[WITNESSES].facts == {"cosigned": 0}
    assert judge(parts).verdicts[WITNESSES].status is Status.NOT_ASKED
    assert found(judge(parts, witnesses=trusted), WITNESSES) == ("witnesses_missing", None)
    assert judge(parts.with_head(end=note), witnesses=trusted).valid
    report = judge(parts.with_head(end=twice), witnesses=[*trusted, again], witnesses_required=2)
    assert found(report, WITNESSES) == ("witnesses_missing", None)
    assert judge(parts.with_head(end=both), witnesses=trusted, witnesses_required=2).valid


def test_an_altered_cosignature_does_not_count(parts: Parts, judge: Judge) -> None:
    one = signer_of("witness-1", KeyRole.LEDGER)
    note = cosign(parts.head.end, "w.example/1", one, 1_800_000_000)
    head, _, line = note.rstrip("\n").rpartition(" ")
    spoiled = f"{head} {b64encode(bytes(76)).decode()}\n"
    assert line
    report = judge(parts.with_head(end=spoiled), witnesses=[Witness("w.example/1", one.public_key)])
    assert found(report, WITNESSES) == ("witnesses_missing", None)


def test_required_witnesses_that_nobody_named(parts: Parts, judge: Judge) -> None:
    assert found(judge(parts, witnesses_required=1), WITNESSES) == ("witnesses_missing", None)
