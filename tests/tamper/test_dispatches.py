"""Forged dispatches: two holders, instances that nobody ordered, fences that are none, leases taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dragons.audit.verdicts import Question, Report, Status
from dragons.authority.revocation import Target
from dragons.core.vocabulary import Kind
from dragons.liveness.organism import Trigger
from tests.support import healing, packs, story, work
from tests.support.ledger import MINUTE_MS, Agent
from tests.support.story import Story
from tests.tamper.conftest import found

Judge = Callable[..., Report]
AUTHORITY, SIGNER, INTEGRITY = Question.AUTHORITY, Question.SIGNER, Question.INTEGRITY
# Receipts of `launched`: 8 dock, 9 lease, 10 session; what a test adds begins here.
NEXT = 11
UNKNOWN = "0" * 32


def verdict(judge: Judge, told: Story, question: Question = AUTHORITY) -> tuple[str, int | None] | None:
    report = judge(packs.export(told.book), pin=told.book.pin)
    if question is AUTHORITY:
        assert report.verdicts[INTEGRITY].status is Status.PASS
    return found(report, question)


@pytest.fixture
def told() -> Story:
    return story.launched()


def ordered(told: Story, epoch: int = 1) -> tuple[str, Agent]:
    """A dispatch with its first instance: receipts 11 to 13."""
    dispatch = healing.order(told.book, "reconciler")
    healing.start(told.book, dispatch, epoch)
    return dispatch, told.book.lease(told.dock, dispatch_id=dispatch, epoch=epoch)


# --- dispatches ----------------------------------------------------------------------------------


def test_two_holders(told: Story, judge: Judge) -> None:
    told.book.lease(told.dock, epoch=2, dispatch_id=told.agent.lease.dispatch_id)
    assert verdict(judge, told) == ("holder_active", NEXT)


def test_a_second_holder_beside_a_degraded_one(told: Story, judge: Judge) -> None:
    healing.transition(told.book, told.agent, Trigger.LEASE_EXPIRED)
    told.book.lease(told.dock, epoch=2, dispatch_id=told.agent.lease.dispatch_id)
    assert verdict(judge, told) == ("holder_active", NEXT + 1)


def test_a_second_lease_for_one_instance(told: Story, judge: Judge) -> None:
    """A stopped instance can't be revived by leasing to it anew."""
    healing.transition(told.book, told.agent, Trigger.ENDED)
    told.book.lease(told.dock, instance_id=told.agent.instance_id)
    assert verdict(judge, told) == ("instance_mismatch", NEXT + 1)


def test_an_instance_that_nobody_ordered(told: Story, judge: Judge) -> None:
    dispatch = healing.order(told.book, "reconciler")
    told.book.lease(told.dock, dispatch_id=dispatch)
    assert verdict(judge, told) == ("dispatch_not_ordered", NEXT + 1)


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_instance_of_another_epoch_than_the_ordered(told: Story, judge: Judge, epoch: int) -> None:
    dispatch = healing.order(told.book, "reconciler")
    healing.start(told.book, dispatch, 2)
    told.book.lease(told.dock, dispatch_id=dispatch, epoch=epoch)
    assert verdict(judge, told) == ("dispatch_not_ordered", NEXT + 2)


def test_an_order_carried_out_twice(told: Story, judge: Judge) -> None:
    dispatch, first = ordered(told)
    healing.heal(told.book, first)
    told.book.lease(told.dock, dispatch_id=dispatch, epoch=1)
    assert verdict(judge, told) == ("epoch_stale", NEXT + 6)


def test_an_instance_of_another_agent(told: Story, judge: Judge) -> None:
    dispatch = healing.order(told.book, "notifier")
    healing.start(told.book, dispatch, agent="notifier")
    told.book.lease(told.dock, dispatch_id=dispatch)
    assert verdict(judge, told) == ("dispatch_not_ordered", NEXT + 2)


