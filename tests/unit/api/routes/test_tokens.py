"""API tokens over HTTP."""

from __future__ import annotations

import pytest

from tests.support.server import Plane, Tenant


def test_a_token_is_shown_once(tenant: Tenant) -> None:
    made = tenant.post("/v1/tokens", {"role": "auditor", "label": "ci", "ttl_seconds": 60})
    assert made["token"].startswith("dgt_")
    assert made["view"]["status"] == "valid"
    listed = tenant.send("GET", "/v1/tokens")
    assert made["view"] in listed.json["tokens"]
    assert made["token"].encode() not in listed.content


def test_a_token_works_until_it_is_ended(plane: Plane, tenant: Tenant) -> None:
    made = tenant.post("/v1/tokens", {"role": "auditor", "label": "ci"})
    assert plane.send("GET", "/v1/tenant", token=made["token"]).status == 200
    token_id = made["view"]["token_id"]
    assert tenant.send("DELETE", f"/v1/tokens/{token_id}").json == {}
    assert tenant.send("DELETE", f"/v1/tokens/{token_id}").status == 200
    reply = plane.send("GET", "/v1/tenant", token=made["token"])
    assert (reply.status, reply.code) == (401, "token_invalid")
    shown = {one["token_id"]: one["status"] for one in tenant.get("/v1/tokens")["tokens"]}
    assert shown[token_id] == "revoked"


def test_a_token_expires(plane: Plane, tenant: Tenant) -> None:
    made = tenant.post("/v1/tokens", {"role": "auditor", "label": "ci", "ttl_seconds": 60})
    plane.clock.advance(60_000)
    assert plane.send("GET", "/v1/tenant", token=made["token"]).status == 401
    shown = {one["token_id"]: one["status"] for one in tenant.get("/v1/tokens")["tokens"]}
    assert shown[made["view"]["token_id"]] == "expired"


@pytest.mark.parametrize(
    "body",
    [
        {"role": "instance", "label": "x"},
        {"role": "anyone", "label": "x"},
        {"role": "root", "label": "x"},
        {"role": "auditor", "label": ""},
        {"role": "auditor", "label": "x" * 101},
        {"role": "auditor", "label": "x", "ttl_seconds": 59},
        {"role": "auditor", "label": "x", "ttl_seconds": 366 * 86_400 + 1},
        {"label": "x"},
    ],
)
def test_malformed_wishes_are_refused(tenant: Tenant, body: dict[str, object]) -> None:
    reply = tenant.send("POST", "/v1/tokens", body)
    assert (reply.status, reply.code) == (422, "request_invalid")


def test_an_unknown_token_cannot_be_ended(tenant: Tenant) -> None:
    reply = tenant.send("DELETE", f"/v1/tokens/{tenant.name('tok')}")
    assert (reply.status, reply.code) == (404, "token_missing")
