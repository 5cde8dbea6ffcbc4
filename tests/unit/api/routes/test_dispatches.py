"""Dispatches over HTTP: ordered, shown, refused."""

from __future__ import annotations

import pytest

from tests.support.server import AGENT, Tenant


@pytest.fixture
def dispatch_id(tenant: Tenant) -> str:
    if not tenant.get("/v1/agents")["agents"]:
        tenant.prepare()
    made, statement = tenant.dispatch()
    tenant.post("/v1/dispatches", statement)
    return made


def test_a_dispatch_is_ordered_and_shown(tenant: Tenant, dispatch_id: str) -> None:
    shown = tenant.get(f"/v1/dispatches/{dispatch_id}")
    view = shown["view"]
    assert (view["agent"], view["state"], view["target"]) == (AGENT, "open", "n1")
    assert (view["epoch"], view["restarts"], view["ordered_by"]) == (0, 0, tenant.operator.key_id)
    assert "ended_at" not in view
    assert shown["instances"] == []
    (order,) = shown["orders"]
    assert (order["kind"], order["epoch"], order["dispatch_id"]) == ("start", 1, dispatch_id)
    (start,) = shown["starts"]
    assert (start["epoch"], start["fenced_by"], start["order_id"]) == (1, "none", order["order_id"])
    assert tenant.get(f"/v1/receipts/{start['receipt_id']}")["view"]["kind"] == "redispatched"


def test_its_instances_are_shown_with_their_node(tenant: Tenant, dispatch_id: str) -> None:
    first = tenant.launch(dispatch_id=dispatch_id, epoch=1, node="n1")
    shown = tenant.get(f"/v1/dispatches/{dispatch_id}")
    (one,) = shown["instances"]
    assert (one["instance_id"], one["epoch"], one["state"]) == (first.instance_id, 1, "running")
    assert one["node"] == "n1"
    assert shown["orders"] == []
    assert shown["view"]["epoch"] == 1


def test_dispatches_are_listed_by_agent_and_openness(tenant: Tenant, dispatch_id: str) -> None:
    listed = [one["dispatch_id"] for one in tenant.get("/v1/dispatches")["dispatches"]]
    assert listed[0] == dispatch_id
    assert dispatch_id in [
        one["dispatch_id"] for one in tenant.get(f"/v1/dispatches?agent={AGENT}")["dispatches"]
    ]
    assert tenant.get("/v1/dispatches?agent=other")["dispatches"] == []
    tenant.post("/v1/interventions", tenant.cancellation(dispatch_id))
    going_on = [one["dispatch_id"] for one in tenant.get("/v1/dispatches?open=true")["dispatches"]]
    assert dispatch_id not in going_on


@pytest.mark.parametrize("launched", [False, True])
def test_an_operator_cancels_a_dispatch(tenant: Tenant, dispatch_id: str, *, launched: bool) -> None:
    if launched:
        instance = tenant.launch(dispatch_id=dispatch_id, epoch=1, node="n1")
    tenant.post("/v1/interventions", tenant.cancellation(dispatch_id))
    shown = tenant.get(f"/v1/dispatches/{dispatch_id}")
    assert shown["view"]["state"] == "cancelled"
    assert shown["view"]["ended_at"]
    assert "a test" in shown["view"]["state_reason"]
    if launched:
        assert tenant.get(f"/v1/instances/{instance.instance_id}")["state"] == "stopped"
        assert [one["kind"] for one in shown["orders"]] == ["stop"]
    else:
        assert shown["orders"] == []
    again = tenant.send("POST", "/v1/interventions", tenant.cancellation(dispatch_id))
    assert (again.status, again.code) == (409, "dispatch_ended")


def test_what_can_not_be_done_to_a_dispatch(tenant: Tenant, dispatch_id: str) -> None:
    reply = tenant.send("POST", "/v1/interventions", tenant.cancellation(dispatch_id, action="release"))
    assert (reply.status, reply.code) == (422, "intervention_unsuitable")
    both = tenant.cancellation(dispatch_id, agent=AGENT)
    assert tenant.send("POST", "/v1/interventions", both).code == "target_malformed"
    reply = tenant.send("POST", "/v1/interventions", tenant.cancellation(tenant.name("dsp")))
    assert (reply.status, reply.code) == (404, "dispatch_unknown")


def test_unknown_and_malformed_names(tenant: Tenant) -> None:
    reply = tenant.send("GET", f"/v1/dispatches/{tenant.name('dsp')}")
    assert (reply.status, reply.code) == (404, "dispatch_unknown")
    reply = tenant.send("GET", "/v1/dispatches/dsp_1")
    assert (reply.status, reply.code) == (422, "id_malformed")


def test_an_agent_that_is_unknown_is_not_dispatched(tenant: Tenant) -> None:
    reply = tenant.send("POST", "/v1/dispatches", tenant.dispatch("nobody")[1])
    assert (reply.status, reply.code) == (404, "agent_missing")


def test_an_order_is_taken_once(tenant: Tenant) -> None:
    tenant.prepare("once")
    _, statement = tenant.dispatch("once")
    tenant.post("/v1/dispatches", statement)
    reply = tenant.send("POST", "/v1/dispatches", statement)
    assert (reply.status, reply.code) == (409, "dispatch_exists")
