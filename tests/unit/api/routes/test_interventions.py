"""A person stops an instance, on the record."""

from __future__ import annotations

from tests.support.server import Tenant


def test_stopping_is_final_and_recorded(tenant: Tenant) -> None:
    instance = tenant.launch()
    session = instance.open()
    recorded = tenant.post("/v1/interventions", tenant.intervention(instance.instance_id))
    shown = tenant.get(f"/v1/instances/{instance.instance_id}")
    assert shown["state"] == "stopped"
    assert "a test" in shown["state_reason"]
    assert tenant.get(f"/v1/receipts/{recorded['receipt_id']}")["view"]["kind"] == "intervention"
    assert tenant.get(f"/v1/sessions/{session}")["outcome"] == "abandoned"
    reply = tenant.send("POST", "/v1/interventions", tenant.intervention(instance.instance_id))
    assert (reply.status, reply.code) == (409, "organism_stopped")


def test_an_unknown_instance(tenant: Tenant) -> None:
    reply = tenant.send("POST", "/v1/interventions", tenant.intervention("0" * 32))
    assert (reply.status, reply.code) == (404, "instance_missing")
