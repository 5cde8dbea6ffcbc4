"""Sessions over HTTP."""

from __future__ import annotations

from tests.support.server import Instance, Tenant


def test_a_session_from_goal_to_end(tenant: Tenant, instance: Instance) -> None:
    session_id, body = instance.session()
    opened = instance.post("/v1/sessions", body)
    assert opened["session_id"] == session_id
    instance.work(session_id, 2)
    shown = tenant.get(f"/v1/sessions/{session_id}")
    assert (shown["status"], shown["receipts"], shown["outcome"]) == ("open", 3, "")
    assert session_id in {one["session_id"] for one in tenant.get("/v1/sessions?open=true")["sessions"]}
    instance.post("/v1/sessions/closings", instance.closing(session_id))
    shown = tenant.get(f"/v1/sessions/{session_id}")
    assert (shown["status"], shown["receipts"], shown["outcome"]) == ("closed", 4, "completed")
    assert shown["closed_at"] >= shown["opened_at"]
    assert session_id not in {one["session_id"] for one in tenant.get("/v1/sessions?open=true")["sessions"]}
    assert tenant.get("/v1/sessions?agent=other")["sessions"] == []


def test_session_errors(tenant: Tenant, instance: Instance) -> None:
    session_id, body = instance.session()
    instance.post("/v1/sessions", body)
    reply = instance.send("POST", "/v1/sessions", body)
    assert (reply.status, reply.code) == (409, "session_exists")
    instance.post("/v1/sessions/closings", instance.closing(session_id))
    reply = instance.send("POST", "/v1/sessions/closings", instance.closing(session_id))
    assert (reply.status, reply.code) == (409, "session_closed")
    other = tenant.launch()
    reply = other.send("POST", "/v1/sessions/closings", other.closing(session_id))
    assert reply.status in {403, 404}
    reply = tenant.send("GET", f"/v1/sessions/{tenant.name('ses')}")
    assert (reply.status, reply.code) == (404, "session_missing")


def test_no_session_without_authority(tenant: Tenant) -> None:
    instance = tenant.launch()
    tenant.post("/v1/interventions", tenant.intervention(instance.instance_id))
    reply = instance.send("POST", "/v1/sessions", instance.session()[1])
    assert (reply.status, reply.code) == (403, "organism_stopped")
