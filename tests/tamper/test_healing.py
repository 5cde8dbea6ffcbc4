"""Forged lives: states that don't follow from each other, quarantines evaded, steps done twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dragons.audit.verdicts import Question, Report, Status
from dragons.core.vocabulary import OrganismState
from dragons.liveness.organism import Trigger
from tests.support import healing, packs, story, work
from tests.support.ledger import Agent
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


# --- states --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"before": OrganismState.DEGRADED},
        {"after": OrganismState.AUTOHEALING},
        {"after": OrganismState.RUNNING},
        {"trigger": "boredom"},
        {"trigger": Trigger.RECOVERED.value},
    ],
)
def test_a_state_that_does_not_follow(told: Story, judge: Judge, changes: dict[str, Any]) -> None:
    healing.transition(told.book, told.agent, Trigger.STALLED, **changes)
    assert verdict(judge, told) == ("state_illegal", NEXT)


def test_a_stopped_instance_comes_back(told: Story, judge: Judge) -> None:
    healing.transition(told.book, told.agent, Trigger.ENDED)
    healing.transition(told.book, told.agent, Trigger.RECOVERED, after=OrganismState.RUNNING)
    assert verdict(judge, told) == ("state_illegal", NEXT + 1)


def test_a_state_of_an_instance_without_a_lease(told: Story, judge: Judge) -> None:
    healing.transition(told.book, told.agent, Trigger.STALLED)
    report = judge(packs.export(told.book), pin=told.book.pin)
    assert report.valid
    told.agent.instance_id = UNKNOWN
    healing.transition(told.book, told.agent, Trigger.RECOVERED)
    report = judge(packs.export(told.book), pin=told.book.pin)
    assert found(report, AUTHORITY) == ("lease_missing", NEXT + 1)
    assert found(report, INTEGRITY) == ("header_contradicts", NEXT + 1)


def test_a_state_in_another_dispatch(told: Story, judge: Judge) -> None:
    healing.transition(told.book, told.agent, Trigger.STALLED, dispatch_id=f"dsp_{UNKNOWN}")
    assert verdict(judge, told) == ("instance_mismatch", NEXT)


def test_a_state_that_an_operator_tells(told: Story, judge: Judge) -> None:
    healing.transition(told.book, told.agent, Trigger.STALLED, signer=told.book.operator)
    assert verdict(judge, told, SIGNER) == ("statement_signer", NEXT)


# --- people --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "other"),
    [
        (Trigger.OPERATOR_STOPPED, "release"),
        (Trigger.OPERATOR_QUARANTINED, "stop"),
        (Trigger.REDISPATCHED, "quarantine"),
    ],
)
def test_a_persons_hand_that_nobody_signed(told: Story, judge: Judge, trigger: Trigger, other: str) -> None:
    healing.intervene(told.book, told.agent, other)
    healing.intervene(told.book, "notifier", "stop")
    healing.transition(told.book, told.agent, trigger)
    assert verdict(judge, told) == ("intervention_missing", NEXT + 2)


def test_a_quarantine_that_ends_by_itself(told: Story, judge: Judge) -> None:
    """What a person did before the quarantine does not end it."""
    healing.intervene(told.book, told.agent, "release")
    healing.quarantine(told.book, told.agent)
    healing.transition(told.book, told.agent, Trigger.OPERATOR_RELEASED)
    assert verdict(judge, told) == ("intervention_missing", NEXT + 4)


@pytest.mark.parametrize("on", ["instance", "agent"])
@pytest.mark.parametrize(
    ("action", "trigger"), [("release", Trigger.OPERATOR_RELEASED), ("stop", Trigger.OPERATOR_STOPPED)]
)
def test_a_quarantine_that_a_person_ends(
    told: Story, judge: Judge, on: str, action: str, trigger: Trigger
) -> None:
    healing.quarantine(told.book, told.agent)
    healing.intervene(told.book, told.agent if on == "instance" else "reconciler", action)
    healing.transition(told.book, told.agent, trigger)
    work.work(told.book, told.session, started_at=told.book.headers[9].issued_at, about={"late": True})
    work.abandon(told.book, told.session)
    assert verdict(judge, told) is None


def test_a_dispatch_that_a_person_stops(told: Story, judge: Judge) -> None:
    dispatch, first = ordered(told)
    on_dispatch = {"agent": msgspec.UNSET, "dispatch_id": dispatch}
    healing.intervene(told.book, "reconciler", "stop", **on_dispatch)
    healing.transition(told.book, first, Trigger.OPERATOR_STOPPED)
    healing.end(told.book, dispatch, outcome="cancelled")
    assert verdict(judge, told) is None
    healing.transition(told.book, told.agent, Trigger.OPERATOR_STOPPED)
    assert verdict(judge, told) == ("intervention_missing", NEXT + 6)


@pytest.mark.parametrize(
    "changes",
    [
        {"agent": "reconciler"},
        {"dispatch_id": f"dsp_{UNKNOWN}"},
        {"instance_id": msgspec.UNSET},
        {"action": "restart"},
        {"instance_id": msgspec.UNSET, "dispatch_id": f"dsp_{UNKNOWN}", "action": "release"},
    ],
)
def test_an_intervention_that_is_none(told: Story, judge: Judge, changes: dict[str, Any]) -> None:
    healing.intervene(told.book, told.agent, "stop", **changes)
    report = judge(packs.export(told.book), pin=told.book.pin)
    assert found(report, AUTHORITY) == ("intervention_invalid", NEXT)


def test_an_intervention_by_the_control_plane(told: Story, judge: Judge) -> None:
    healing.intervene(told.book, told.agent, "release", signer=told.book.issuer)
    assert verdict(judge, told, SIGNER) == ("statement_signer", NEXT)


# --- quarantine ----------------------------------------------------------------------------------


def test_the_next_instance_of_a_quarantined_dispatch(told: Story, judge: Judge) -> None:
    healing.quarantine(told.book, told.agent)
    told.book.lease(told.dock, epoch=2, dispatch_id=told.agent.lease.dispatch_id)
    assert verdict(judge, told) == ("organism_quarantined", NEXT + 3)


def test_a_launch_of_a_quarantined_agent(told: Story, judge: Judge) -> None:
    healing.intervene(told.book, "reconciler", "quarantine")
    told.book.lease(told.dock)
    assert verdict(judge, told) == ("organism_quarantined", NEXT + 1)


def test_a_launch_after_the_agents_release(told: Story, judge: Judge) -> None:
    healing.intervene(told.book, "reconciler", "quarantine")
    healing.intervene(told.book, "notifier", "quarantine")
    healing.intervene(told.book, "reconciler", "release")
    told.book.lease(told.dock)
    assert verdict(judge, told) is None


# --- policies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("versions", [[2], [1, 1], [1, 3]])
def test_a_policy_out_of_its_order(told: Story, judge: Judge, versions: list[int]) -> None:
    for version in versions:
        healing.policy(told.book, version)
    assert verdict(judge, told) == ("policy_version_conflict", NEXT + len(versions) - 1)


def test_policies_count_for_each_agent(told: Story, judge: Judge) -> None:
    healing.policy(told.book, 1)
    healing.policy(told.book, 1, "reconciler")
    healing.policy(told.book, 2, "reconciler", progress_required=False, progress_sources=[])
    healing.policy(told.book, 2)
    assert verdict(judge, told) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"autoheal_after_seconds": 1800},
        {"backoff_longest_seconds": 9},
        {"progress_sources": []},
        {"progress_sources": ["claim", "files"]},
    ],
)
def test_a_policy_that_contradicts_itself(told: Story, judge: Judge, changes: dict[str, Any]) -> None:
    healing.policy(told.book, 1, **changes)
    assert verdict(judge, told) == ("policy_invalid", NEXT)


# --- steps ---------------------------------------------------------------------------------------

STEP = {"step_key": "5" * 64}


def test_a_step_that_happened_twice(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, **STEP)
    work.work(told.book, told.session, **STEP)
    assert verdict(judge, told) == ("step_completed", NEXT + 1)


def test_a_step_that_another_agent_did_before(told: Story, judge: Judge) -> None:
    other = told.book.lease(told.dock)
    work.work(told.book, work.open_session(told.book, other, "the same"), **STEP)
    work.work(told.book, told.session, **STEP)
    assert verdict(judge, told) == ("step_completed", NEXT + 3)


def test_a_step_that_failed_before_or_is_corrected(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, outcome="failed", **STEP)
    work.work(told.book, told.session, outcome="denied", **STEP)
    done = work.work(told.book, told.session, **STEP)
    work.work(told.book, told.session, corrects=done.header.receipt_id, **STEP)
    assert verdict(judge, told) is None


def test_a_step_again_that_corrects_something_else(told: Story, judge: Judge) -> None:
    other = work.work(told.book, told.session)
    work.work(told.book, told.session, **STEP)
    work.work(told.book, told.session, corrects=other.header.receipt_id, **STEP)
    assert verdict(judge, told) == ("step_completed", NEXT + 2)


# --- headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "do",
    [
        lambda book: healing.policy(book, 1, about={"agent": "reconciler"}),
        lambda book: healing.policy(book, 1, "reconciler", about={"agent": None, "agent_seq": None}),
        lambda book: healing.order(book, "reconciler", about={"agent": "notifier"}),
        lambda book: healing.start(book, f"dsp_{UNKNOWN}", about={"epoch": 2}),
        lambda book: healing.intervene(book, "reconciler", "stop", agent="notifier"),
    ],
)
def test_a_header_that_tells_something_else(told: Story, judge: Judge, do: Callable[..., object]) -> None:
    do(told.book)
    assert verdict(judge, told, INTEGRITY) == ("header_contradicts", NEXT)
