from __future__ import annotations

from typing import Any

import pytest

from dragons.control.nodes import Dead, NodeReport, OrderResult, fail_start, report_node
from dragons.control.rows import InstanceRow, OrderRow
from dragons.core.errors import NotFoundError
from dragons.core.ids import ORDER, new_id
from dragons.core.vocabulary import OrganismState
from tests.support.expect import fails
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, make_manifest

S = OrganismState
HEAL_MS = 5 * 60_000


@pytest.fixture
def dispatch_id(acme: Tenancy) -> str:
    acme.ready()
    return acme.dispatch(ttl_seconds=3_600)


@pytest.fixture
def agent(acme: Tenancy, dispatch_id: str) -> Agent:
    """The first instance of a dispatch, on the node `here`."""
    return launched(acme, dispatch_id)


def launched(tenancy: Tenancy, dispatch_id: str) -> Agent:
    found = tenancy.launch(make_manifest(), dispatch_id=dispatch_id, node="here", ttl_seconds=3_600)
    assert isinstance(found, Agent), found
    return found


def report(tenancy: Tenancy, *running: str, node: str = "here", **changes: Any) -> list[OrderRow]:
    said = NodeReport(node, running, **changes)
    return tenancy.plane.write(lambda tx: report_node(tx, tenancy.issuer, tenancy.caller, said))


def orders(tenancy: Tenancy, *, open_only: bool = True) -> list[OrderRow]:
    return tenancy.plane.read(lambda reader: list(reader.orders(tenancy.tenant_id, open_only=open_only)))


def result(order: OrderRow, outcome: str, detail: str = "test") -> tuple[OrderResult, ...]:
    return (OrderResult(order.order_id, outcome, detail),)


def isolated(tenancy: Tenancy, agent: Agent) -> tuple[InstanceRow, OrderRow]:
    """The instance, redispatched by an operator, and the order to stop it."""
    tenancy.intervene(agent.instance_id, "redispatch")
    (stop,) = orders(tenancy)
    return tenancy.instance(agent), stop


def test_a_node_is_known_by_its_reports(plane: Plane, acme: Tenancy) -> None:
    first_ms = acme.now_ms
    assert report(acme, "a", "b", version="1.2") == []
    plane.clock.advance(5_000)
    report(acme, "a", version="1.3")
    report(acme, node="there")
    here, there = plane.read(lambda reader: list(reader.nodes(acme.tenant_id)))
    assert (here.node, here.first_ms, here.seen_ms) == ("here", first_ms, acme.now_ms)
    assert (here.running, here.version) == (1, "1.3")
    assert there.node == "there"


def test_a_node_gets_its_orders_until_it_holds_them(acme: Tenancy, dispatch_id: str) -> None:
    (order,) = report(acme)
    assert (order.kind, order.epoch, order.dispatch_id) == ("start", 1, dispatch_id)
    assert [one.order_id for one in report(acme)] == [order.order_id]
    assert report(acme, held=frozenset({order.order_id})) == []
    assert report(acme, node="there") == []


# --- results --------------------------------------------------------------------------------------


def test_a_start_that_failed_is_tried_again_and_only_once(acme: Tenancy, dispatch_id: str) -> None:
    (first,) = orders(acme)
    for _ in range(2):
        report(acme, results=result(first, "failed", "no program"))
    (second,) = orders(acme)
    assert second.due_ms == acme.now_ms + 10_000
    assert second.order_id != first.order_id


def test_a_start_is_done_by_its_launch_and_not_by_a_word(acme: Tenancy, dispatch_id: str) -> None:
    (order,) = orders(acme)
    report(acme, results=result(order, "done"))
    assert orders(acme)[0].done_ms is None


def test_a_start_that_was_carried_out_did_not_fail(acme: Tenancy, dispatch_id: str) -> None:
    (order,) = orders(acme)
    agent = launched(acme, dispatch_id)
    report(acme, results=result(order, "failed", "the answer was lost"))
    assert (acme.instance(agent).state, orders(acme)) == (S.RUNNING, [])


