"""Erasures over HTTP: the receipt stays."""

from __future__ import annotations

from tests.support.server import Instance, Tenant


def test_an_erasure_is_a_receipt(tenant: Tenant, instance: Instance) -> None:
    (result,) = instance.work(instance.open())
    name = result["receipt"]["receipt_id"]
    before = tenant.get(f"/v1/receipts/{name}")["record"]
    recorded = tenant.post("/v1/erasures", tenant.erasure(name))
    assert tenant.get(f"/v1/receipts/{recorded['receipt_id']}")["statement"]["receipts"] == [name]
    assert tenant.get(f"/v1/receipts/{name}")["record"] == before


def test_an_unknown_receipt(tenant: Tenant) -> None:
    reply = tenant.send("POST", "/v1/erasures", tenant.erasure(tenant.name("rcp")))
    assert (reply.status, reply.code) == (404, "receipt_missing")
