"""Ordered, started for one epoch, ended: what a dispatch allows. Whole ledgers are in tests/tamper."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dragons.audit.dispatches import Dispatches
from dragons.core.clock import format_time, parse_time
from dragons.core.hashing import ZERO
from dragons.evidence.receipt import DispatchEnd, Redispatch
from dragons.liveness.dispatch import Dispatch
from tests.property.builders import NOW_MS, make_lease, name

LEASE = make_lease()
AT = format_time(NOW_MS)
ORDER = Dispatch(
    dispatch_id=LEASE.dispatch_id, tenant_id=LEASE.tenant_id, agent=LEASE.agent, dispatcher="process", target="node-1",
    scope=[], ttl_seconds=900, goal_hash=ZERO, spec_hash=ZERO, created_at=AT,
)  # fmt: skip


def start_of(epoch: int, **changes: Any) -> Redispatch:
    known = {"tenant_id": LEASE.tenant_id, "dispatch_id": LEASE.dispatch_id, "agent": LEASE.agent}
    rest = {"order_id": name("ord", 1), "reason": "x", "fenced_by": "none", "not_before": AT, "at": AT}
    return Redispatch(**{**known, **rest, "epoch": epoch, **changes})


def end_of(**changes: Any) -> DispatchEnd:
    known = {"tenant_id": LEASE.tenant_id, "dispatch_id": LEASE.dispatch_id, "agent": LEASE.agent}
    return DispatchEnd(**{**known, "outcome": "completed", "reason": "x", "at": AT, **changes})


def code(wrong: str | None) -> str:
    return (wrong or "").partition(":")[0]


@pytest.fixture
def dispatches() -> Dispatches:
    made = Dispatches()
    assert made.admit_dispatch(ORDER, 0) is None
    return made


def test_an_instance_begins_by_a_start_of_exactly_its_epoch(dispatches: Dispatches) -> None:
    assert code(dispatches.refuse_launch(LEASE, AT)) == "dispatch_not_ordered"
    for epoch in (LEASE.epoch + 1, LEASE.epoch):
        assert dispatches.refuse_start(start_of(epoch), 0) is None
        dispatches.start(start_of(epoch))
        expected = "" if epoch == LEASE.epoch else "dispatch_not_ordered"
        assert code(dispatches.refuse_launch(LEASE, AT)) == expected


def test_a_start_is_not_carried_out_before_its_time(dispatches: Dispatches) -> None:
    dispatches.start(start_of(LEASE.epoch, not_before=format_time(NOW_MS + 1)))
    assert code(dispatches.refuse_launch(LEASE, AT)) == "dispatch_not_ordered"
    assert dispatches.refuse_launch(LEASE, format_time(NOW_MS + 1)) is None


def test_a_launch_by_hand_is_not_judged(dispatches: Dispatches) -> None:
    assert dispatches.refuse_launch(make_lease(dispatch_id=name("dsp", 9)), AT) is None


def test_a_start_is_for_a_newer_epoch(dispatches: Dispatches) -> None:
    assert code(dispatches.refuse_start(start_of(3), 3)) == "epoch_stale"
    assert code(dispatches.refuse_start(start_of(2), 3)) == "epoch_stale"
    assert dispatches.refuse_start(start_of(4), 3) is None


def test_a_dispatch_is_ordered_once_and_before_it_begins(dispatches: Dispatches) -> None:
    assert code(dispatches.admit_dispatch(ORDER, 0)) == "dispatch_exists"
    assert code(Dispatches().admit_dispatch(ORDER, 1)) == "dispatch_exists"


def test_nothing_begins_after_the_end(dispatches: Dispatches) -> None:
    dispatches.start(start_of(LEASE.epoch))
    assert dispatches.admit_end(end_of()) is None
    assert code(dispatches.admit_end(end_of())) == "dispatch_ended"
    assert code(dispatches.refuse_start(start_of(9), 0)) == "dispatch_ended"
    assert code(dispatches.refuse_launch(LEASE, AT)) == "dispatch_ended"


def test_an_annulled_dispatch_only_ends(dispatches: Dispatches) -> None:
    dispatches.start(start_of(LEASE.epoch))
    assert dispatches.refuse_launch(LEASE, AT) is None
    assert dispatches.annul(LEASE.dispatch_id)
    assert code(dispatches.refuse_launch(LEASE, AT)) == "dispatch_not_ordered"
    assert code(dispatches.refuse_start(start_of(9), 0)) == "dispatch_not_ordered"
    assert dispatches.admit_end(end_of()) is None


def test_only_what_goes_on_is_annulled(dispatches: Dispatches) -> None:
    assert not dispatches.annul(name("dsp", 9))
    assert dispatches.admit_end(end_of()) is None
    assert not dispatches.annul(LEASE.dispatch_id)


def test_a_lease_keeps_to_its_order() -> None:
    dispatches = Dispatches()
    assert dispatches.admit_dispatch(replace(ORDER, scope=["fire:staff"]), 0) is None
    assert code(dispatches.refuse_beyond(LEASE)) == "scope_exceeded"
    assert dispatches.refuse_beyond(make_lease(dispatch_id=name("dsp", 9))) is None
    length_ms = parse_time(LEASE.expires_at) - parse_time(LEASE.issued_at)
    for ttl_seconds, expected in ((length_ms // 1000, ""), (length_ms // 1000 - 1, "ttl_exceeded")):
        dispatches = Dispatches()
        assert dispatches.admit_dispatch(replace(ORDER, ttl_seconds=ttl_seconds), 0) is None
        assert code(dispatches.refuse_beyond(LEASE)) == expected


@pytest.mark.parametrize("changes", [{"dispatch_id": name("dsp", 9)}, {"agent": "notifier"}])
def test_what_belongs_to_no_order(dispatches: Dispatches, changes: dict[str, str]) -> None:
    assert code(dispatches.refuse_start(start_of(1, **changes), 0)) == "dispatch_not_ordered"
    assert code(dispatches.admit_end(end_of(**changes))) == "dispatch_not_ordered"
