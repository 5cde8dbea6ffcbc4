"""Liveness policies over HTTP: published, effective, with where they come from."""

from __future__ import annotations

import pytest

from tests.support.server import AGENT, Plane, Tenant


@pytest.fixture
def tenant(plane: Plane) -> Tenant:
    made = plane.tenant()
    made.prepare()
    return made


def test_without_a_policy_the_defaults_count(tenant: Tenant) -> None:
    found = tenant.get(f"/v1/policies/{AGENT}")
    assert (found["origin"], found["version"], found["next_version"]) == ("default", 0, 1)
    assert found["thresholds"]["degrade_after_seconds"] == 30 * 60
    assert found["thresholds"] == tenant.get("/v1/policies")["default"]
    assert found["versions"] == []


def test_the_policy_for_every_agent_gives_way_to_an_agents_own(tenant: Tenant) -> None:
    tenant.post("/v1/policies", tenant.policy("*", degrade_after_seconds=60))
    found = tenant.get(f"/v1/policies/{AGENT}")
    assert (found["origin"], found["version"], found["next_version"]) == ("*", 1, 1)
    assert found["thresholds"]["degrade_after_seconds"] == 60
    tenant.post("/v1/policies", tenant.policy(restarts_max=7))
    own = tenant.get(f"/v1/policies/{AGENT}")
    assert (own["origin"], own["version"], own["next_version"]) == (AGENT, 1, 2)
    assert (own["thresholds"]["restarts_max"], own["thresholds"]["degrade_after_seconds"]) == (7, 60)
    assert [one["version"] for one in own["versions"]] == [1]
    assert own["versions"][0]["published_by"] == tenant.operator.key_id


def test_every_version_is_listed(tenant: Tenant) -> None:
    for seconds in (60, 90):
        tenant.post("/v1/policies", tenant.policy(degrade_after_seconds=seconds))
    tenant.post("/v1/policies", tenant.policy("*"))
    listed = tenant.get("/v1/policies")["policies"]
    assert [(one["agent"], one["version"]) for one in listed] == [("*", 1), (AGENT, 1), (AGENT, 2)]


def test_what_is_refused(tenant: Tenant) -> None:
    wrong = tenant.policy(degrade_after_seconds=7200, autoheal_after_seconds=60)
    reply = tenant.send("POST", "/v1/policies", wrong)
    assert (reply.status, reply.code) == (422, "policy_invalid")
    reply = tenant.send("POST", "/v1/policies", tenant.policy(version=5))
    assert (reply.status, reply.code) == (409, "policy_version_conflict")
    reply = tenant.send("GET", "/v1/policies/nobody")
    assert (reply.status, reply.code) == (404, "agent_missing")
    reply = tenant.send("GET", "/v1/policies/No")
    assert (reply.status, reply.code) == (422, "agent_name_malformed")
