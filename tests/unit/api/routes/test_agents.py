"""Agents, versions, activation and rollback over HTTP."""

from __future__ import annotations

import pytest

from tests.support.server import AGENT, Plane, Tenant


def test_an_agent_is_listed_with_what_runs(plane: Plane) -> None:
    tenant = plane.tenant()
    assert tenant.get("/v1/agents") == {"agents": []}
    manifest = tenant.prepare()
    shown = tenant.get("/v1/agents")["agents"][0]
    assert (shown["active"], shown["versions"], shown["docks"]) == (f"{AGENT}@v1", 1, 1)
    assert (shown["running"], shown["state"]) == (0, "stopped")
    assert shown["manifest_hash"] == manifest.hash()
    tenant.launch()
    shown = tenant.get("/v1/agents")["agents"][0]
    assert (shown["running"], shown["state"]) == (1, "running")


def test_rollback_is_on_the_record(plane: Plane) -> None:
    tenant = plane.tenant()
    first = tenant.prepare()
    second = tenant.manifest(digest="1" * 64)
    assert tenant.get(f"/v1/agents/{AGENT}/next") == {"agent": AGENT, "version": 2, "ordinal": 1}
    tenant.post("/v1/manifests", tenant.registration(second, 2))
    tenant.post("/v1/activations", tenant.activation(second, 2, 1))
    tenant.post("/v1/activations", tenant.activation(first, 1, 2))
    shown = tenant.get(f"/v1/agents/{AGENT}")
    assert [(one["name"], one["rollback"]) for one in shown["activations"]] == [
        (f"{AGENT}@v1", False),
        (f"{AGENT}@v2", False),
        (f"{AGENT}@v1", True),
    ]
    assert [(one["version"], one["active"]) for one in shown["versions"]] == [(1, True), (2, False)]


def test_activation_errors(tenant: Tenant) -> None:
    manifest = tenant.prepare()
    reply = tenant.send("POST", "/v1/activations", tenant.activation(manifest, 1, 7))
    assert (reply.status, reply.code) == (409, "version_conflict")
    reply = tenant.send("POST", "/v1/activations", tenant.activation(manifest, 9, 1))
    assert (reply.status, reply.code) == (404, "version_missing")


def test_unknown_agents(tenant: Tenant) -> None:
    assert tenant.send("GET", "/v1/agents/nobody").code == "agent_missing"
    assert tenant.get("/v1/agents/nobody/next") == {"agent": "nobody", "version": 1, "ordinal": 0}


@pytest.mark.parametrize("name", ["A", "-a", "a" * 64, "a%0A", "%F0%9F%90%89"])
def test_malformed_names(tenant: Tenant, name: str) -> None:
    assert tenant.send("GET", f"/v1/agents/{name}/next").status == 422
    assert tenant.send("GET", f"/v1/agents/{name}").status == 404