def test_a_start_while_the_old_one_may_act(told: Story, judge: Judge) -> None:
    dispatch, first = ordered(told)
    healing.start(told.book, dispatch, 2, first)
    assert verdict(judge, told) == ("holder_active", NEXT + 3)


def test_a_start_while_the_old_one_is_isolated(told: Story, judge: Judge) -> None:
    dispatch, first = ordered(told)
    healing.quarantine(told.book, first)
    healing.start(told.book, dispatch, 2, first)
    assert verdict(judge, told) == ("organism_quarantined", NEXT + 6)


def test_a_start_of_an_epoch_that_was(told: Story, judge: Judge) -> None:
    dispatch, first = ordered(told)
    healing.heal(told.book, first)
    healing.start(told.book, dispatch, 1, first)
    assert verdict(judge, told) == ("epoch_stale", NEXT + 6)


def test_an_instance_before_the_start_is_due(told: Story, judge: Judge) -> None:
    dispatch = healing.order(told.book, "reconciler")
    healing.start(told.book, dispatch, not_before=told.book.time(2_000))
    told.book.lease(told.dock, dispatch_id=dispatch)
    assert verdict(judge, told) == ("dispatch_not_ordered", NEXT + 2)


@pytest.mark.parametrize(
    ("fenced_by", "waited_ms", "code"),
    [
        ("staleness", 4_000, "holder_unfenced"),
        ("staleness", 5_000, ""),
        ("expiry", 5_000, "holder_unfenced"),
        ("expiry", 15 * MINUTE_MS, ""),
        ("none", 15 * MINUTE_MS, "holder_unfenced"),
        ("hope", 15 * MINUTE_MS, "holder_unfenced"),
        ("death", 0, ""),
    ],
)
def test_an_instance_before_the_one_before_is_fenced(
    told: Story, judge: Judge, fenced_by: str, waited_ms: int, code: str
) -> None:
    """Unless its program is dead, the old one goes on until its view is too old or its lease ends."""
    dispatch, first = ordered(told)
    healing.transition(told.book, first, Trigger.CRASHED)
    halted_ms = told.book.now_ms
    healing.withdraw(told.book, first)
    healing.start(told.book, dispatch, 2, first, fenced_by=fenced_by, not_before=told.book.time())
    told.book.now_ms = max(halted_ms + waited_ms, halted_ms + 500) - told.book.step_ms
    told.book.lease(told.dock, dispatch_id=dispatch, epoch=2)
    assert verdict(judge, told) == ((code, NEXT + 6) if code else None)


def test_a_start_again_after_one_that_failed(told: Story, judge: Judge) -> None:
    dispatch, first = ordered(told)
    healing.heal(told.book, first)
    healing.start(told.book, dispatch, 2, first)
    healing.start(told.book, dispatch, 2, first)
    told.book.lease(told.dock, dispatch_id=dispatch, epoch=2)
    assert verdict(judge, told) is None


@pytest.mark.parametrize("do", [healing.start, healing.end])
def test_a_dispatch_that_nobody_ordered(told: Story, judge: Judge, do: Callable[..., object]) -> None:
    do(told.book, told.agent.lease.dispatch_id)
    assert verdict(judge, told) == ("dispatch_not_ordered", NEXT)


@pytest.mark.parametrize("do", [healing.start, healing.end])
def test_a_dispatch_of_another_agent(told: Story, judge: Judge, do: Callable[..., object]) -> None:
    do(told.book, healing.order(told.book, "notifier"))
    assert verdict(judge, told) == ("dispatch_not_ordered", NEXT + 1)


@pytest.mark.parametrize(
    "do",
    [
        lambda told, dispatch: healing.start(told.book, dispatch),
        lambda told, dispatch: healing.end(told.book, dispatch),
        lambda told, dispatch: told.book.lease(told.dock, dispatch_id=dispatch),
    ],
)
def test_a_dispatch_that_goes_on_after_its_end(told: Story, judge: Judge, do: Callable[..., object]) -> None:
    dispatch = healing.order(told.book, "reconciler")
    healing.end(told.book, dispatch)
    do(told, dispatch)
    assert verdict(judge, told) == ("dispatch_ended", NEXT + 2)


