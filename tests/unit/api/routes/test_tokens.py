"""API tokens over HTTP."""

from __future__ import annotations

import pytest

from dragons.core.ids import new_nonce
from dragons.core.keys import KeyRole, LocalSigner
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
    reply = plane.send("GET", "/v1/tenant", token=made["token"])
    assert (reply.status, reply.code) == (401, "token_expired")
    shown = {one["token_id"]: one["status"] for one in tenant.get("/v1/tokens")["tokens"]}
    assert shown[made["view"]["token_id"]] == "expired"


def test_an_operator_key_gets_its_token_without_a_token(plane: Plane) -> None:
    tenant, new = plane.tenant(), LocalSigner.generate(KeyRole.OPERATOR)
    wish = {"role": "operator", "label": "Bob"}
    reply = tenant.send_by_key(new, "POST", "/v1/tokens", wish)
    assert (reply.status, reply.code) == (401, "signer_not_valid")
    tenant.post("/v1/keys", tenant.key(new))
    made = tenant.send_by_key(new, "POST", "/v1/tokens", wish)
    assert made.status == 200
    assert made.json["view"]["key_id"] == new.key_id
    assert plane.send("GET", "/v1/tenant", token=made.json["token"]).json["tenant_id"] == tenant.tenant_id
    # The key bounds its tokens: no admin comes from the key of an operator.
    reply = tenant.send_by_key(new, "POST", "/v1/tokens", {**wish, "role": "admin"})
    assert (reply.status, reply.code) == (403, "role_exceeded")
    tenant.post("/v1/keys/revocations", tenant.key_revocation(new.key_id))
    reply = tenant.send_by_key(new, "POST", "/v1/tokens", wish)
    assert (reply.status, reply.code) == (401, "signer_not_valid")
    reply = plane.send("GET", "/v1/tenant", token=made.json["token"])
    assert (reply.status, reply.code) == (401, "token_key_ended")


def test_an_operator_key_proves_itself_in_every_request(plane: Plane) -> None:
    tenant, wish = plane.tenant(), {"role": "auditor", "label": "x"}
    for change, code in (
        ({"signer": None}, "proof_missing"),
        ({"signer": LocalSigner.generate(KeyRole.OPERATOR)}, "proof_key"),
        ({"proof": {"body": b"other"}}, "proof_digest"),
        ({"proof": {"authorization": "OperatorKey x"}}, "proof_invalid"),
        (
            {"authorization": f"OperatorKey {plane.tenant().tenant_id}.{tenant.operator.key_id}"},
            "signer_not_valid",
        ),
        ({"authorization": "OperatorKey x"}, "signer_not_valid"),
        ({"authorization": "OperatorKey"}, "signer_not_valid"),
    ):
        reply = tenant.send_by_key(tenant.operator, "POST", "/v1/tokens", wish, **change)
        assert (reply.status, reply.code) == (401, code), change
    nonce = new_nonce()
    statuses = [
        tenant.send_by_key(tenant.operator, "POST", "/v1/tokens", wish, proof={"nonce": nonce}).status
        for _ in range(2)
    ]
    assert statuses == [200, 401]


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
