"""Alive, ready, and nothing at all."""

from __future__ import annotations

from pathlib import Path

from tests.support.server import Instance, Plane, Tenant, serving


def test_anyone_may_ask_whether_it_lives(plane: Plane) -> None:
    assert plane.send("GET", "/livez").json == {"status": "ok"}
    assert plane.send("GET", "/readyz").json == {"status": "ok"}


def test_a_ping_does_nothing(tenant: Tenant, instance: Instance) -> None:
    before = tenant.get("/v1/ledger")["size"]
    assert instance.post("/v1/ping", {}) == {}
    assert tenant.post("/v1/ping", {}) == {}
    assert tenant.get("/v1/ledger")["size"] == before


def test_a_server_without_a_store_lives_and_is_not_ready(tmp_path: Path) -> None:
    with serving(tmp_path) as plane:
        plane.backend.store.close()
        assert plane.send("GET", "/livez").status == 200
        reply = plane.send("GET", "/readyz")
        assert (reply.status, reply.code) == (503, "store_closed")
        assert reply.headers["retry-after"] == "1"


def test_a_ping_ends_with_its_issuer(plane: Plane) -> None:
    tenant = plane.tenant("ended")
    instance = tenant.launch()
    assert instance.send("POST", "/v1/ping").status == 200
    issuer = plane.backend.keyring.issuer(tenant.tenant_id).key_id
    tenant.post("/v1/keys/revocations", tenant.key_revocation(issuer))
    reply = instance.send("POST", "/v1/ping")
    assert (reply.status, reply.code) == (401, "token_invalid")
