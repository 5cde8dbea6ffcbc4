from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dragons.control import rows
from tests.support.plane import Plane, Tenancy

DISPATCH = rows.DispatchRow("", "dsp_1", "a", "process", "here", b"{}", "open", "ordered", 1)
ORDER = rows.OrderRow("", "ord_1", "dsp_1", "a", "start", 1, "process", "here", "", 5, 5)
INCIDENT = rows.IncidentRow("", "inc_1", "a", "dsp_1", "i", 1, 1, "degraded", "test")
MESSAGE = rows.MessageRow("", "msg_1", "hook", "order", b"{}", 1, 1)


@pytest.fixture
def put(plane: Plane, acme: Tenancy):
    """Store copies of a row in the tenant, each with other values."""

    def store(row: Any, *changes: dict[str, Any]) -> None:
        name = type(row).__name__.removesuffix("Row").lower()
        for one in changes:
            made = replace(row, **{"tenant_id": acme.tenant_id, **one})
            plane.write(lambda tx, made=made: getattr(tx, f"put_{name}")(made))

    return store


def ask(tenancy: Tenancy, name: str, *arguments: Any, **wanted: Any) -> list[Any]:
    return tenancy.plane.read(
        lambda reader: list(getattr(reader, name)(tenancy.tenant_id, *arguments, **wanted))
    )


def test_the_newest_policy_of_exactly_a_name(put, acme: Tenancy) -> None:
    row = rows.PolicyRow("", "a", 1, b"1", 1)
    put(row, {}, {"version": 10, "statement": b"10"}, {"version": 9}, {"agent": "*", "version": 77})
    assert acme.plane.read(lambda reader: reader.policy(acme.tenant_id, "a")).version == 10
    assert acme.plane.read(lambda reader: reader.policy(acme.tenant_id, "b")) is None
    assert [(one.agent, one.version) for one in ask(acme, "policies")] == [
        ("*", 77), ("a", 1), ("a", 9), ("a", 10),
    ]  # fmt: skip
    assert [one.version for one in ask(acme, "policies", "*")] == [77]


def test_dispatches_come_newest_first(put, acme: Tenancy) -> None:
    put(DISPATCH, {}, {"dispatch_id": "dsp_2", "created_ms": 2, "ended_ms": 9}, {"dispatch_id": "dsp_3", "agent": "b", "created_ms": 3})  # fmt: skip
    assert [one.dispatch_id for one in ask(acme, "dispatches")] == ["dsp_3", "dsp_2", "dsp_1"]
    assert [one.dispatch_id for one in ask(acme, "dispatches", agent="a")] == ["dsp_2", "dsp_1"]
    assert [one.dispatch_id for one in ask(acme, "dispatches", open_only=True)] == ["dsp_3", "dsp_1"]
    assert [one.dispatch_id for one in ask(acme, "dispatches", limit=1)] == ["dsp_3"]
    found = acme.plane.read(lambda reader: reader.dispatch(acme.tenant_id, "dsp_2"))
    assert found.ended_ms == 9


def test_orders_are_found_by_dispatch_and_target(put, acme: Tenancy) -> None:
    put(
        ORDER, {}, {"order_id": "ord_2", "done_ms": 7}, {"order_id": "ord_3", "target": "there"},
        {"order_id": "ord_4", "dispatch_id": "dsp_2"},
    )  # fmt: skip
    assert [one.order_id for one in ask(acme, "orders")] == ["ord_1", "ord_3", "ord_4"]
    assert [one.order_id for one in ask(acme, "orders", open_only=False)] == [f"ord_{n}" for n in range(1, 5)]
    assert [one.order_id for one in ask(acme, "orders", target="here")] == ["ord_1", "ord_4"]
    assert [one.order_id for one in ask(acme, "orders", dispatch_id="dsp_2")] == ["ord_4"]
    assert acme.plane.read(lambda reader: reader.order(acme.tenant_id, "ord_2")).done_ms == 7


def test_due_timers_come_longest_due_first_and_no_more_than_asked_for(put, acme: Tenancy) -> None:
    row = rows.TimerRow("", "order", "x", 0)
    put(row, *({"key": f"k{due_ms}", "due_ms": due_ms} for due_ms in (30, 10, 20)))
    assert [one.due_ms for one in ask(acme, "timers_due", 20, 10)] == [10, 20]
    assert [one.due_ms for one in ask(acme, "timers_due", 30, 2)] == [10, 20]
    assert ask(acme, "timers_due", 9, 10) == []


