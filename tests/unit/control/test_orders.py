from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from dragons.control.orders import (
    Start,
    close_order,
    due_orders,
    handover_of,
    open_start,
    order_start,
    order_stop,
    take_orders,
    withdraw_starts,
)
from dragons.control.rows import DispatchRow, InstanceRow, OrderRow
from dragons.core.canonical import decode
from dragons.core.clock import format_time
from dragons.core.hashing import sha256_hex
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import Handover, Redispatch
from dragons.liveness.heartbeat import Progress
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, make_manifest

HEAL_MS = 5 * 60_000


@pytest.fixture
def dispatch(acme: Tenancy) -> DispatchRow:
    """A dispatch whose first start waits for the node `here`."""
    acme.ready()
    acme.dispatch()
    return dispatch_of(acme)


def dispatch_of(tenancy: Tenancy) -> DispatchRow:
    (found,) = tenancy.plane.read(lambda reader: list(reader.dispatches(tenancy.tenant_id)))
    return found


def orders(tenancy: Tenancy, *, open_only: bool = True) -> list[OrderRow]:
    return tenancy.plane.read(lambda reader: list(reader.orders(tenancy.tenant_id, open_only=open_only)))


def start(tenancy: Tenancy, dispatch: DispatchRow, wanted: Start) -> OrderRow:
    return tenancy.plane.write(lambda tx: order_start(tx, tenancy.issuer, dispatch, wanted))


def timers(tenancy: Tenancy) -> dict[str, int]:
    rows = tenancy.plane.read(lambda reader: reader.timers_due(tenancy.tenant_id, 2**62, 100))
    return {row.key: row.due_ms for row in rows}


# --- starts ---------------------------------------------------------------------------------------


def test_a_start_is_on_the_record_and_has_a_timer(acme: Tenancy, dispatch: DispatchRow) -> None:
    (order,) = orders(acme)
    assert (order.kind, order.epoch, order.target, order.due_ms) == ("start", 1, "here", acme.now_ms)
    (body,) = acme.statements(Kind.REDISPATCHED, Redispatch)
    assert (body.order_id, body.epoch, body.fenced_by) == (order.order_id, 1, "none")
    assert (body.not_before, body.at) == (acme.now, acme.now)
    assert timers(acme) == {order.order_id: acme.now_ms + HEAL_MS}
    assert acme.plane.read(lambda reader: open_start(reader, dispatch)) == order


def test_at_most_one_start_is_open(plane: Plane, acme: Tenancy, dispatch: DispatchRow) -> None:
    (first,) = orders(acme)
    plane.clock.advance(1_000)
    second = start(acme, dispatch, Start(acme.now_ms + 10_000, "again"))
    assert orders(acme) == [second]
    (old,) = [one for one in orders(acme, open_only=False) if one.order_id == first.order_id]
    assert (old.outcome, old.done_ms) == ("superseded", acme.now_ms)
    assert timers(acme) == {second.order_id: acme.now_ms + 10_000 + HEAL_MS}
    assert_sound(plane, acme)


def test_a_start_that_is_taken_back_leaves_no_timer(
    plane: Plane, acme: Tenancy, dispatch: DispatchRow
) -> None:
    plane.write(lambda tx: withdraw_starts(tx, dispatch, "held"))
    assert (orders(acme), timers(acme)) == ([], {})
    assert plane.read(lambda reader: open_start(reader, dispatch)) is None


def test_the_policy_says_how_long_a_start_may_take(acme: Tenancy, dispatch: DispatchRow) -> None:
    acme.publish_policy(heal_timeout_seconds=7)
    order = start(acme, dispatch, Start(acme.now_ms + 1, "again"))
    assert timers(acme)[order.order_id] == acme.now_ms + 7_001


@pytest.mark.parametrize(
    ("changes", "fenced_by"),
    [({"dead": 1}, "death"), ({}, "staleness")],
)
def test_a_start_says_what_keeps_the_old_instance_out(
    acme: Tenancy, dispatch: DispatchRow, changes: dict, fenced_by: str
) -> None:
    row = replace(old_of(acme, dispatch), **changes)
    start(acme, dispatch, Start(acme.now_ms, "again", row))
    assert acme.statements(Kind.REDISPATCHED, Redispatch)[-1].fenced_by == fenced_by


def test_an_expired_lease_keeps_the_old_instance_out(
    plane: Plane, acme: Tenancy, dispatch: DispatchRow
) -> None:
    row = old_of(acme, dispatch)
    plane.clock.advance(900_000)
    start(acme, dispatch, Start(acme.now_ms, "again", row))
    assert acme.statements(Kind.REDISPATCHED, Redispatch)[-1].fenced_by == "expiry"


