"""Every document that an incident can hold has a sentence, and says nothing that it does not state."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragons.audit.kinds import STATEMENTS
from dragons.control.ports import Filter
from dragons.control.retelling import _TELLERS, retell
from dragons.core.canonical import decode
from dragons.core.vocabulary import Kind, OrganismState, Outcome
from dragons.evidence import receipt
from dragons.evidence.receipt import Header
from tests.support.plane import Tenancy

# What an incident is never told by: keys, catalogues, tenants, a child's wish, erasures.
_SILENT = {
    Kind.TENANT_CREATED, Kind.KEY_REGISTERED, Kind.KEY_REVOKED, Kind.CATALOGUE_PUBLISHED, Kind.LEASE_DELEGATED,
    Kind.ERASED,
}  # fmt: skip
T, INSTANCE = "tnt_" + "0" * 32, "0" * 32
AT = "2026-11-21T14:22:15.000Z"


def header(**changes: Any) -> Header:
    made = Header(
        receipt_id="rcp_" + "0" * 32, tenant_id=T, seq=1, kind=Kind.WORK, parent_root="0" * 64,
        statement_hash="0" * 64, issued_at=AT,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def test_every_document_of_an_incident_has_a_sentence() -> None:
    documents = {
        one.document for kind, several in STATEMENTS.items() if kind not in _SILENT for one in several
    }
    assert documents == set(_TELLERS)


def claim(**changes: Any) -> receipt.Claim:
    made = receipt.Claim(
        claim_id=T, tenant_id=T, instance_id=INSTANCE, lease_id=T, epoch=1, session_id=T, action="pay:supplier",
        started_at=AT, ended_at=AT, elapsed_ms=7, payload_hash="0" * 64, evidence=[], outcome=Outcome.COMPLETED,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize(
    ("body", "says", "facts"),
    [
        (claim(), "pay:supplier: completed", {"elapsed_ms": 7, "evidence": 0}),
        (claim(outcome=Outcome.DENIED, count=12), "pay:supplier: denied 12 times", {}),
        (claim(reason="lease_expired"), "pay:supplier: completed", {"reason": "lease_expired"}),
        (
            receipt.Denial(
                tenant_id=T, instance_id=INSTANCE, action="launch", reason="dock_expired", detail="d", count=1,
                first_at=AT, last_at=AT,
            ),
            "denied: launch, dock_expired",
            {"detail": "d"},
        ),
        (
            receipt.Denial(
                tenant_id=T, instance_id=INSTANCE, action="launch", reason="dock_expired", detail="d", count=9,
                first_at=AT, last_at=AT,
            ),
            "denied 9 times: launch, dock_expired",
            {},
        ),
        (
            receipt.Transition(
                tenant_id=T, instance_id=INSTANCE, before=OrganismState.RUNNING, after=OrganismState.DEGRADED,
                trigger="stalled", reason="no heartbeat for 30 min", at=AT, dispatch_id=T,
                axes=receipt.Axes(lease_expires_at=AT, policy_version=2, pulse_at=AT, beat_sequence=9),
            ),
            "running → degraded: no heartbeat for 30 min",
            {"trigger": "stalled", "policy_version": 2, "beat_sequence": 9, "pulse_at": AT},
        ),
        (
            receipt.Intervention(tenant_id=T, action="stop", reason="r", at=AT, dispatch_id=T),
            f"an operator's stop of dispatch {T}: r",
            {},
        ),
        (
            receipt.Abandonment(tenant_id=T, instance_id=INSTANCE, session_id=T, why="halted", abandoned_at=AT),
            "the session was closed as abandoned: halted",
            {},
        ),
        (
            receipt.Delivery(
                tenant_id=T, message_id=T, channel="", topic="quarantined", message_hash="0" * 64,
                outcome="failed", attempts=0, detail="no channel is routed for it", at=AT,
            ),
            "people were told of quarantined to nobody: failed",
            {"attempts": 0},
        ),
    ],
)  # fmt: skip
def test_a_statement_in_words(body: Any, says: str, facts: dict[str, Any]) -> None:
    what, found = retell(body, header())
    assert what == says
    assert facts.items() <= found.items()


def test_late_work_says_so() -> None:
    what, facts = retell(claim(), header(late=True))
    assert what == "pay:supplier: completed (reported late)"
    assert facts["late"] is True


def test_facts_are_plain_values(acme: Tenancy) -> None:
    """Of every statement that a real ledger holds, so that each can be shown and encoded."""
    agent = acme.started(acme.ready())
    acme.dispatch()
    acme.work(agent)
    acme.authorize(agent, "pay:supplier")
    acme.intervene(agent.instance_id, "quarantine")
    documents = {one.name: one.document for several in STATEMENTS.values() for one in several}
    rows = acme.plane.read(lambda r: list(r.iter_receipts(acme.tenant_id, Filter())))
    for row in rows:
        kind = row.statement_type.removeprefix("application/vnd.dragons.").removesuffix("+json")
        what, facts = retell(decode(documents[kind], row.statement), decode(Header, row.header))
        assert what
        assert all(isinstance(value, str | int) for value in facts.values()), (kind, facts)
