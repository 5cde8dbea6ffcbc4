"""Launching over HTTP: recorded, docked and proven, or refused with the reason."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragons.core.keys import KeyRole, LocalSigner, PublicKey
from dragons.core.statement import Envelope, is_signed_by
from tests.support.server import AGENT, SCOPE, Instance, Plane, Tenant


def launch(tenant: Tenant, **changes: Any) -> Any:
    signer = LocalSigner.generate(KeyRole.INSTANCE)
    body = tenant.launch_body(tenant.manifest(), signer, **changes)
    return tenant.send("POST", "/v1/instances", body, signer=signer)


def test_a_launch_grants_a_signed_lease(tenant: Tenant, instance: Instance) -> None:
    lease = instance.lease
    assert (lease.agent, lease.version, lease.scope) == (AGENT, 1, SCOPE)
    assert lease.instance_key == instance.signer.public_key.raw
    key = PublicKey(msgspec.convert(instance.granted["issuer_key"], bytes))
    envelope = msgspec.convert(instance.granted["lease"], Envelope)
    assert is_signed_by(envelope, instance.granted["issuer_key_id"], key)
    shown = tenant.get(f"/v1/instances/{instance.instance_id}")
    assert (shown["state"], shown["lease_id"], shown["epoch"]) == ("running", lease.lease_id, 1)
    assert (shown["pulse_age_ms"], shown["progress_age_ms"]) == (-1, -1)
    assert 0 < shown["lease_left_seconds"] <= 900


def test_lists(tenant: Tenant, instance: Instance) -> None:
    gone = tenant.launch()
    gone.post("/v1/leases/releases", gone.release())
    everyone = {one["instance_id"] for one in tenant.get("/v1/instances")["instances"]}
    living = {one["instance_id"] for one in tenant.get("/v1/instances?live=true")["instances"]}
    assert {gone.instance_id, instance.instance_id} <= everyone
    assert gone.instance_id not in living
    assert instance.instance_id in living
    assert tenant.get("/v1/instances?agent=other")["instances"] == []


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"scope": ["fly:rocket"]}, 403, "capability_not_declared"),
        ({"ttl_seconds": 3601}, 403, "ttl_exceeded"),
        ({"delegate_scope": ["read:payments"]}, 403, "capability_not_docked"),
        ({"ttl_seconds": 0}, 422, "request_invalid"),
        ({"instance_id": "0" * 32}, 422, "id_malformed"),
        ({"instance_key": "AAAA"}, 422, "request_invalid"),
        ({"dispatch_id": "dsp_" + "0" * 32}, 404, "dispatch_missing"),
    ],
)
def test_launches_that_do_not_fit(
    tenant: Tenant, instance: Instance, change: dict[str, Any], status: int, code: str
) -> None:
    reply = launch(tenant, **change)
    assert (reply.status, reply.code) == (status, code)


def test_changed_code_is_another_identity(tenant: Tenant, instance: Instance) -> None:
    signer = LocalSigner.generate(KeyRole.INSTANCE)
    body = tenant.launch_body(tenant.manifest(digest="9" * 64), signer)
    reply = tenant.send("POST", "/v1/instances", body, signer=signer)
    assert (reply.status, reply.code) == (403, "manifest_unrecorded")
    assert "agent.py" in reply.json["detail"]
    kinds = [one["kind"] for one in tenant.get("/v1/receipts?newest=true&limit=1")["receipts"]]
    assert kinds == ["denied"]


def test_an_instance_is_launched_once(tenant: Tenant, instance: Instance) -> None:
    reply = launch(tenant, instance_id=instance.instance_id)
    assert (reply.status, reply.code) == (409, "instance_exists")


def test_the_new_key_signs_the_launch(tenant: Tenant, instance: Instance) -> None:
    signer = LocalSigner.generate(KeyRole.INSTANCE)
    body = tenant.launch_body(tenant.manifest(), signer)
    reply = tenant.send("POST", "/v1/instances", body)
    assert (reply.status, reply.code) == (401, "proof_missing")
    other = LocalSigner.generate(KeyRole.INSTANCE)
    reply = tenant.send("POST", "/v1/instances", body, signer=other)
    assert (reply.status, reply.code) == (401, "proof_key")
    reply = tenant.send("POST", "/v1/instances", body, signer=signer, proof={"path": "/v1/other"})
    assert (reply.status, reply.code) == (401, "proof_invalid")


def test_a_redispatch_takes_the_next_epoch_and_fences_the_old(tenant: Tenant, instance: Instance) -> None:
    old = tenant.launch()
    new = tenant.launch(dispatch_id=old.lease.dispatch_id)
    assert (old.lease.epoch, new.lease.epoch) == (1, 2)
    assert tenant.get(f"/v1/instances/{old.instance_id}")["state"] == "stopped"
    assert old.send("POST", "/v1/leases/renewals", {}).status == 403


def test_an_instance_sees_itself_only(tenant: Tenant, instance: Instance) -> None:
    other = tenant.launch()
    assert instance.send("GET", f"/v1/instances/{instance.instance_id}").status == 200
    reply = instance.send("GET", f"/v1/instances/{other.instance_id}")
    assert (reply.status, reply.code) == (403, "instance_mismatch")


def test_an_unknown_instance(plane: Plane, tenant: Tenant) -> None:
    reply = tenant.send("GET", "/v1/instances/" + "0" * 32)
    assert (reply.status, reply.code) == (404, "instance_missing")
