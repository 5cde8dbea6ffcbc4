"""Manifests over HTTP."""

from __future__ import annotations

import msgspec

from tests.support.server import AGENT, Plane


def test_the_same_manifest_is_the_same_version(plane: Plane) -> None:
    tenant = plane.tenant()
    manifest = tenant.manifest()
    made = tenant.post("/v1/manifests", tenant.registration(manifest, 1))
    assert made == {"name": f"{AGENT}@v1", "version": 1, "manifest_hash": manifest.hash(), "created": True}
    again = tenant.post("/v1/manifests", tenant.registration(manifest, 1))
    assert again == {**made, "created": False}
    shown = tenant.get(f"/v1/manifests/{manifest.hash()}")
    assert shown["view"]["registered_by"] == tenant.operator.key_id
    assert shown["manifest"] == msgspec.to_builtins(manifest)
    assert shown["view"]["active"] is False


def test_numbers_follow(plane: Plane) -> None:
    tenant = plane.tenant()
    reply = tenant.send("POST", "/v1/manifests", tenant.registration(tenant.manifest(), 2))
    assert (reply.status, reply.code) == (409, "version_conflict")


def test_an_unknown_manifest(plane: Plane) -> None:
    reply = plane.tenant().send("GET", f"/v1/manifests/{'0' * 64}")
    assert (reply.status, reply.code) == (404, "manifest_unrecorded")