def test_a_dispatch_ordered_twice(told: Story, judge: Judge) -> None:
    dispatch = healing.order(told.book, "reconciler")
    healing.order(told.book, "notifier", dispatch_id=dispatch)
    assert verdict(judge, told) == ("dispatch_exists", NEXT + 1)


def test_a_launch_that_is_ordered_afterwards(told: Story, judge: Judge) -> None:
    healing.order(told.book, "reconciler", dispatch_id=told.agent.lease.dispatch_id)
    assert verdict(judge, told) == ("dispatch_exists", NEXT)


def test_a_dispatch_ordered_by_the_control_plane(told: Story, judge: Judge) -> None:
    healing.order(told.book, "reconciler", signer=told.book.issuer)
    assert verdict(judge, told, SIGNER) == ("statement_signer", NEXT)


# --- withdrawals ---------------------------------------------------------------------------------


def test_work_after_the_lease_was_withdrawn(told: Story, judge: Judge) -> None:
    healing.withdraw(told.book, told.agent)
    work.work(told.book, told.session, about={"late": True})
    assert verdict(judge, told) == ("revoked", NEXT + 1)


def test_a_withdrawn_parent_ends_the_child(told: Story, judge: Judge) -> None:
    told.book.dock("notifier", ["send:notice"])
    child = work.delegate(told.book, told.agent, "notifier", 1, ["send:notice"])
    healing.withdraw(told.book, told.agent)
    work.open_session(told.book, child, "too late")
    assert verdict(judge, told) == ("lease_revoked", NEXT + 4)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"lease_id": f"lse_{UNKNOWN}"}, "lease_missing"), ({"instance_id": UNKNOWN}, "instance_mismatch")],
)
def test_a_withdrawal_of_something_else(
    told: Story, judge: Judge, changes: dict[str, Any], code: str
) -> None:
    healing.withdraw(told.book, told.agent, **changes)
    assert verdict(judge, told) == (code, NEXT)


def test_a_withdrawal_by_an_operator(told: Story, judge: Judge) -> None:
    """An operator revokes; taking back is the issuer's."""
    healing.withdraw(told.book, told.agent, signer=told.book.operator)
    assert verdict(judge, told, SIGNER) == ("statement_signer", NEXT)


def test_a_withdrawal_is_in_every_pack(told: Story, judge: Judge) -> None:
    """Of a lease that a selection does not show as well: it only takes authority away."""
    other = told.book.lease(told.book.dock("reconciler", story.READ_WRITE))
    healing.withdraw(told.book, other)
    work.revoke(told.book, Target.LEASE, other.lease.lease_id)
    work.work(told.book, told.session)
    work.close_session(told.book, told.session)
    parts = packs.export(told.book, packs.session_of(told.session.session_id))
    assert judge(parts, pin=told.book.pin).valid
    assert parts.pack().revocations == 2


# --- selections ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "code"),
    [
        (Kind.INTERVENTION, "intervention_missing"),
        (Kind.STATE_CHANGED, "holder_active"),
        (Kind.REDISPATCHED, "dispatch_not_ordered"),
        (Kind.DISPATCH_ORDERED, "dispatch_not_ordered"),
    ],
)
def test_a_session_without_what_made_it_possible(judge: Judge, hidden: Kind, code: str) -> None:
    """The ledger itself leaves it out and signs that: what it shows does not hold without it."""
    told = story.full(cycles=1)
    session = packs.session_of(told.names["healed_session"])
    assert judge(packs.export(told.book, session), pin=told.book.pin).valid
    parts = packs.export(
        told.book, session, context=lambda one: told.book.headers[one.seq].kind is not hidden
    )
    fault = found(judge(parts, pin=told.book.pin), AUTHORITY)
    assert fault is not None
    assert fault[0] == code
