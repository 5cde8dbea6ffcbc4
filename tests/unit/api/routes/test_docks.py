"""Docks over HTTP."""

from __future__ import annotations

from dragons.authority.revocation import Target
from tests.support.server import AGENT, SCOPE, Plane, Tenant


def test_a_dock_is_made_listed_and_revoked(plane: Plane) -> None:
    tenant = plane.tenant()
    tenant.prepare()
    instance = tenant.launch()
    (shown,) = tenant.get("/v1/docks")["docks"]
    assert shown == tenant.get(f"/v1/docks/{shown['dock_id']}")
    assert (shown["agent"], shown["scope"], shown["status"]) == (AGENT, SCOPE, "valid")
    assert shown["instances_live"] == 1
    assert shown["dock_id"] == instance.lease.dock_id
    assert tenant.get(f"/v1/docks?agent={AGENT}")["docks"] == [shown]
    assert tenant.get("/v1/docks?agent=other")["docks"] == []
    tenant.post("/v1/revocations", tenant.revocation(Target.DOCK, shown["dock_id"]))
    assert tenant.get(f"/v1/docks/{shown['dock_id']}")["status"] == "revoked"


def test_a_dock_expires(plane: Plane) -> None:
    tenant = plane.tenant()
    tenant.prepare()
    tenant.post("/v1/docks", tenant.dock(not_after=tenant.now(1_000)))
    plane.clock.advance(1_000)
    states = {one["status"] for one in tenant.get("/v1/docks")["docks"] if "not_after" in one}
    assert states == {"expired"}


def test_docking_errors(tenant: Tenant) -> None:
    reply = tenant.send("POST", "/v1/docks", tenant.dock("nobody"))
    assert (reply.status, reply.code) == (404, "agent_missing")
    tenant.prepare()
    reply = tenant.send("POST", "/v1/docks", tenant.dock(scope=["fly:rocket"]))
    assert (reply.status, reply.code) == (422, "capability_unknown")
    reply = tenant.send("POST", "/v1/docks", tenant.dock(scope=[], delegate_scope=[]))
    assert (reply.status, reply.code) == (422, "dock_empty")
    reply = tenant.send("GET", f"/v1/docks/{tenant.name('dck')}")
    assert (reply.status, reply.code) == (404, "dock_missing")
