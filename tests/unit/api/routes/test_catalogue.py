"""The catalogue over HTTP."""

from __future__ import annotations

from tests.support.server import RISKS, Plane


def test_it_begins_empty_and_is_published_in_order(plane: Plane) -> None:
    tenant = plane.tenant()
    assert tenant.get("/v1/catalogue") == {"version": 0, "capabilities": {}}
    tenant.post("/v1/catalogue", tenant.catalogue(1))
    shown = tenant.get("/v1/catalogue")
    assert shown["version"] == 1
    assert {name: one["risk"] for name, one in shown["capabilities"].items()} == RISKS
    assert shown["published_by"] == tenant.operator.key_id
    for version in (1, 3):
        reply = tenant.send("POST", "/v1/catalogue", tenant.catalogue(version))
        assert (reply.status, reply.code) == (409, "version_conflict")
    tenant.post("/v1/catalogue", tenant.catalogue(2))
    assert tenant.get("/v1/catalogue")["version"] == 2


def test_a_token_without_the_key_publishes_nothing(plane: Plane) -> None:
    tenant, other = plane.tenant(), plane.tenant()
    reply = tenant.send("POST", "/v1/catalogue", other.catalogue(1))
    assert (reply.status, reply.code) == (403, "signer_unknown")
    assert tenant.get("/v1/catalogue")["version"] == 0
