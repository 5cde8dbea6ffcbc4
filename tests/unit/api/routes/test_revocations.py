"""Revocations over HTTP: they hold at once, and the feed is signed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragons.authority.revocation import REVOCATIONS_VIEW, RevocationsView, Target
from dragons.core.statement import Envelope, is_signed_by
from tests.support.server import AGENT, Instance, Plane, Tenant


def view_of(tenant: Tenant, answer: Any) -> RevocationsView:
    envelope = msgspec.convert(answer, Envelope)
    issuer = tenant.plane.backend.keyring.issuer(tenant.tenant_id)
    assert is_signed_by(envelope, issuer.key_id, issuer.public_key)
    return envelope.body(REVOCATIONS_VIEW, RevocationsView)


def targets(instance: Instance) -> dict[Target, str]:
    lease = instance.lease
    return {
        Target.INSTANCE: instance.instance_id,
        Target.LEASE: lease.lease_id,
        Target.DOCK: lease.dock_id,
        Target.VERSION: f"{AGENT}@v1",
        Target.AGENT: AGENT,
        Target.OPERATOR: lease.authorized_by,
    }


@pytest.mark.parametrize("kind", list(Target))
def test_a_revocation_denies_the_next_action(plane: Plane, kind: Target) -> None:
    tenant = plane.tenant()
    instance = tenant.launch()
    session = instance.open()
    name = targets(instance)[kind]
    tenant.post("/v1/revocations", tenant.revocation(kind, name))
    answer = instance.post("/v1/decisions", {"session_id": session, "action": "pay:invoice"})
    assert answer["allowed"] is False
    assert answer["reason"] == f"{kind.value}_revoked"
    reply = instance.send("POST", "/v1/leases/renewals", {})
    assert (reply.status, reply.code) == (403, f"{kind.value}_revoked")
    # By the instance: with its operator's key, the admin's own token has ended.
    seen = view_of(tenant, instance.send("GET", "/v1/revocations").json)
    assert f"{kind.value}:{name}" in seen.entries


def test_the_feed_goes_on_where_it_stopped(plane: Plane) -> None:
    tenant = plane.tenant()
    names = [tenant.launch().instance_id for _ in range(3)]
    for name in names:
        tenant.post("/v1/revocations", tenant.revocation(Target.INSTANCE, name))
    whole = view_of(tenant, tenant.get("/v1/revocations"))
    assert whole.entries == [f"instance:{name}" for name in names]
    rest = view_of(tenant, tenant.get("/v1/revocations?after=2"))
    assert (rest.after, rest.count, rest.entries) == (2, 3, whole.entries[2:])
    assert view_of(tenant, tenant.get("/v1/revocations?after=9")).entries == []


def test_revoking_errors(tenant: Tenant, instance: Instance) -> None:
    reply = tenant.send("POST", "/v1/revocations", tenant.revocation(Target.DOCK, tenant.name("dck")))
    assert (reply.status, reply.code) == (404, "target_missing")
    other = tenant.launch().instance_id
    tenant.post("/v1/revocations", tenant.revocation(Target.INSTANCE, other))
    reply = tenant.send("POST", "/v1/revocations", tenant.revocation(Target.INSTANCE, other))
    assert (reply.status, reply.code) == (409, "revoked_already")
    assert instance.send("GET", "/v1/revocations").status == 200
