"""Decisions over HTTP: a denial is an answer, and on the record."""

from __future__ import annotations

from dragons.core.statement import envelope_json
from dragons.evidence.receipt import CLAIM, Claim
from tests.support.server import Instance, Tenant


def decide(instance: Instance, session_id: str, action: str) -> dict[str, object]:
    answer: dict[str, object] = instance.post("/v1/decisions", {"session_id": session_id, "action": action})
    return answer


def test_an_allowed_action_is_cited_by_its_claim(tenant: Tenant, instance: Instance) -> None:
    session = instance.open()
    answer = decide(instance, session, "pay:invoice")
    assert answer["allowed"] is True
    claim = instance.claim(session, action="pay:invoice", decision_id=answer["decision_id"])
    (result,) = instance.post("/v1/receipts", {"claims": [envelope_json(claim)]})["results"]
    assert result["receipt"]["seq"] > 0


def test_denials_are_data_and_recorded_once(tenant: Tenant) -> None:
    instance = tenant.launch(scope=["read:payments"])
    session = instance.open()
    before = tenant.get("/v1/ledger")["size"]
    for _ in range(3):
        answer = decide(instance, session, "write:ledger")
        assert (answer["allowed"], answer["reason"]) == (False, "capability_not_leased")
        assert "decision_id" not in answer
    assert tenant.get("/v1/ledger")["size"] == before + 1
    assert decide(instance, session, "fly:rocket")["allowed"] is False
    assert decide(instance, tenant.name("ses"), "read:payments")["reason"] == "session_closed"


def test_a_step_is_begun_once_and_then_answered_with_what_it_gave(tenant: Tenant, instance: Instance) -> None:
    session = instance.open()
    wanted = {"session_id": session, "action": "write:ledger", "step_key": "ab" * 32, "attempt": "one"}
    first, again = (instance.post("/v1/decisions", wanted) for _ in range(2))
    assert first == again
    assert first["allowed"] is True
    other = instance.post("/v1/decisions", {**wanted, "attempt": "two"})
    assert (other["allowed"], other["reason"]) == (False, "step_in_doubt")
    assert other["step"]["running"] is True
    assert other["step"]["decision_id"] == first["decision_id"]
    claim = instance.claim(
        session, action="write:ledger", decision_id=first["decision_id"], step_key="ab" * 32
    )
    (result,) = instance.post("/v1/receipts", {"claims": [envelope_json(claim)]})["results"]
    before = tenant.get("/v1/ledger")["size"]
    done = instance.post("/v1/decisions", {**wanted, "attempt": "three"})
    assert (done["allowed"], done["reason"]) == (False, "step_completed")
    assert done["step"]["receipt_id"] == result["receipt"]["receipt_id"]
    assert done["step"]["payload_hash"] == claim.body(CLAIM, Claim).payload_hash
    assert tenant.get("/v1/ledger")["size"] == before
    doubted = {**wanted, "step_key": "cd" * 32, "resolves": "d" * 36}
    reply = instance.send("POST", "/v1/decisions", doubted)
    assert (reply.status, reply.code) == (409, "step_not_in_doubt")
    reply = instance.send("POST", "/v1/decisions", {**wanted, "step_key": "no"})
    assert (reply.status, reply.code) == (422, "request_invalid")
