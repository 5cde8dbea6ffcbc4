from __future__ import annotations

import pytest

from dragons.control.dispatches import end_dispatch, hold_dispatch, release_dispatch, set_held, start_failed
from dragons.control.rows import DispatchRow, OrderRow
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from dragons.core.ids import new_id
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import DispatchEnd, Redispatch
from dragons.liveness.dispatch import Dispatch
from tests.support.expect import fails
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, make_manifest


@pytest.fixture
def row(acme: Tenancy) -> DispatchRow:
    acme.ready()
    acme.dispatch()
    return dispatch(acme)


def dispatch(tenancy: Tenancy) -> DispatchRow:
    (found,) = tenancy.plane.read(lambda reader: list(reader.dispatches(tenancy.tenant_id)))
    return found


def open_orders(tenancy: Tenancy) -> list[OrderRow]:
    return tenancy.plane.read(lambda reader: list(reader.orders(tenancy.tenant_id)))


def fail(tenancy: Tenancy, detail: str = "no program") -> None:
    """The start that is ordered does not come about."""
    (order,) = open_orders(tenancy)
    tenancy.plane.write(lambda tx: start_failed(tx, tenancy.issuer, order, detail))


def launched(tenancy: Tenancy, row: DispatchRow) -> Agent:
    found = tenancy.launch(make_manifest(), dispatch_id=row.dispatch_id)
    assert isinstance(found, Agent), found
    return found


# --- ordering -------------------------------------------------------------------------------------


def test_an_order_is_on_the_record_and_its_first_start_is_ordered(
    plane: Plane, acme: Tenancy, row: DispatchRow
) -> None:
    (body,) = acme.statements(Kind.DISPATCH_ORDERED, Dispatch)
    assert body.dispatch_id == row.dispatch_id
    assert (row.agent, row.dispatcher, row.target) == ("reconciler", "process", "here")
    assert (row.state, row.restarts, row.ended_ms) == ("open", (), None)
    (order,) = open_orders(acme)
    assert (order.dispatch_id, order.epoch, order.due_ms) == (row.dispatch_id, 1, acme.now_ms)
    assert_sound(plane, acme)


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"created_at": format_time(1_800_000_000_000 - 600_001)}, InvalidInputError, "date_implausible"),
        ({"scope": ["read:payments"] * 2}, InvalidInputError, "scope_unsorted"),
        ({"dispatch_id": new_id("dck", 1)}, InvalidInputError, "id_malformed"),
        ({"tenant_id": new_id("tnt", 1)}, ForbiddenError, "tenant_mismatch"),
    ],
)
def test_what_is_no_order_is_an_error(acme: Tenancy, changes: dict, error, code: str) -> None:
    acme.ready()
    with fails(error, code):
        acme.dispatch(**changes)
    assert not acme.receipts(Kind.DISPATCH_ORDERED)


def test_only_a_recorded_agent_is_dispatched(acme: Tenancy) -> None:
    with fails(NotFoundError, "agent_missing"):
        acme.dispatch("stranger")


def test_a_dispatch_is_ordered_once(acme: Tenancy, row: DispatchRow) -> None:
    with fails(ConflictError, "dispatch_exists"):
        acme.dispatch(dispatch_id=row.dispatch_id)


