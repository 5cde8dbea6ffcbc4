"""The fleet and MTBOI over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragons.core.clock import parse_time
from dragons.core.statement import envelope_json
from tests.support.server import AGENT, Plane, Tenant


@pytest.fixture
def tenant(plane: Plane) -> Tenant:
    """A tenant for each test: its totals are counted."""
    return plane.tenant()


def intervene(tenant: Tenant, action: str, *, instance_id: Any, **changes: Any) -> None:
    tenant.post("/v1/interventions", tenant.intervention(instance_id, action=action, **changes))


def test_the_fleet_the_worst_first(tenant: Tenant) -> None:
    first, second = tenant.launch(), tenant.launch()
    first.post("/v1/heartbeats", {"heartbeats": [envelope_json(first.heartbeat())]})
    intervene(tenant, "quarantine", instance_id=second.instance_id)
    found = tenant.get("/v1/fleet")
    assert [one["instance_id"] for one in found["members"]] == [second.instance_id, first.instance_id]
    worst, well = found["members"]
    assert (worst["state"], worst["state_reason"]) == ("quarantined", "quarantined by an operator: a test")
    assert (worst["lease_status"], worst["lease_left_seconds"]) == ("revoked", 0)
    assert worst["pulse_age_ms"] == worst["progress_age_ms"] == -1
    assert worst["incident_id"].startswith("inc_")
    assert (well["state"], well["lease_status"], well["epoch"]) == ("running", "valid", 1)
    assert 0 < well["lease_left_seconds"] <= 900
    assert 0 <= well["pulse_age_ms"] < 10_000
    assert found["states"] == {"running": 1, "degraded": 0, "autohealing": 0, "quarantined": 1}
    assert (found["total"], found["next_skip"], found["incidents_open"]) == (2, -1, 1)
    assert found["interventions"] == 1
    assert found["mtboi_seconds"] == found["running_seconds"]


def test_filters_and_pages(tenant: Tenant) -> None:
    manifest = tenant.prepare()
    ids = sorted(tenant.launch(manifest).instance_id for _ in range(3))
    other = tenant.launch(tenant.prepare("notifier"))
    first = tenant.get(f"/v1/fleet?agent={AGENT}&limit=2")
    assert (len(first["members"]), first["total"], first["next_skip"]) == (2, 3, 2)
    rest = tenant.get(f"/v1/fleet?agent={AGENT}&limit=2&skip=2")
    assert (len(rest["members"]), rest["next_skip"]) == (1, -1)
    assert sorted(one["instance_id"] for one in first["members"] + rest["members"]) == ids
    assert tenant.get("/v1/fleet?state=degraded")["members"] == []
    intervene(tenant, "stop", instance_id=other.instance_id)
    stopped = tenant.get("/v1/fleet?state=stopped")["members"]
    assert [one["instance_id"] for one in stopped] == [other.instance_id]
    # A page beyond the end is empty, and says that it is the last.
    assert tenant.get("/v1/fleet?skip=10")["next_skip"] == -1


@pytest.mark.parametrize(
    "query", ["state=asleep", "state=running%0A", "skip=-1", "limit=0", "limit=501", "node=x"]
)
def test_a_strange_question_is_refused(tenant: Tenant, query: str) -> None:
    assert tenant.send("GET", f"/v1/fleet?{query}").status == 422


def test_what_is_held(tenant: Tenant) -> None:
    tenant.prepare()
    intervene(tenant, "quarantine", instance_id=msgspec.UNSET, agent=AGENT)
    found = tenant.get("/v1/fleet")
    assert (found["held_agents"], found["held_dispatches"]) == ([AGENT], 0)
    assert tenant.get(f"/v1/agents/{AGENT}")["held_reason"] == "a test"
    intervene(tenant, "release", instance_id=msgspec.UNSET, agent=AGENT)
    assert tenant.get("/v1/fleet")["held_agents"] == []
    assert tenant.get(f"/v1/agents/{AGENT}").get("held_since", "") == ""


def test_mtboi_is_what_its_pages_add_up_to(tenant: Tenant) -> None:
    manifest = tenant.prepare()
    for _ in range(3):
        intervene(tenant, "stop", instance_id=tenant.launch(manifest).instance_id)
    tenant.launch(manifest)
    first = tenant.get(f"/v1/mtboi?agent={AGENT}&limit=2")
    assert (len(first["spans"]), len(first["hands"]), first["next_page"]) == (2, 2, 1)
    second = tenant.get(f"/v1/mtboi?agent={AGENT}&limit=2&page=1&until_ms={parse_time(first['until'])}")
    assert (len(second["spans"]), len(second["hands"]), second["next_page"]) == (2, 1, -1)
    spans = first["spans"] + second["spans"]
    assert sum(one["counted_ms"] for one in spans) == first["running_ms"] == second["running_ms"]
    assert first["mtboi_seconds"] == first["running_ms"] // 1000 // 3
    for one in spans:
        assert tenant.get(f"/v1/receipts/{one['began_by']}")["view"]["kind"] == "lease.issued"
        if one["ended_at"]:
            assert tenant.get(f"/v1/receipts/{one['ended_by']}")["view"]["kind"] == "state.changed"
    assert {one["operator"] for one in first["hands"]} == {tenant.operator.key_id}
    assert tenant.get("/v1/mtboi")["interventions"] == 3


def test_a_figure_of_nothing(tenant: Tenant) -> None:
    tenant.prepare()
    assert tenant.send("GET", "/v1/mtboi?agent=nobody").code == "agent_missing"
    assert tenant.send("GET", "/v1/mtboi?until_ms=yesterday").status == 422
    # A time that lies ahead is now; the oldest window begins with the epoch.
    assert tenant.get("/v1/mtboi?until_ms=9000000000000")["until"] <= tenant.now()
    assert tenant.get("/v1/mtboi?until_ms=1")["since"] == "1970-01-01T00:00:00.000Z"
    found = tenant.get(f"/v1/mtboi?agent={AGENT}")
    assert (found["mtboi_seconds"], found["spans"], found["next_page"]) == (0, [], -1)