def old_of(tenancy: Tenancy, dispatch: DispatchRow) -> InstanceRow:
    return tenancy.instance(launched(tenancy, dispatch))


def launched(tenancy: Tenancy, dispatch: DispatchRow) -> Agent:
    return tenancy.started(make_manifest(), dispatch_id=dispatch.dispatch_id)


def test_the_next_learns_where_the_work_had_got_to(
    plane: Plane, acme: Tenancy, dispatch: DispatchRow
) -> None:
    agent = launched(acme, dispatch)
    before = plane.write(lambda tx: handover_of(tx, acme.instance(agent)))
    assert (before.epoch, before.session_id, before.progress_sequence) == (1, agent.session_id, 0)
    assert not isinstance(before.progress_at, str)
    acme.work(agent)
    seen = Progress(sequence=9, digest=sha256_hex(b"a"), source="files")
    acme.beat(agent, 1, progress=seen)
    row = acme.instance(agent)
    order = start(acme, dispatch, Start(acme.now_ms, "again", row))
    told = decode(Handover, order.handover)
    assert (told.instance_id, told.progress_sequence, told.receipt_id) == (
        agent.instance_id,
        9,
        row.last_work,
    )
    assert (told.progress_digest, told.progress_source, told.progress_at) == (seen.digest, "files", acme.now)
    assert acme.statements(Kind.REDISPATCHED, Redispatch)[-1].handover == told


# --- stops, and taking orders ---------------------------------------------------------------------


def test_a_stop_is_ordered_once_and_where_the_instance_runs(
    plane: Plane, acme: Tenancy, dispatch: DispatchRow
) -> None:
    row = replace(old_of(acme, dispatch), node="there")
    for _ in range(2):
        plane.write(lambda tx: order_stop(tx, dispatch, row))
    (order,) = orders(acme)
    assert (order.kind, order.instance_id, order.target) == ("stop", row.instance_id, "there")
    plane.write(lambda tx: close_order(tx, order, "failed", "no such program"))
    plane.write(lambda tx: order_stop(tx, dispatch, replace(row, node="")))
    assert [one.target for one in orders(acme)] == ["here"]


def test_an_order_is_given_to_its_node_from_its_time_on_until_it_is_held(
    plane: Plane, acme: Tenancy, dispatch: DispatchRow
) -> None:
    order = start(acme, dispatch, Start(acme.now_ms + 10, "again"))

    def take(node: str, held: frozenset[str] = frozenset()) -> list[str]:
        found = plane.write(lambda tx: take_orders(tx, acme.tenant_id, node, held))
        return [one.order_id for one in found]

    assert take("here") == []
    plane.clock.advance(10)
    assert take("there") == []
    # An answer that was lost is given again, until the node says that it has it.
    assert take("here") == take("here") == [order.order_id]
    assert orders(acme)[0].taken_ms == acme.now_ms
    assert take("here", frozenset({order.order_id})) == []
    assert [
        one.order_id for one in plane.read(lambda r: due_orders(r, acme.tenant_id, "here", acme.now_ms))
    ] == [order.order_id]


def test_a_node_takes_a_bounded_number(plane: Plane, acme: Tenancy, dispatch: DispatchRow) -> None:
    acme.dispatch()
    taken = plane.write(lambda tx: take_orders(tx, acme.tenant_id, "here", limit=1))
    assert len(taken) == 1


def test_a_webhook_is_told_and_no_node_takes_its_orders(plane: Plane, acme: Tenancy) -> None:
    acme.ready()
    acme.dispatch(dispatcher="webhook", target="fleet")
    dispatch = dispatch_of(acme)
    order = start(acme, dispatch, Start(acme.now_ms + 60_000, "again"))
    assert plane.write(lambda tx: take_orders(tx, acme.tenant_id, "fleet")) == []
    plane.clock.advance(60_000)
    assert plane.write(lambda tx: take_orders(tx, acme.tenant_id, "fleet")) == []
    messages = plane.read(lambda reader: list(reader.messages(acme.tenant_id)))
    assert [(one.channel, one.topic) for one in messages] == [("fleet", "order")] * 2
    (told,) = [one for one in messages if one.due_ms == order.due_ms]
    facts = msgspec.json.decode(told.facts)
    assert (facts["order_id"], facts["kind"], facts["epoch"]) == (order.order_id, "start", 1)
    assert facts["not_before"] == format_time(order.due_ms)
    # Where the command is kept is its own; what was meant is said by its digest.
    assert facts["spec_hash"] == sha256_hex(b"spec")
