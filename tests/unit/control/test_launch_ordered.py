"""Launches for a dispatch that an operator ordered: only as ordered, one at a time, each with the next epoch."""

from __future__ import annotations

import pytest

from dragons.control.rows import DispatchRow, OrderRow
from dragons.core.errors import ConflictError, NotFoundError
from dragons.core.vocabulary import Kind, OrganismState, Reason
from tests.support.expect import fails, is_refused
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, make_manifest

S = OrganismState
RECONCILER = make_manifest()


@pytest.fixture
def dispatch_id(acme: Tenancy) -> str:
    acme.ready()
    return acme.dispatch()


def open_orders(tenancy: Tenancy) -> list[OrderRow]:
    return tenancy.plane.read(lambda reader: list(reader.orders(tenancy.tenant_id)))


def dispatch(tenancy: Tenancy) -> DispatchRow:
    (found,) = tenancy.plane.read(lambda reader: list(reader.dispatches(tenancy.tenant_id)))
    return found


def launched(tenancy: Tenancy, dispatch_id: str, **wish: object) -> Agent:
    found = tenancy.launch(RECONCILER, dispatch_id=dispatch_id, **wish)
    assert isinstance(found, Agent), found
    return found


def test_a_launch_carries_out_its_order(plane: Plane, acme: Tenancy, dispatch_id: str) -> None:
    agent = launched(acme, dispatch_id, epoch=1, node="here")
    assert (agent.grant.instance.epoch, acme.instance(agent).node) == (1, "here")
    assert agent.lease.scope == ("read:payments",)
    (order,) = plane.read(lambda reader: list(reader.orders(acme.tenant_id, open_only=False)))
    assert (order.outcome, order.detail) == ("done", agent.instance_id)
    assert_sound(plane, acme)


def test_an_order_is_carried_out_once(acme: Tenancy, dispatch_id: str) -> None:
    first = launched(acme, dispatch_id)
    with fails(ConflictError, "epoch_stale"):
        acme.launch(RECONCILER, dispatch_id=dispatch_id, epoch=1)
    for epoch in (0, 2):
        again = acme.launch(RECONCILER, dispatch_id=dispatch_id, epoch=epoch)
        assert is_refused(again, Reason.DISPATCH_NOT_ORDERED)
    assert acme.instance(first).state is S.RUNNING


def test_nothing_starts_before_its_time(plane: Plane, acme: Tenancy, dispatch_id: str) -> None:
    (order,) = open_orders(acme)
    for _ in range(2):
        agent = launched(acme, dispatch_id)
        acme.release(agent, outcome="failed", detail="exit status 1")
    (order,) = open_orders(acme)
    assert order.due_ms == acme.now_ms + 10_000
    assert is_refused(acme.launch(RECONCILER, dispatch_id=dispatch_id), Reason.DISPATCH_NOT_ORDERED)
    plane.clock.advance(10_000)
    assert launched(acme, dispatch_id, epoch=3).lease.epoch == 3
    assert_sound(plane, acme)


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"scope": ("read:payments", "write:ledger")}, Reason.SCOPE_EXCEEDED),
        ({"delegate_scope": ("send:email",)}, Reason.SCOPE_EXCEEDED),
        ({"ttl_seconds": 901}, Reason.TTL_EXCEEDED),
    ],
)
def test_nothing_starts_with_more_than_was_ordered(
    acme: Tenancy, dispatch_id: str, wish: dict, reason: Reason
) -> None:
    assert is_refused(acme.launch(RECONCILER, dispatch_id=dispatch_id, **wish), reason)
    assert len(open_orders(acme)) == 1
    assert launched(acme, dispatch_id, scope=("read:payments",), ttl_seconds=900).lease.epoch == 1


def test_an_order_without_a_scope_leaves_it_to_the_dock(plane: Plane, acme: Tenancy) -> None:
    acme.ready(scope=["read:payments", "write:ledger"])
    everything, less = ("read:payments", "write:ledger"), ("write:ledger",)
    assert launched(acme, acme.dispatch(scope=[])).lease.scope == everything
    assert launched(acme, acme.dispatch(scope=[]), scope=less).lease.scope == less
    assert_sound(plane, acme)


def test_a_renewal_lasts_no_longer_than_was_ordered(plane: Plane, acme: Tenancy) -> None:
    acme.ready()
    agent = launched(acme, acme.dispatch(ttl_seconds=60), ttl_seconds=60)
    plane.clock.advance(30_000)
    acme.renew(agent)
    assert agent.lease.expires_ms == acme.now_ms + 60_000
    assert_sound(plane, acme)


def test_a_dispatch_is_of_its_agent(acme: Tenancy, dispatch_id: str) -> None:
    acme.ready("notifier", ["send:email"])
    with fails(NotFoundError, "dispatch_missing"):
        acme.launch(make_manifest("notifier"), dispatch_id=dispatch_id)


def test_an_ended_dispatch_starts_nothing(acme: Tenancy, dispatch_id: str) -> None:
    acme.release(launched(acme, dispatch_id), outcome="completed")
    assert is_refused(acme.launch(RECONCILER, dispatch_id=dispatch_id), Reason.DISPATCH_ENDED)
    assert open_orders(acme) == []


def test_nothing_of_a_quarantined_agent_starts(plane: Plane, acme: Tenancy, dispatch_id: str) -> None:
    acme.intervene_agent("reconciler", "quarantine")
    assert (dispatch(acme).state, open_orders(acme)) == ("held", [])
    for wanted in ({"dispatch_id": dispatch_id}, {}):
        assert is_refused(acme.launch(RECONCILER, **wanted), Reason.ORGANISM_QUARANTINED)
    acme.intervene_agent("reconciler", "release")
    assert launched(acme, dispatch_id).lease.epoch == 1
    assert_sound(plane, acme)


def test_nothing_starts_beside_a_quarantined_instance(plane: Plane, acme: Tenancy, dispatch_id: str) -> None:
    agent = launched(acme, dispatch_id)
    acme.intervene(agent.instance_id, "quarantine")
    assert is_refused(acme.launch(RECONCILER, dispatch_id=dispatch_id), Reason.ORGANISM_QUARANTINED)
    # Other work of the agent goes on.
    assert isinstance(acme.launch(RECONCILER), Agent)
    acme.intervene(agent.instance_id, "release")
    # The old instance may have acted until a moment ago.
    assert is_refused(acme.launch(RECONCILER, dispatch_id=dispatch_id), Reason.DISPATCH_NOT_ORDERED)
    plane.clock.advance(6_000)
    assert launched(acme, dispatch_id).lease.epoch == 2
    assert_sound(plane, acme)


def test_the_next_instance_replaces_the_healed_one_and_ends_its_incident(
    plane: Plane, acme: Tenancy, dispatch_id: str
) -> None:
    agent = launched(acme, dispatch_id)
    acme.release(agent, outcome="failed", detail="exit status 1")
    (incident,) = plane.read(lambda reader: list(reader.incidents(acme.tenant_id)))
    assert (incident.closed_ms, incident.reason) == (None, "exit status 1")
    plane.clock.advance(1_000)
    launched(acme, dispatch_id)
    row = acme.instance(agent)
    assert (row.state, row.state_reason) == (S.STOPPED, "replaced by epoch 2")
    (incident,) = plane.read(lambda reader: list(reader.incidents(acme.tenant_id)))
    assert (incident.closed_ms, incident.resolution) == (acme.now_ms, "healed by epoch 2")
    assert incident.closed_seq == acme.receipts(Kind.LEASE_ISSUED)[-1].seq
    assert_sound(plane, acme)
