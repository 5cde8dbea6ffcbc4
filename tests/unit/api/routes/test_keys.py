"""Keys over HTTP."""

from __future__ import annotations

from dragons.core.keys import KeyRole, LocalSigner
from tests.support.server import Plane, Tenant


def test_first_keys_are_listed(tenant: Tenant) -> None:
    keys = {one["role"]: one for one in tenant.get("/v1/keys")["keys"]}
    assert set(keys) == {"operator", "issuer", "ledger"}
    assert keys["operator"]["key_id"] == tenant.operator.key_id
    assert keys["operator"]["roles"] == ["admin", "operator"]
    assert {one["status"] for one in keys.values()} == {"valid"}


def test_a_key_is_registered_and_ended(plane: Plane) -> None:
    tenant, new = plane.tenant(), LocalSigner.generate(KeyRole.OPERATOR)
    recorded = tenant.post("/v1/keys", tenant.key(new))
    assert recorded["seq"] == 3
    reply = tenant.send("POST", "/v1/keys", tenant.key(new))
    assert (reply.status, reply.code) == (409, "key_exists")
    tenant.post("/v1/keys/revocations", tenant.key_revocation(new.key_id))
    shown = {one["key_id"]: one for one in tenant.get("/v1/keys")["keys"]}[new.key_id]
    assert shown["status"] == "revoked"
    assert shown["revoked_at"]
    reply = tenant.send("POST", "/v1/keys/revocations", tenant.key_revocation(new.key_id))
    assert (reply.status, reply.code) == (409, "key_revoked")


def test_only_the_root_vouches(tenant: Tenant) -> None:
    new = LocalSigner.generate(KeyRole.OPERATOR)
    tenant.root, root = tenant.operator, tenant.root
    try:
        reply = tenant.send("POST", "/v1/keys", tenant.key(new))
    finally:
        tenant.root = root
    assert (reply.status, reply.code) == (403, "signature_invalid")


def test_a_token_dies_with_its_operators_key(plane: Plane) -> None:
    tenant = plane.tenant()
    token = tenant.tokens["auditor"]
    assert plane.send("GET", "/v1/tenant", token=token).status == 200
    tenant.post("/v1/keys/revocations", tenant.key_revocation(tenant.operator.key_id))
    for one in tenant.tokens.values():
        reply = plane.send("GET", "/v1/tenant", token=one)
        assert (reply.status, reply.code) == (401, "token_key_ended")
