from __future__ import annotations

import pytest

from dragons.control.denials import (
    AGGREGATE_MS,
    DETAIL_LENGTH_MAX,
    UNKNOWN_ACTION,
    Refused,
    Subject,
    flush_denials,
    record_denial,
)
from dragons.control.ports import About
from dragons.core.ids import uuid7_hex
from dragons.core.vocabulary import Kind, Outcome, Reason
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, make_manifest

NOBODY = uuid7_hex(1)


def deny(
    acme: Tenancy, *actions: str, subject: str = "someone", reason: Reason = Reason.LEASE_MISSING
) -> None:
    """Many denials in one group, as from an agent in a loop."""
    who = Subject(acme.tenant_id, subject, NOBODY, About())

    def job(tx):
        for action in actions:
            record_denial(tx, acme.issuer, who, action, Refused(reason, f"because of {action}"))

    acme.plane.write(job)


def test_the_first_is_on_the_record_at_once(plane: Plane, acme: Tenancy) -> None:
    acme.publish()
    deny(acme, "read:payments")
    denial = acme.denials()[0]
    assert (denial.action, denial.reason, denial.count) == ("read:payments", "lease_missing", 1)
    assert (denial.first_at, denial.last_at) == (acme.now, acme.now)
    assert acme.receipts(Kind.DENIED)[0].outcome is Outcome.DENIED
    assert_sound(plane, acme)


def test_ten_thousand_equal_ones_are_two_receipts(plane: Plane, acme: Tenancy) -> None:
    acme.publish()
    first = acme.now
    for _ in range(10):
        deny(acme, *["read:payments"] * 1_000)
        plane.clock.advance(1_000)
    last_ms = plane.clock.now_ms() - 1_000
    assert len(acme.denials()) == 1
    plane.clock.advance(AGGREGATE_MS)
    acme.sweep()
    assert [one.count for one in acme.denials()] == [1, 9_999]
    counted = acme.denials()[1]
    assert counted.first_at == first
    assert counted.last_at < acme.now
    assert last_ms > 0
    acme.sweep()
    assert len(acme.denials()) == 2
    assert_sound(plane, acme)


def test_ten_thousand_invented_names_are_two_receipts(plane: Plane, acme: Tenancy) -> None:
    acme.publish()
    deny(acme, *[f"do:thing-{number}" for number in range(10_000)])
    plane.clock.advance(AGGREGATE_MS)
    acme.sweep()
    assert [(one.action, one.count) for one in acme.denials()] == [
        (UNKNOWN_ACTION, 1),
        (UNKNOWN_ACTION, 9_999),
    ]
    assert "do:thing-0" in acme.denials()[0].detail
    assert_sound(plane, acme)


def test_a_looping_agent_is_bounded_through_the_whole_use_case(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    size = acme.size()
    for number in range(100):
        acme.authorize(agent, "send:email")
        acme.authorize(agent, f"invent:{number}")
    assert acme.size() - size == 2


def test_different_ones_are_counted_apart(acme: Tenancy) -> None:
    acme.publish()
    deny(acme, "read:payments", "send:email")
    deny(acme, "read:payments", reason=Reason.LEASE_EXPIRED)
    deny(acme, "read:payments", subject="someone else")
    assert [one.count for one in acme.denials()] == [1, 1, 1, 1]


def test_flushing_is_due_after_a_minute_and_only_for_repeats(plane: Plane, acme: Tenancy) -> None:
    acme.publish()
    deny(acme, "read:payments", "read:payments", "send:email")
    flush = lambda: plane.write(lambda tx: flush_denials(tx, acme.issuer, acme.tenant_id))  # noqa: E731
    plane.clock.advance(AGGREGATE_MS - 1)
    assert flush() == 0
    plane.clock.advance(1)
    assert flush() == 1
    assert flush() == 0
    # The next one is on the record at once again.
    deny(acme, "read:payments")
    assert [one.count for one in acme.denials()] == [1, 1, 1, 1]


def test_counting_survives_a_restart(plane: Plane, acme: Tenancy) -> None:
    acme.publish()
    deny(acme, *["read:payments"] * 5)
    plane.reopen()
    deny(acme, *["read:payments"] * 5)
    plane.clock.advance(AGGREGATE_MS)
    acme.sweep()
    assert [one.count for one in acme.denials()] == [1, 9]
    assert_sound(plane, acme)


def test_the_header_of_a_count_names_the_instance(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    for _ in range(3):
        acme.authorize(agent, "send:email")
    plane.clock.advance(AGGREGATE_MS)
    acme.sweep()
    first, counted = acme.receipts(Kind.DENIED)
    for header in (first, counted):
        assert (header.agent, header.instance_id, header.lease_ref) == (
            "reconciler@v1",
            agent.instance_id,
            agent.lease.lease_id,
        )
    assert (first.agent_seq, counted.agent_seq) == (first.agent_seq, first.agent_seq + 1)
    assert_sound(plane, acme)


@pytest.mark.parametrize("action", ["launch", "renew", "delegate", "session", "receipt"])
def test_what_the_control_plane_names_itself_keeps_its_name(acme: Tenancy, action: str) -> None:
    deny(acme, action)
    assert acme.denials()[0].action == action


def test_details_are_bounded(acme: Tenancy) -> None:
    who = Subject(acme.tenant_id, "x", NOBODY, About())
    for action in ("launch", "y" * 1_000):
        acme.plane.write(
            lambda tx, action=action: record_denial(
                tx, acme.issuer, who, action, Refused(Reason.LEASE_MISSING, "z" * 5_000)
            )
        )
    assert all(len(one.detail) <= DETAIL_LENGTH_MAX and len(one.action) < 20 for one in acme.denials())


def test_tenants_are_counted_apart(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    for tenancy in (acme, globex):
        tenancy.publish()
        deny(tenancy, "read:payments", "read:payments")
    plane.clock.advance(AGGREGATE_MS)
    acme.sweep()
    assert [one.count for one in acme.denials()] == [1, 1]
    assert [one.count for one in globex.denials()] == [1]


def test_an_instance_that_is_gone_from_the_tenant_is_left_out(plane: Plane, acme: Tenancy) -> None:
    refused = acme.launch(acme.ready(), scope=("pay:supplier",))
    assert not isinstance(refused, Agent)
    acme.launch(make_manifest(), scope=("pay:supplier",))
    plane.clock.advance(AGGREGATE_MS)
    acme.sweep()
    counted = acme.receipts(Kind.DENIED)[-1]
    assert counted.agent == "reconciler"
    assert not isinstance(counted.instance_id, str)
    assert_sound(plane, acme)
