"""Decisions over HTTP: a denial is an answer, and on the record."""

from __future__ import annotations

from dragons.core.statement import envelope_json
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