def test_due_messages_by_channel(put, acme: Tenancy) -> None:
    put(
        MESSAGE, {}, {"message_id": "msg_2", "due_ms": 3}, {"message_id": "msg_3", "channel": "mail", "due_ms": 2},
        {"message_id": "msg_4", "done_ms": 1},
    )  # fmt: skip
    assert [one.message_id for one in ask(acme, "messages_due", 3, 9)] == ["msg_1", "msg_3", "msg_2"]
    assert [one.message_id for one in ask(acme, "messages_due", 2, 9)] == ["msg_1", "msg_3"]
    assert [one.message_id for one in ask(acme, "messages_due", 3, 1)] == ["msg_1"]
    assert [one.message_id for one in ask(acme, "messages_due", 3, 9, channel="mail")] == ["msg_3"]
    assert [one.message_id for one in ask(acme, "messages_due", 3, 9, without=["hook"])] == ["msg_3"]
    assert acme.plane.read(lambda reader: reader.message(acme.tenant_id, "msg_4")).done_ms == 1


def test_messages_come_newest_first(put, acme: Tenancy) -> None:
    put(MESSAGE, {}, {"message_id": "msg_2", "incident_id": "inc_1"}, {"message_id": "msg_3"})
    assert [one.message_id for one in ask(acme, "messages")] == ["msg_3", "msg_2", "msg_1"]
    assert [one.message_id for one in ask(acme, "messages", incident_id="inc_1")] == ["msg_2"]
    assert [one.message_id for one in ask(acme, "messages", limit=1)] == ["msg_3"]


def test_incidents_come_newest_first(put, acme: Tenancy) -> None:
    put(
        INCIDENT, {}, {"incident_id": "inc_2", "opened_seq": 5, "closed_ms": 9},
        {"incident_id": "inc_3", "opened_seq": 3, "agent": "b"},
    )  # fmt: skip
    assert [one.incident_id for one in ask(acme, "incidents")] == ["inc_2", "inc_3", "inc_1"]
    assert [one.incident_id for one in ask(acme, "incidents", open_only=True)] == ["inc_3", "inc_1"]
    assert [one.incident_id for one in ask(acme, "incidents", agent="b")] == ["inc_3"]
    assert [one.incident_id for one in ask(acme, "incidents", limit=1)] == ["inc_2"]
    assert acme.plane.read(lambda reader: reader.incident(acme.tenant_id, "inc_1")).opened_seq == 1


def test_outages_that_ended_after_a_time_in_their_order(put, acme: Tenancy) -> None:
    put(rows.OutageRow("", 0, 0), *({"from_ms": at, "until_ms": at + 5} for at in (20, 0, 10)))
    assert [one.from_ms for one in ask(acme, "outages", 5)] == [10, 20]


def test_nodes_holds_steps_and_presence(put, acme: Tenancy) -> None:
    put(rows.NodeRow("", "b", 1, 2, 3, "x"), {}, {"node": "a"})
    assert [one.node for one in ask(acme, "nodes")] == ["a", "b"]
    put(rows.HoldRow("", "a", 1, "test", "rcp_1"), {})
    assert acme.plane.read(lambda reader: reader.hold(acme.tenant_id, "a")).reason == "test"
    assert acme.plane.read(lambda reader: reader.hold(acme.tenant_id, "b")) is None
    put(rows.PresenceRow("", 5), {}, {"seen_ms": 6})
    assert acme.plane.read(lambda reader: reader.presence(acme.tenant_id)).seen_ms == 6
    assert acme.plane.read(lambda reader: reader.step(acme.tenant_id, "0" * 64)) is None


def test_everything_is_its_tenants_own(put, acme: Tenancy, plane: Plane) -> None:
    globex = plane.tenant("globex")
    put(DISPATCH, {})
    put(ORDER, {})
    put(INCIDENT, {})
    put(MESSAGE, {})
    put(rows.TimerRow("", "order", "x", 0), {})
    put(rows.OutageRow("", 0, 9), {})
    for name in ("dispatches", "orders", "incidents", "messages", "nodes", "policies"):
        assert ask(globex, name) == []
    assert ask(globex, "timers_due", 2**62, 9) == ask(globex, "messages_due", 2**62, 9) == []
    assert ask(globex, "outages", 0) == []
