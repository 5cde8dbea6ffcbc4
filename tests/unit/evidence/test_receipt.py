"""Receipts: the header's hash covers every field, and the bodies they cite have bounds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from dragons.core.canonical import Document, decode, encode
from dragons.core.clock import format_time
from dragons.core.errors import InvalidInputError
from dragons.core.hashing import ZERO, sha256_hex
from dragons.core.keys import KeyRole
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind, OrganismState, Outcome
from dragons.evidence import receipt
from dragons.evidence.receipt import EVIDENCE_MAX, Claim, Erasure, Header, Record
from tests.property.builders import NOW_MS, make_header, name, signer

AT = format_time(NOW_MS)
ONES = "1" * 64
FULL = make_header(
    agent="reconciler", agent_seq=1, manifest_hash=ZERO, instance_id=f"{1:032x}", lease_ref=name("lse", 1), epoch=3,
    session_id=name("ses", 1), session_position=2, session_parent=ZERO, action="read:payments", payload_hash=ZERO,
    evidence=[ZERO], organism_state=OrganismState.RUNNING, mtboi_seconds=7, outcome=Outcome.COMPLETED, late=False,
    corrects=name("rcp", 9), revocation_seq=0,
)  # fmt: skip
CHANGES: dict[str, Any] = {
    "receipt_id": name("rcp", 8), "tenant_id": name("tnt", 2), "seq": 1, "kind": Kind.DENIED, "parent_root": ONES,
    "statement_hash": ONES, "issued_at": format_time(NOW_MS + 1), "agent": "other", "agent_seq": 2, "manifest_hash": ONES,
    "instance_id": f"{2:032x}", "lease_ref": name("lse", 2), "epoch": 4, "session_id": name("ses", 2), "session_position": 3,
    "session_parent": ONES, "action": "write:ledger", "payload_hash": ONES, "evidence": [ONES],
    "organism_state": OrganismState.DEGRADED, "mtboi_seconds": 8, "outcome": Outcome.FAILED, "late": True,
    "corrects": name("rcp", 10), "revocation_seq": 1,
}  # fmt: skip
CLAIM = Claim(
    claim_id=name("clm", 1), tenant_id=name("tnt", 1), instance_id=f"{1:032x}", lease_id=name("lse", 1), epoch=3,
    session_id=name("ses", 1), action="read:payments", started_at=AT, ended_at=AT, elapsed_ms=5, payload_hash=ZERO,
    evidence=[], outcome=Outcome.COMPLETED,
)  # fmt: skip


def test_a_header_comes_back_from_its_bytes() -> None:
    assert decode(Header, encode(FULL)) == FULL
    assert decode(Header, encode(make_header())) == make_header()


def test_the_chain_root_is_the_hash_of_the_canonical_header() -> None:
    assert FULL.chain_root() == sha256_hex(encode(FULL))


def test_every_field_of_the_header_is_tried_here() -> None:
    assert set(CHANGES) == set(Header.__struct_fields__)


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_is_under_the_chain_root(field: str) -> None:
    assert replace(FULL, **{field: CHANGES[field]}).chain_root() != FULL.chain_root()


OPTIONAL = [
    field
    for field, default in zip(
        reversed(Header.__struct_fields__), reversed(Header.__struct_defaults__), strict=False
    )
    if default is msgspec.UNSET
]


@pytest.mark.parametrize("field", OPTIONAL)
def test_leaving_a_field_out_changes_the_chain_root(field: str) -> None:
    assert replace(FULL, **{field: msgspec.UNSET}).chain_root() != FULL.chain_root()


def test_what_is_false_or_zero_is_written_and_what_is_absent_is_not() -> None:
    assert b'"late":false' in encode(FULL)
    assert b'"revocation_seq":0' in encode(FULL)
    assert b"late" not in encode(make_header())


@pytest.mark.parametrize(
    "changes",
    [{"seq": -1}, {"kind": "party"}, {"outcome": "maybe"}, {"action": ""}, {"action": "x" * 129}, {"evidence": [ZERO] * (EVIDENCE_MAX + 1)},
     {"evidence": [""]}, {"late": 1}, {"parent_root": ""}, {"issued_at": "now"}, {"organism_state": "happy"}, {"agent": None}],
)  # fmt: skip
def test_a_header_with_a_value_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        decode(Header, encode(replace(FULL, **changes)))


def test_a_record_comes_back_from_its_leaf() -> None:
    record = Record(
        header=sign("receipt", FULL, signer(5, KeyRole.LEDGER)),
        statement=sign("claim", CLAIM, signer(1, KeyRole.INSTANCE)),
    )
    assert record.leaf() == encode(record)
    assert decode(Record, record.leaf()) == record


def test_a_claim_comes_back_from_its_bytes() -> None:
    full = replace(
        CLAIM,
        reason="x" * 500,
        count=2,
        decision_id=name("dcn", 1),
        corrects=name("rcp", 1),
        evidence=[ZERO] * EVIDENCE_MAX,
    )
    assert decode(Claim, encode(CLAIM)) == CLAIM
    assert decode(Claim, encode(full)) == full


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": "x" * 501},
        {"count": -1},
        {"elapsed_ms": -1},
        {"action": ""},
        {"evidence": [ZERO] * (EVIDENCE_MAX + 1)},
    ],
)
def test_a_claim_with_a_value_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        decode(Claim, encode(replace(CLAIM, **changes)))


@pytest.mark.parametrize("count", [0, 1_001])
def test_an_erasure_names_one_to_a_thousand_receipts(count: int) -> None:
    def erasure(number: int) -> Erasure:
        return Erasure(
            tenant_id=name("tnt", 1),
            receipts=[name("rcp", one) for one in range(number)],
            reason="law",
            erased_at=AT,
        )

    assert len(decode(Erasure, encode(erasure(1_000))).receipts) == 1_000
    with pytest.raises(InvalidInputError):
        decode(Erasure, encode(erasure(count)))


def test_no_document_of_a_receipt_holds_a_payload() -> None:
    documents = [
        value for value in vars(receipt).values() if isinstance(value, type) and issubclass(value, Document)
    ]
    assert documents
    assert not [kind for kind in documents if {"body", "salt"} & set(kind.__struct_fields__)]


def test_the_kinds_of_statement_are_part_of_the_format() -> None:
    kinds = {key: value for key, value in vars(receipt).items() if key.isupper() and isinstance(value, str)}
    assert kinds == {
        "RECEIPT": "receipt", "CLAIM": "claim", "SESSION": "session", "CLOSING": "closing", "DENIAL": "denial",
        "DECISION": "decision", "ABANDONMENT": "abandonment", "TRANSITION": "transition", "INTERVENTION": "intervention",
        "ERASURE": "erasure", "REDISPATCH": "redispatch", "DISPATCH_END": "dispatch-end", "DELIVERY": "delivery",
    }  # fmt: skip
