"""Incidents over HTTP."""

from __future__ import annotations

import pytest

from tests.support.server import AGENT, Plane, Tenant


@pytest.fixture
def tenant(plane: Plane) -> Tenant:
    return plane.tenant()


def quarantined(tenant: Tenant, *, release: bool) -> str:
    """The id of an instance that was quarantined, and perhaps released."""
    instance = tenant.launch()
    instance.work(instance.open())
    for action in ("quarantine", "release")[: 1 + release]:
        tenant.post("/v1/interventions", tenant.intervention(instance.instance_id, action=action))
    return instance.instance_id


def test_the_newest_come_first(tenant: Tenant) -> None:
    ended, still_open = quarantined(tenant, release=True), quarantined(tenant, release=False)
    found = tenant.get("/v1/incidents")["incidents"]
    assert [one["instance_id"] for one in found] == [still_open, ended]
    assert [one["instance_id"] for one in tenant.get("/v1/incidents?open=true")["incidents"]] == [still_open]
    assert len(tenant.get(f"/v1/incidents?agent={AGENT}&limit=1")["incidents"]) == 1
    assert tenant.get("/v1/incidents?agent=nobody")["incidents"] == []
    assert found[1]["resolution"] == "released_by_operator"


def test_a_reconstruction_is_made_of_receipts(tenant: Tenant) -> None:
    quarantined(tenant, release=True)
    (incident,) = tenant.get("/v1/incidents")["incidents"]
    found = tenant.get(f"/v1/incidents/{incident['incident_id']}")
    phases = [line["phase"] for line in found["lines"]]
    assert phases == sorted(phases, key=["identity", "before", "incident", "after"].index)
    assert {"identity", "before", "incident"} <= set(phases)
    for line in found["lines"]:
        shown = tenant.get(f"/v1/receipts/{line['receipt_id']}")["view"]
        assert (shown["seq"], shown["kind"], shown["issued_at"]) == (line["seq"], line["kind"], line["at"])
    assert any(
        line["what"] == "running → quarantined: quarantined by an operator: a test" for line in found["lines"]
    )
    # The window that the answer names proves these lines.
    reply = tenant.send("POST", "/v1/packs", {"since": found["since"], "until": found["until"]})
    assert reply.status == 200


def test_what_is_no_incident(tenant: Tenant) -> None:
    assert tenant.send("GET", f"/v1/incidents/inc_{0:032x}").code == "incident_missing"
    assert tenant.send("GET", "/v1/incidents/x").code == "id_malformed"
    assert tenant.send("GET", "/v1/incidents?limit=0").status == 422
