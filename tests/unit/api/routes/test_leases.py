"""Leases over HTTP: renewed, given back, delegated."""

from __future__ import annotations

from dragons.core.keys import KeyRole, LocalSigner
from tests.support.server import Instance, Plane, Tenant


def test_renewal_extends_the_same_lease(plane: Plane, tenant: Tenant) -> None:
    instance = tenant.launch()
    before = instance.lease
    plane.clock.advance(5_000)
    instance.granted = instance.post("/v1/leases/renewals", {})
    after = instance.lease
    assert (after.lease_id, after.serial) == (before.lease_id, before.serial + 1)
    assert after.expires_at > before.expires_at
    assert instance.send("POST", "/v1/ping").status == 200
    shown = tenant.get(f"/v1/leases/{after.lease_id}")
    assert (shown["view"]["serial"], shown["view"]["status"]) == (1, "valid")


def test_what_was_given_back_is_over(tenant: Tenant) -> None:
    instance = tenant.launch()
    release = instance.release()
    instance.post("/v1/leases/releases", release)
    view = tenant.get(f"/v1/leases/{instance.lease.lease_id}")["view"]
    assert (view["status"], view["left_seconds"]) == ("released", 0)
    reply = instance.send("POST", "/v1/leases/releases", release)
    assert (reply.status, reply.code) == (409, "lease_released")


def test_an_expired_lease_is_shown_as_expired(plane: Plane, tenant: Tenant) -> None:
    instance = tenant.launch(ttl_seconds=10)
    plane.clock.advance(10_000)
    view = tenant.get(f"/v1/leases/{instance.lease.lease_id}")["view"]
    assert (view["status"], view["left_seconds"]) == ("expired", 0)


def test_a_child_has_less(plane: Plane, tenant: Tenant) -> None:
    parent = tenant.launch()
    signer = LocalSigner.generate(KeyRole.INSTANCE)
    body = parent.delegation(tenant.manifest(), signer)
    granted = parent.post("/v1/leases/delegations", body)
    child = Instance(tenant, signer, "", granted)
    assert child.lease.scope == ["send:notice"]
    assert child.lease.parent_lease_id == parent.lease.lease_id
    assert child.lease.expires_at <= parent.lease.expires_at
    assert child.send("POST", "/v1/ping").status == 200
    reply = parent.send("POST", "/v1/leases/delegations", body)
    assert (reply.status, reply.code) == (409, "instance_exists")
    child.instance_id = child.lease.instance_id
    reply = child.send("POST", "/v1/leases/delegations", child.delegation(tenant.manifest(), parent.signer))
    assert reply.status == 403


def test_lists_and_unknown_leases(tenant: Tenant, instance: Instance) -> None:
    listed = {one["lease_id"] for one in tenant.get("/v1/leases?agent=reconciler")["leases"]}
    assert instance.lease.lease_id in listed
    assert tenant.get("/v1/leases?agent=other")["leases"] == []
    reply = tenant.send("GET", f"/v1/leases/{tenant.name('lse')}")
    assert (reply.status, reply.code) == (404, "lease_missing")