def test_a_dispatch_that_somebody_launched_is_not_ordered(acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    with fails(ConflictError, "dispatch_exists"):
        acme.dispatch(dispatch_id=agent.grant.instance.dispatch_id)


def test_nothing_of_a_quarantined_agent_is_dispatched(acme: Tenancy) -> None:
    acme.ready()
    acme.intervene_agent("reconciler", "quarantine")
    with fails(ConflictError, "organism_quarantined"):
        acme.dispatch()


# --- the end --------------------------------------------------------------------------------------


def test_an_end_is_on_the_record_and_takes_the_start_back(
    plane: Plane, acme: Tenancy, row: DispatchRow
) -> None:
    plane.write(lambda tx: end_dispatch(tx, acme.issuer, row, "cancelled", "é" * 600))
    after = dispatch(acme)
    assert (after.state, after.ended_ms, open_orders(acme)) == ("cancelled", acme.now_ms, [])
    (body,) = acme.statements(Kind.DISPATCH_ENDED, DispatchEnd)
    assert (body.outcome, body.reason, body.at) == ("cancelled", "é" * 500, acme.now)
    assert_sound(plane, acme)


# --- starts that fail -----------------------------------------------------------------------------


def test_a_start_that_failed_is_tried_again_later_and_later(
    plane: Plane, acme: Tenancy, row: DispatchRow
) -> None:
    waits = []
    for _ in range(3):
        fail(acme)
        (order,) = open_orders(acme)
        waits.append(order.due_ms - acme.now_ms)
    assert waits == [10_000, 20_000, 40_000]
    assert [order.epoch for order in open_orders(acme)] == [1]
    assert dispatch(acme).restarts == (acme.now_ms,) * 3
    assert_sound(plane, acme)


def test_a_dispatch_that_never_starts_is_held_and_a_person_is_told(
    plane: Plane, acme: Tenancy, row: DispatchRow
) -> None:
    for _ in range(4):
        fail(acme)
    after = dispatch(acme)
    reason = "it could not be started 4 times; the last: no program"
    assert (after.state, after.state_reason, open_orders(acme)) == ("held", reason, [])
    (message,) = plane.read(lambda reader: list(reader.messages(acme.tenant_id)))
    assert message.topic == "quarantined"
    acme.intervene_agent("reconciler", "release")
    assert (dispatch(acme).state, dispatch(acme).restarts) == ("open", ())
    assert launched(acme, row).lease.epoch == 1
    assert_sound(plane, acme)


def test_a_restart_of_long_ago_is_none(plane: Plane, acme: Tenancy, row: DispatchRow) -> None:
    for _ in range(3):
        fail(acme)
    plane.clock.advance(6 * 3600 * 1000)
    fail(acme)
    assert dispatch(acme).state == "open"


@pytest.mark.parametrize("state", ["held", "cancelled"])
def test_what_is_not_open_is_not_tried_again(
    plane: Plane, acme: Tenancy, row: DispatchRow, state: str
) -> None:
    (order,) = open_orders(acme)
    if state == "held":
        plane.write(lambda tx: hold_dispatch(tx, row, "test"))
    else:
        plane.write(lambda tx: end_dispatch(tx, acme.issuer, row, state, "test"))
    plane.write(lambda tx: start_failed(tx, acme.issuer, order, "late"))
    assert (dispatch(acme).state, open_orders(acme)) == (state, [])


# --- held and released ----------------------------------------------------------------------------


def test_what_is_held_has_no_start_and_a_release_orders_one(
    plane: Plane, acme: Tenancy, row: DispatchRow
) -> None:
    plane.write(lambda tx: set_held(tx, row, "test"))
    held = dispatch(acme)
    assert (held.state, held.state_reason, open_orders(acme)) == ("held", "test", [])
    assert plane.read(lambda reader: list(reader.messages(acme.tenant_id))) == []
    plane.write(lambda tx: release_dispatch(tx, acme.issuer, held, "go on"))
    (order,) = open_orders(acme)
    assert (dispatch(acme).state, order.epoch, order.due_ms) == ("open", 1, acme.now_ms)
    assert acme.statements(Kind.REDISPATCHED, Redispatch)[-1].reason == "go on"


def test_a_release_follows_the_latest_instance_and_waits_for_its_fence(
    plane: Plane, acme: Tenancy, row: DispatchRow
) -> None:
    agent = launched(acme, row)
    fenced_ms = acme.now_ms + 6_000
    for _ in range(2):
        # The second time only the dispatch is left to quarantine.
        acme.intervene_agent("reconciler", "quarantine")
        acme.intervene_agent("reconciler", "release")
        plane.clock.advance(1_000)
    (order,) = [one for one in open_orders(acme) if one.kind == "start"]
    assert (order.epoch, order.due_ms) == (2, fenced_ms)
    told = acme.statements(Kind.REDISPATCHED, Redispatch)[-1].handover
    assert told.instance_id == agent.instance_id  # type: ignore[union-attr]
    assert_sound(plane, acme)