def test_a_failed_start_is_the_healed_instances_matter(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    acme.release(agent, outcome="failed", detail="exit status 1")
    for _ in range(3):
        (start,) = orders(acme)
        report(acme, results=result(start, "failed", "no program"))
    row = acme.instance(agent)
    assert (row.state, row.state_reason) == (
        S.QUARANTINED, "3 restarts within 360 min; the last: no program",
    )  # fmt: skip
    assert orders(acme) == []
    assert_sound(plane, acme)


def test_a_start_that_is_not_carried_out_in_time_failed(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    acme.release(agent, outcome="failed", detail="exit status 1")
    plane.clock.advance(HEAL_MS)
    acme.sweep()
    (failed,) = [one for one in orders(acme, open_only=False) if one.outcome == "failed"]
    assert (failed.epoch, failed.detail) == (2, "it was not started in time")
    (again,) = orders(acme)
    assert (again.epoch, again.due_ms) == (2, acme.now_ms + 10_000)


def test_a_stop_that_was_carried_out_is_a_death(acme: Tenancy, agent: Agent) -> None:
    row, stop = isolated(acme, agent)
    assert (row.state, stop.kind, row.dead) == (S.AUTOHEALING, "stop", 0)
    assert [one.order_id for one in report(acme, agent.instance_id)] == [stop.order_id]
    for _ in range(2):
        report(acme, results=result(stop, "done", "killed"))
    assert acme.instance(agent).dead == 1
    # Its death is a better fence than time.
    (start,) = orders(acme)
    assert (start.kind, start.due_ms) == ("start", acme.now_ms)


def test_a_stop_that_failed_is_no_death(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    _, stop = isolated(acme, agent)
    report(acme, results=result(stop, "failed", "not permitted"))
    assert (acme.instance(agent).dead, orders(acme)) == (0, [])
    plane.clock.advance(6_000)
    acme.sweep()
    assert [one.kind for one in orders(acme)] == ["start"]


@pytest.mark.parametrize("node", ["here", "there"])
def test_nobody_settles_what_is_not_theirs(acme: Tenancy, globex: Tenancy, agent: Agent, node: str) -> None:
    _, stop = isolated(acme, agent)
    unknown = OrderResult(new_id(ORDER, 1), "done", "test")
    with fails(NotFoundError, "order_missing"):
        report(acme, node=node, results=(unknown,))
    with fails(NotFoundError, "order_missing"):
        report(acme, node="there", results=result(stop, "done"))
    with fails(NotFoundError, "order_missing"):
        report(globex, node="here", results=result(stop, "done"))
    assert acme.instance(agent).dead == 0


# --- deaths ---------------------------------------------------------------------------------------


def test_a_death_is_healed_at_once(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    for _ in range(2):
        report(acme, dead=(Dead(agent.instance_id, "signal 9"),))
    row = acme.instance(agent)
    assert (row.state, row.state_reason, row.dead) == (S.AUTOHEALING, "signal 9", 1)
    assert [(one.kind, one.epoch) for one in orders(acme)] == [("start", 2)]
    assert_sound(plane, acme)


def test_a_program_that_is_done_ends_its_dispatch(acme: Tenancy, agent: Agent) -> None:
    report(acme, dead=(Dead(agent.instance_id, "all is posted", completed=True),))
    (dispatch,) = acme.plane.read(lambda reader: list(reader.dispatches(acme.tenant_id)))
    assert (acme.instance(agent).state, dispatch.state) == (S.STOPPED, "completed")
    assert orders(acme) == []


def test_only_its_own_node_tells_of_a_death(acme: Tenancy, agent: Agent) -> None:
    report(acme, node="there", dead=(Dead(agent.instance_id, "signal 9"), Dead("0" * 32, "gone")))
    report(acme, node="there", fresh=True)
    assert acme.instance(agent).state is S.RUNNING


def test_what_a_whole_report_does_not_name_is_dead(acme: Tenancy, agent: Agent) -> None:
    report(acme)
    report(acme, agent.instance_id, fresh=True)
    assert acme.instance(agent).state is S.RUNNING
    report(acme, fresh=True)
    row = acme.instance(agent)
    assert (row.state, row.state_reason) == (S.AUTOHEALING, "its node no longer runs it")


def test_a_death_in_quarantine_is_remembered_and_starts_nothing(acme: Tenancy, agent: Agent) -> None:
    acme.intervene(agent.instance_id, "quarantine")
    report(acme, dead=(Dead(agent.instance_id, "killed"),))
    row = acme.instance(agent)
    assert (row.state, row.dead) == (S.QUARANTINED, 1)
    assert [one.kind for one in orders(acme)] == ["stop"]


def test_a_start_of_a_held_dispatch_is_not_tried_again(acme: Tenancy, agent: Agent) -> None:
    acme.release(agent, outcome="failed")
    (start,) = orders(acme)
    acme.intervene(agent.instance_id, "quarantine")
    acme.plane.write(lambda tx: fail_start(tx, acme.issuer, start, "refused"))
    assert (acme.instance(agent).state, orders(acme)) == (S.QUARANTINED, [])


def test_a_whole_report_that_was_overtaken_buries_nothing(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready(scope=["read:payments"])
    dispatch_id = acme.dispatch()

    def report(number: int, *running: str) -> list[OrderRow]:
        told = NodeReport("here", running, fresh=True, number=number)
        return plane.write(lambda tx: report_node(tx, acme.issuer, acme.caller, told))

    (order,) = report(10)
    agent = acme.launch(manifest, dispatch_id=dispatch_id, epoch=order.epoch, node="here")
    assert isinstance(agent, Agent)
    report(12, agent.instance_id)
    # Composed before the launch, delivered after it.
    report(11)
    assert acme.instance(agent).state is OrganismState.RUNNING
    report(13)
    assert acme.instance(agent).state is OrganismState.AUTOHEALING
