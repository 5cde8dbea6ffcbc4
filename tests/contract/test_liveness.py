"""What liveness and steps keep is read back by its own tenant only, filtered, in order, and bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from dragons.control import rows
from dragons.control.ports import Reader, Transaction
from dragons.core.errors import StorageError
from dragons.core.vocabulary import OrganismState
from tests.contract.conftest import Adapter
from tests.support.plane import Plane, Tenancy

T = "tnt_1"
POLICY = rows.PolicyRow(T, "reconciler", 1, b"{}", 5)
DISPATCH = rows.DispatchRow(
    T, "dsp_1", "reconciler", "process", "node-1", b"{}", "open", "", 5, restarts=(3, 4)
)
ORDER = rows.OrderRow(
    T, "ord_1", "dsp_1", "reconciler", "start", 2, "process", "node-1", "i1", 9, 5, handover=b"{}"
)
NODE = rows.NodeRow(T, "node-1", 5, 6, 2, "0.1.0")
HOLD = rows.HoldRow(T, "reconciler", 5, "looked at it", "rcp_1")
INCIDENT = rows.IncidentRow(T, "inc_1", "reconciler", "dsp_1", "i1", 5, 7, "degraded", "silent")
TIMER = rows.TimerRow(T, "organism", "i1", 9)
MESSAGE = rows.MessageRow(T, "msg_1", "mail", "degraded", b"{}", 5, 9, incident_id="inc_1")
STEP = rows.StepRow(T, "ab" * 32, "reconciler", "i1", 1, "ses_1", "write:ledger", "dcn_1", "attempt", 5)
PRESENCE = rows.PresenceRow(T, 5)
OUTAGE = rows.OutageRow(T, 5, 9)
Look = Callable[[Reader, str], Any]


def first(found: Any) -> Any:
    return next(iter(found), None)


# Every kind of row: the row, how it is put, and how it is found again.
ROWS: list[tuple[Any, str, Look]] = [
    (POLICY, "put_policy", lambda reader, t: reader.policy(t, "reconciler")),
    (POLICY, "put_policy", lambda reader, t: first(reader.policies(t))),
    (DISPATCH, "put_dispatch", lambda reader, t: reader.dispatch(t, "dsp_1")),
    (DISPATCH, "put_dispatch", lambda reader, t: first(reader.dispatches(t, agent="reconciler", open_only=True))),
    (ORDER, "put_order", lambda reader, t: reader.order(t, "ord_1")),
    (ORDER, "put_order", lambda reader, t: first(reader.orders(t, dispatch_id="dsp_1", target="node-1"))),
    (NODE, "put_node", lambda reader, t: first(reader.nodes(t))),
    (HOLD, "put_hold", lambda reader, t: reader.hold(t, "reconciler")),
    (INCIDENT, "put_incident", lambda reader, t: reader.incident(t, "inc_1")),
    (INCIDENT, "put_incident", lambda reader, t: first(reader.incidents(t, agent="reconciler", open_only=True))),
    (TIMER, "put_timer", lambda reader, t: first(reader.timers_due(t, 9, 5))),
    (MESSAGE, "put_message", lambda reader, t: reader.message(t, "msg_1")),
    (MESSAGE, "put_message", lambda reader, t: first(reader.messages(t, incident_id="inc_1"))),
    (MESSAGE, "put_message", lambda reader, t: first(reader.messages_due(t, 9, 5))),
    (STEP, "put_step", lambda reader, t: reader.step(t, "ab" * 32)),
    (replace(STEP, completed_ms=8, receipt_id="rcp_1"), "put_step", lambda reader, t: reader.step(t, "ab" * 32)),
    (PRESENCE, "put_presence", lambda reader, t: reader.presence(t)),
    (OUTAGE, "put_outage", lambda reader, t: first(reader.outages(t, 8))),
]  # fmt: skip


@pytest.mark.parametrize(("row", "put", "find"), ROWS)
def test_a_row_is_read_back_by_its_own_tenant_only(
    plane: Plane, acme: Tenancy, globex: Tenancy, row: Any, put: str, find: Look
) -> None:
    mine = replace(row, tenant_id=acme.tenant_id)

    def job(tx: Transaction) -> tuple[object, object, object]:
        before = find(tx, acme.tenant_id)
        getattr(tx, put)(mine)
        return before, find(tx, acme.tenant_id), find(tx, globex.tenant_id)

    assert plane.write(job) == (None, mine, None)
    for look in (plane.read, plane.write):
        assert look(lambda reader: find(reader, acme.tenant_id)) == mine
        assert look(lambda reader: find(reader, globex.tenant_id)) is None
    plane.reopen()
    assert plane.write(lambda tx: find(tx, acme.tenant_id)) == mine


# What is put again takes the old one's place: the row, what is changed, how it is put and found.
AGAIN: list[tuple[Any, dict[str, Any], str, Look]] = [
    (DISPATCH, {"state": "held", "restarts": ()}, "put_dispatch", lambda reader, t: reader.dispatches(t)),
    (ORDER, {"taken_ms": 7}, "put_order", lambda reader, t: reader.orders(t)),
    (NODE, {"seen_ms": 9}, "put_node", lambda reader, t: reader.nodes(t)),
    (HOLD, {"reason": "again"}, "put_hold", lambda reader, t: [reader.hold(t, "reconciler")]),
    (INCIDENT, {"state": "autohealing"}, "put_incident", lambda reader, t: reader.incidents(t)),
    (TIMER, {"due_ms": 7}, "put_timer", lambda reader, t: reader.timers_due(t, 99, 9)),
    (MESSAGE, {"attempts": 1, "due_ms": 8}, "put_message", lambda reader, t: reader.messages_due(t, 99, 9)),
    (STEP, {"decision_id": "", "epoch": 2}, "put_step", lambda reader, t: [reader.step(t, "ab" * 32)]),
    (PRESENCE, {"seen_ms": 9}, "put_presence", lambda reader, t: [reader.presence(t)]),
]


@pytest.mark.parametrize(("row", "changes", "put", "find"), AGAIN)
def test_a_row_that_is_put_again_takes_the_place_of_the_old(
    plane: Plane, acme: Tenancy, row: Any, changes: dict[str, Any], put: str, find: Look
) -> None:
    mine = replace(row, tenant_id=acme.tenant_id)
    plane.write(lambda tx: getattr(tx, put)(mine))
    changed = replace(mine, **changes)

    def job(tx: Transaction) -> list[Any]:
        getattr(tx, put)(changed)
        return list(find(tx, acme.tenant_id))

    assert plane.write(job) == [changed]
    assert plane.read(lambda reader: list(find(reader, acme.tenant_id))) == [changed]


def put_all(plane: Plane, put: str, many: list[Any]) -> None:
    def job(tx: Transaction) -> None:
        for one in many:
            getattr(tx, put)(one)

    plane.write(job)


def test_the_newest_policy_of_exactly_this_name_counts(plane: Plane, acme: Tenancy) -> None:
    mine = replace(POLICY, tenant_id=acme.tenant_id)
    every = replace(mine, agent="*", version=7)
    put_all(plane, "put_policy", [replace(mine, version=number) for number in (1, 2, 10)] + [every])

    def look(reader: Reader) -> None:
        assert reader.policy(acme.tenant_id, "reconciler") == replace(mine, version=10)
        assert reader.policy(acme.tenant_id, "*") == every
        assert reader.policy(acme.tenant_id, "notifier") is None
        found = [(one.agent, one.version) for one in reader.policies(acme.tenant_id)]
        assert found == [("*", 7), ("reconciler", 1), ("reconciler", 2), ("reconciler", 10)]
        assert [one.version for one in reader.policies(acme.tenant_id, "*")] == [7]

    plane.read(look)
    plane.write(look)


@pytest.mark.parametrize("statement", ["UPDATE policies SET statement = X'00'", "DELETE FROM policies"])
def test_nobody_changes_or_removes_a_policy(
    adapter: Adapter, plane: Plane, acme: Tenancy, statement: str
) -> None:
    mine = replace(POLICY, tenant_id=acme.tenant_id)
    plane.write(lambda tx: tx.put_policy(mine))
    with pytest.raises(Exception, match="append-only"):
        adapter.run_sql(plane.path, statement)
    with pytest.raises(StorageError):
        plane.write(lambda tx: tx.put_policy(replace(mine, statement=b"other")))
    assert plane.read(lambda reader: reader.policy(acme.tenant_id, "reconciler")) == mine


def test_timers_come_the_longest_due_first_and_no_more_than_asked_for(
    plane: Plane, acme: Tenancy, globex: Tenancy
) -> None:
    dues = {"i1": 30, "i2": 10, "i3": 20, "i4": 21}
    mine = [rows.TimerRow(acme.tenant_id, "organism", key, due_ms) for key, due_ms in dues.items()]
    put_all(plane, "put_timer", [*mine, rows.TimerRow(globex.tenant_id, "organism", "g1", 1)])

    def due(now_ms: int, limit: int) -> list[str]:
        found = [one.key for one in plane.read(lambda r: r.timers_due(acme.tenant_id, now_ms, limit))]
        assert [
            one.key for one in plane.write(lambda tx: tx.timers_due(acme.tenant_id, now_ms, limit))
        ] == found
        return found

    assert due(9, 9) == []
    assert due(10, 9) == ["i2"]
    assert due(20, 9) == ["i2", "i3"]
    assert due(99, 9) == ["i2", "i3", "i4", "i1"]
    assert due(99, 2) == ["i2", "i3"]
    plane.write(lambda tx: tx.drop_timer(acme.tenant_id, "order", "i2"))
    assert due(99, 9) == ["i2", "i3", "i4", "i1"]
    plane.write(lambda tx: tx.drop_timer(acme.tenant_id, "organism", "i2"))
    assert due(99, 9) == ["i3", "i4", "i1"]
    assert plane.read(lambda reader: len(reader.timers_due(globex.tenant_id, 99, 9))) == 1


def test_a_timer_that_is_set_and_dropped_in_one_transaction_is_not_due(plane: Plane, acme: Tenancy) -> None:
    mine = replace(TIMER, tenant_id=acme.tenant_id)

    def job(tx: Transaction) -> int:
        tx.put_timer(mine)
        tx.drop_timer(acme.tenant_id, mine.kind, mine.key)
        return len(tx.timers_due(acme.tenant_id, 99, 9))

    assert plane.write(job) == 0
    assert plane.read(lambda reader: len(reader.timers_due(acme.tenant_id, 99, 9))) == 0


def test_messages_that_are_over_are_not_due(plane: Plane, acme: Tenancy) -> None:
    mine = replace(MESSAGE, tenant_id=acme.tenant_id)
    many = [
        replace(mine, message_id=f"msg_{number}", due_ms=10 - number, incident_id=f"inc_{number % 2}")
        for number in range(4)
    ]
    put_all(plane, "put_message", many)
    put_all(plane, "put_message", [replace(many[3], done_ms=9, outcome="delivered")])

    def look(reader: Reader) -> None:
        t = acme.tenant_id
        assert [one.message_id for one in reader.messages_due(t, 10, 9)] == ["msg_2", "msg_1", "msg_0"]
        assert [one.message_id for one in reader.messages_due(t, 9, 1)] == ["msg_2"]
        assert [one.message_id for one in reader.messages(t)] == ["msg_3", "msg_2", "msg_1", "msg_0"]
        assert [one.message_id for one in reader.messages(t, incident_id="inc_1")] == ["msg_3", "msg_1"]
        assert [one.message_id for one in reader.messages(t, limit=1)] == ["msg_3"]

    plane.read(look)
    plane.write(look)


def test_without_a_limit_no_dispatch_is_left_out(plane: Plane, acme: Tenancy) -> None:
    mine = replace(DISPATCH, tenant_id=acme.tenant_id, ended_ms=None)
    put_all(plane, "put_dispatch", [replace(mine, dispatch_id=f"dsp_{number}") for number in range(1_200)])
    found = plane.read(lambda reader: reader.dispatches(acme.tenant_id, agent=mine.agent, open_only=True))
    assert len(found) == 1_200


def test_what_lives_on_a_node_is_found_by_its_name(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    for tenancy in (acme, globex):
        here = tenancy.instance(tenancy.started(tenancy.ready()))
        for name, changes in {
            "1": {"node": "here"},
            "2": {"node": "there"},
            "3": {"node": "here", "state": OrganismState.STOPPED},
        }.items():
            row = replace(here, instance_id=name * 32, **changes)  # type: ignore[arg-type]
            plane.write(lambda tx, row=row: tx.put_instance(row))  # type: ignore[misc]
    found = plane.read(lambda reader: reader.live_on(acme.tenant_id, "here"))
    assert [(one.tenant_id, one.instance_id) for one in found] == [(acme.tenant_id, "1" * 32)]


def test_dispatches_are_the_newest_first_and_open_ones_apart(plane: Plane, acme: Tenancy) -> None:
    mine = replace(DISPATCH, tenant_id=acme.tenant_id)
    many = [
        replace(mine, dispatch_id=f"dsp_{number}", created_ms=number, ended_ms=9 if number == 2 else None)
        for number in (1, 2, 3)
    ]
    put_all(
        plane, "put_dispatch", [*many, replace(mine, dispatch_id="dsp_4", agent="notifier", created_ms=4)]
    )

    def found(**wanted: Any) -> list[str]:
        look = plane.read(lambda reader: reader.dispatches(acme.tenant_id, **wanted))
        return [one.dispatch_id for one in look]

    assert found() == ["dsp_4", "dsp_3", "dsp_2", "dsp_1"]
    assert found(agent="reconciler", open_only=True) == ["dsp_3", "dsp_1"]
    assert found(open_only=True, limit=2) == ["dsp_4", "dsp_3"]


def test_orders_are_open_until_they_are_done(plane: Plane, acme: Tenancy) -> None:
    mine = replace(ORDER, tenant_id=acme.tenant_id)
    many = [
        replace(mine, order_id="ord_3", target="node-2"),
        replace(mine, order_id="ord_1"),
        replace(mine, order_id="ord_2", done_ms=9, outcome="done"),
        replace(mine, order_id="ord_4", dispatch_id="dsp_2"),
    ]
    put_all(plane, "put_order", many)

    def found(**wanted: Any) -> list[str]:
        look = plane.read(lambda reader: reader.orders(acme.tenant_id, **wanted))
        return [one.order_id for one in look]

    assert found() == ["ord_1", "ord_3", "ord_4"]
    assert found(open_only=False) == ["ord_1", "ord_2", "ord_3", "ord_4"]
    assert found(target="node-1") == ["ord_1", "ord_4"]
    assert found(target="node-1", dispatch_id="dsp_2") == ["ord_4"]


def test_incidents_are_the_newest_first_and_open_until_closed(plane: Plane, acme: Tenancy) -> None:
    mine = replace(INCIDENT, tenant_id=acme.tenant_id)
    many = [
        replace(mine, incident_id="inc_1", opened_seq=1),
        replace(mine, incident_id="inc_2", opened_seq=2, closed_ms=9, closed_seq=3),
        replace(mine, incident_id="inc_3", opened_seq=4, agent="notifier"),
    ]
    put_all(plane, "put_incident", many)

    def found(**wanted: Any) -> list[str]:
        look = plane.read(lambda reader: reader.incidents(acme.tenant_id, **wanted))
        return [one.incident_id for one in look]

    assert found() == ["inc_3", "inc_2", "inc_1"]
    assert found(open_only=True) == ["inc_3", "inc_1"]
    assert found(agent="reconciler") == ["inc_2", "inc_1"]
    assert found(limit=1) == ["inc_3"]


def test_a_hold_that_is_lifted_is_gone(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    put_all(plane, "put_hold", [replace(HOLD, tenant_id=one.tenant_id) for one in (acme, globex)])
    plane.write(lambda tx: tx.drop_hold(acme.tenant_id, "reconciler"))
    assert plane.read(lambda reader: reader.hold(acme.tenant_id, "reconciler")) is None
    assert plane.read(lambda reader: reader.hold(globex.tenant_id, "reconciler")) is not None


def test_outages_are_those_that_ended_after(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    put_all(
        plane,
        "put_outage",
        [rows.OutageRow(acme.tenant_id, *span) for span in ((30, 40), (10, 20))]
        + [rows.OutageRow(globex.tenant_id, 1, 99)],
    )
    for since_ms, spans in (
        (0, [(10, 20), (30, 40)]),
        (19, [(10, 20), (30, 40)]),
        (20, [(30, 40)]),
        (40, []),
    ):
        for look in (plane.read, plane.write):
            found = look(lambda reader, since=since_ms: reader.outages(acme.tenant_id, since))
            assert [(one.from_ms, one.until_ms) for one in found] == spans
