"""The tenant over HTTP."""

from __future__ import annotations

from tests.support.server import Plane


def test_a_tenant_sees_itself(plane: Plane) -> None:
    tenant = plane.tenant("initech")
    shown = tenant.get("/v1/tenant")
    assert shown["name"] == "initech"
    assert shown["tenant_id"] == tenant.tenant_id
    assert shown["root_fingerprint"] == tenant.root.public_key.fingerprint
    assert shown["receipts"] == 3
