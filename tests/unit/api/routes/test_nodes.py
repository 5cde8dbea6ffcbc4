"""What nodes report and the orders that they get, over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.server import Plane, Tenant

PAUSE_MS = 5_000


@pytest.fixture
def tenant(plane: Plane) -> Tenant:
    made = plane.tenant()
    made.prepare()
    return made


def order(tenant: Tenant, **changes: Any) -> str:
    dispatch_id, statement = tenant.dispatch(**changes)
    tenant.post("/v1/dispatches", statement)
    return dispatch_id


def test_a_start_is_given_until_it_is_held(tenant: Tenant) -> None:
    dispatch_id = order(tenant)
    (first,) = tenant.report()
    assert (first["view"]["kind"], first["view"]["epoch"]) == ("start", 1)
    assert first["view"]["dispatch_id"] == dispatch_id
    assert first["view"]["taken_at"]
    assert first["statement"] == tenant.get(f"/v1/dispatches/{dispatch_id}")["statement"]
    (again,) = tenant.report()
    assert again["view"]["order_id"] == first["view"]["order_id"]
    assert tenant.report(held=[first["view"]["order_id"]]) == []
    assert tenant.report("n2") == []


def test_a_launch_carries_out_the_start(tenant: Tenant) -> None:
    dispatch_id = order(tenant)
    tenant.launch(dispatch_id=dispatch_id, epoch=1, node="n1")
    assert tenant.report() == []


def test_a_report_waits_for_an_order(tenant: Tenant) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(tenant.report, wait_ms=20_000)
        dispatch_id = order(tenant)
        (found,) = waiting.result()
    assert found["view"]["dispatch_id"] == dispatch_id


def test_a_report_that_waits_in_vain_is_empty(tenant: Tenant) -> None:
    assert tenant.report(wait_ms=50) == []


def test_waiting_ends_with_the_credential(tenant: Tenant) -> None:
    made = tenant.post("/v1/tokens", {"role": "launcher", "label": "short"})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            tenant.plane.send, "POST", "/v1/nodes/n1/reports", {"wait_ms": 20_000}, token=made["token"]
        )
        while not tenant.get("/v1/nodes")["nodes"]:
            pass
        assert tenant.send("DELETE", f"/v1/tokens/{made['view']['token_id']}").status == 200
        reply = waiting.result()
    assert (reply.status, reply.code) == (401, "token_invalid")


def test_nodes_are_listed(tenant: Tenant) -> None:
    tenant.report("n1", running=["0" * 32], version="1.2")
    tenant.report("n2")
    first, second = tenant.get("/v1/nodes")["nodes"]
    assert (first["node"], first["running"], first["version"]) == ("n1", 1, "1.2")
    assert (second["node"], second["running"], second["seen_age_ms"] >= 0) == ("n2", 0, True)


def test_a_program_that_is_gone_is_replaced_at_once(tenant: Tenant) -> None:
    dispatch_id = order(tenant)
    instance = tenant.launch(dispatch_id=dispatch_id, epoch=1, node="n1")
    dead = {"instance_id": instance.instance_id, "detail": "killed by SIGSEGV"}
    (found,) = tenant.report(dead=[dead])
    assert (found["view"]["kind"], found["view"]["epoch"]) == ("start", 2)
    assert found["handover"]["instance_id"] == instance.instance_id
    start = tenant.get(f"/v1/dispatches/{dispatch_id}")["starts"][-1]
    assert (start["fenced_by"], start["reason"]) == ("death", "killed by SIGSEGV")
    assert start["handover"]["epoch"] == 1


def test_a_program_that_completed_ends_the_dispatch(tenant: Tenant) -> None:
    dispatch_id = order(tenant)
    instance = tenant.launch(dispatch_id=dispatch_id, epoch=1, node="n1")
    done = {"instance_id": instance.instance_id, "detail": "exit status 0", "completed": True}
    assert tenant.report(dead=[done]) == []
    assert tenant.get(f"/v1/dispatches/{dispatch_id}")["view"]["state"] == "completed"


def test_a_whole_report_says_what_is_gone(tenant: Tenant) -> None:
    instances = [
        tenant.launch(dispatch_id=order(tenant), epoch=1, node=node).instance_id for node in ("n1", "n1", "")
    ]
    assert tenant.report(running=instances[:1]) == []
    (found,) = tenant.report(running=instances[:1], fresh=True)
    assert found["handover"]["instance_id"] == instances[1]
    states = [tenant.get(f"/v1/instances/{one}")["state"] for one in instances]
    assert states == ["running", "autohealing", "running"], "what no node runs is not a node's to bury"


def test_a_stop_that_is_done_lets_the_next_begin(tenant: Tenant) -> None:
    dispatch_id = order(tenant)
    instance = tenant.launch(dispatch_id=dispatch_id, epoch=1, node="n1")
    tenant.post("/v1/interventions", tenant.intervention(instance.instance_id, action="redispatch"))
    (stop,) = tenant.report()
    assert (stop["view"]["kind"], stop["view"]["instance_id"]) == ("stop", instance.instance_id)
    result = {"order_id": stop["view"]["order_id"], "outcome": "done", "detail": "killed by SIGKILL"}
    (start,) = tenant.report(results=[result])
    assert (start["view"]["kind"], start["view"]["epoch"]) == ("start", 2)


def test_a_start_that_failed_is_tried_again_later(tenant: Tenant) -> None:
    dispatch_id = order(tenant)
    (found,) = tenant.report()
    result = {"order_id": found["view"]["order_id"], "outcome": "failed", "detail": "spec_missing: no file"}
    assert tenant.report(results=[result]) == []
    shown = tenant.get(f"/v1/dispatches/{dispatch_id}")
    assert [one["epoch"] for one in shown["orders"]] == [1]
    assert shown["starts"][-1]["reason"] == "spec_missing: no file"
    assert shown["view"]["restarts"] == 1


def test_results_of_other_orders_are_refused(tenant: Tenant) -> None:
    order(tenant)
    (found,) = tenant.report()
    result = {"order_id": found["view"]["order_id"], "outcome": "failed"}
    reply = tenant.send("POST", "/v1/nodes/n2/reports", {"results": [result]})
    assert (reply.status, reply.code) == (404, "order_missing")
    unknown = {**result, "order_id": tenant.name("ord")}
    reply = tenant.send("POST", "/v1/nodes/n1/reports", {"results": [unknown]})
    assert (reply.status, reply.code) == (404, "order_missing")


@pytest.mark.parametrize(
    "body",
    [{"wait_ms": 20_001}, {"results": [{"order_id": "x" * 36, "outcome": "superseded"}]}, {"node": "n1"}],
)
def test_a_malformed_report(tenant: Tenant, body: dict[str, Any]) -> None:
    reply = tenant.send("POST", "/v1/nodes/n1/reports", body)
    assert (reply.status, reply.code) == (422, "request_invalid")


def test_a_malformed_name(tenant: Tenant) -> None:
    reply = tenant.send("POST", "/v1/nodes/N%20one/reports", {})
    assert (reply.status, reply.code) == (422, "node_name_malformed")


def test_too_many_nodes_wait(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant.plane.backend.node_bell, "_listeners_max", 0)
    reply = tenant.send("POST", "/v1/nodes/n1/reports", {"wait_ms": PAUSE_MS})
    assert (reply.status, reply.code) == (429, "nodes_exhausted")
    assert reply.headers["retry-after"]
    assert tenant.report() == [], "who does not wait needs no place"
