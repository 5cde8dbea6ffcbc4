"""A ledger that recorded work without authority: every link of receipt → lease → dock → operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dragons.audit.verdicts import Question, Report, Status
from dragons.authority.revocation import Target
from dragons.core.clock import format_time
from dragons.core.keys import KeyRole
from dragons.core.vocabulary import OrganismState, Outcome, Risk
from dragons.liveness.organism import Trigger
from tests.support import healing, packs, story, work
from tests.support.ledger import MINUTE_MS, signer_of
from tests.support.story import Story
from tests.tamper.conftest import found

Judge = Callable[..., Report]
AUTHORITY, SIGNER, INTEGRITY = Question.AUTHORITY, Question.SIGNER, Question.INTEGRITY
# Receipts of `launched`: 8 dock, 9 lease, 10 session; what a test adds begins here.
NEXT = 11


def verdict(judge: Judge, told: Story, question: Question = AUTHORITY) -> tuple[str, int | None] | None:
    report = judge(packs.export(told.book), pin=told.book.pin)
    if question is AUTHORITY:
        assert report.verdicts[INTEGRITY].status is Status.PASS
    return found(report, question)


@pytest.fixture
def told() -> Story:
    return story.launched()


# --- the work itself -----------------------------------------------------------------------------


def test_work_outside_the_scope(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, "send:notice")
    assert verdict(judge, told) == ("capability_not_leased", NEXT)


def test_work_that_the_catalogue_does_not_know(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, "fire:staff")
    assert verdict(judge, told) == ("capability_not_leased", NEXT)


def test_work_after_expiry(told: Story, judge: Judge) -> None:
    told.book.now_ms += 16 * MINUTE_MS
    work.work(told.book, told.session, about={"late": True})
    assert verdict(judge, told) == ("lease_expired", NEXT)


def test_work_at_the_very_end(told: Story, judge: Judge) -> None:
    end = told.agent.lease.expires_at
    work.work(told.book, told.session, started_at=end, ended_at=end)
    assert verdict(judge, told) == ("lease_expired", NEXT)


def test_work_before_not_before(told: Story, judge: Judge) -> None:
    began = told.book.time(-MINUTE_MS)
    work.work(told.book, told.session, started_at=began)
    assert verdict(judge, told) == ("lease_not_yet_valid", NEXT)


def test_work_after_release(told: Story, judge: Judge) -> None:
    work.release(told.book, told.agent)
    work.work(told.book, told.session, about={"late": True})
    assert verdict(judge, told) == ("lease_released", NEXT + 1)


@pytest.mark.parametrize("target", list(Target))
def test_work_after_revocation(told: Story, judge: Judge, target: Target) -> None:
    name = {
        Target.OPERATOR: told.book.operator.key_id,
        Target.DOCK: told.dock.dock_id,
        Target.AGENT: "reconciler",
        Target.VERSION: "reconciler@v1",
        Target.INSTANCE: told.agent.instance_id,
        Target.LEASE: told.agent.lease.lease_id,
    }[target]
    work.revoke(told.book, target, name)
    work.work(told.book, told.session, about={"late": True})
    assert verdict(judge, told) == ("revoked", NEXT + 1)


def test_work_after_the_operators_key_ended(told: Story, judge: Judge) -> None:
    told.book.revoke_key(told.book.operator.key_id)
    work.work(told.book, told.session, about={"late": True})
    assert verdict(judge, told) == ("revoked", NEXT + 1)


def test_work_before_a_revocation_that_is_reported_after_it(told: Story, judge: Judge) -> None:
    began = told.book.time()
    work.revoke(told.book, Target.DOCK, told.dock.dock_id)
    work.work(told.book, told.session, started_at=began, ended_at=began, about={"late": True})
    assert verdict(judge, told) is None


def test_work_of_another_dock_goes_on(told: Story, judge: Judge) -> None:
    other = told.book.dock("reconciler", story.READ_WRITE)
    work.revoke(told.book, Target.DOCK, other.dock_id)
    work.work(told.book, told.session)
    assert verdict(judge, told) is None


def test_work_in_a_stale_epoch(told: Story, judge: Judge) -> None:
    healing.transition(told.book, told.agent, Trigger.REPLACED)
    told.book.lease(told.dock, epoch=2, dispatch_id=told.agent.lease.dispatch_id)
    work.work(told.book, told.session, about={"late": True})
    assert verdict(judge, told) == ("epoch_stale", NEXT + 2)


def test_an_epoch_that_was_dispatched_twice(told: Story, judge: Judge) -> None:
    told.book.lease(told.dock, epoch=1, dispatch_id=told.agent.lease.dispatch_id)
    assert verdict(judge, told) == ("epoch_stale", NEXT)


@pytest.mark.parametrize(
    ("changes", "about"),
    [({"epoch": 2}, {}), ({"epoch": 2}, {"epoch": 2}), ({}, {"epoch": 2}), ({}, {"epoch": None})],
)
def test_work_in_an_epoch_that_the_lease_does_not_have(told: Story, judge: Judge, changes, about) -> None:
    work.work(told.book, told.session, about=about, **changes)
    assert verdict(judge, told) == ("epoch_stale", NEXT)


@pytest.mark.parametrize(
    "triggers",
    [[Trigger.CRASHED, Trigger.FLAPPING], [Trigger.CRASHED], [Trigger.ENDED], [Trigger.STALLED, Trigger.REVOKED]],
)  # fmt: skip
def test_work_of_a_halted_organism(told: Story, judge: Judge, triggers: list[Trigger]) -> None:
    for trigger in triggers:
        healing.transition(told.book, told.agent, trigger)
    began, told.book.now_ms = told.book.now_ms, told.book.now_ms + 1_000
    work.work(told.book, told.session, started_at=format_time(began), about={"late": True})
    state = OrganismState.AUTOHEALING if Trigger.CRASHED in triggers else OrganismState.STOPPED
    assert verdict(judge, told) == (f"organism_{state}", NEXT + len(triggers))


def test_work_between_healing_and_its_end(told: Story, judge: Judge) -> None:
    """A second halt does not give back the time between the two."""
    healing.transition(told.book, told.agent, Trigger.CRASHED)
    began = told.book.time()
    healing.transition(told.book, told.agent, Trigger.REPLACED)
    work.work(told.book, told.session, started_at=began, ended_at=began, about={"late": True})
    assert verdict(judge, told) == ("organism_autohealing", NEXT + 2)


def test_work_of_a_halted_organism_whose_header_hides_it(told: Story, judge: Judge) -> None:
    healing.transition(told.book, told.agent, Trigger.CRASHED)
    work.open_session(told.book, told.agent, "go on", about={"organism_state": OrganismState.RUNNING})
    assert verdict(judge, told) == ("organism_autohealing", NEXT + 1)


def test_work_of_an_organism_that_recovered(told: Story, judge: Judge) -> None:
    healing.transition(told.book, told.agent, Trigger.STALLED)
    healing.transition(told.book, told.agent, Trigger.RECOVERED)
    work.work(told.book, told.session)
    assert verdict(judge, told) is None


@pytest.mark.parametrize(
    "about",
    [
        {"instance_id": "0" * 32},
        {"lease_ref": "lse_" + "0" * 32},
        {"agent": "reconciler@v2"},
        {"agent": None},
    ],
)
def test_a_header_that_names_somebody_else(told: Story, judge: Judge, about: dict[str, Any]) -> None:
    work.work(told.book, told.session, about=about)
    assert verdict(judge, told) == ("instance_mismatch", NEXT)


def test_a_header_that_names_another_manifest(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, about={"manifest_hash": "0" * 64})
    assert verdict(judge, told) == ("manifest_mismatch", NEXT)


def test_a_claim_under_an_unknown_lease(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, lease_id="lse_" + "0" * 32)
    assert verdict(judge, told) == ("lease_missing", NEXT)


def test_a_claim_about_another_instance(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, instance_id="0" * 32)
    assert verdict(judge, told) == ("instance_mismatch", NEXT)


def test_a_claim_signed_with_a_forged_key(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, signer=signer_of("mallory/instance", KeyRole.INSTANCE))
    assert verdict(judge, told, SIGNER) == ("statement_signer", NEXT)


def test_an_instance_that_abandons(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, outcome=Outcome.ABANDONED)
    assert verdict(judge, told) == ("outcome_invalid", NEXT)


def test_a_denied_action_needs_no_scope(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, "fire:staff", outcome=Outcome.DENIED, reason="capability_not_leased")
    assert verdict(judge, told) is None


# --- late ----------------------------------------------------------------------------------------


def test_late_work_that_is_not_marked(told: Story, judge: Judge) -> None:
    began = told.book.time()
    told.book.now_ms += 16 * MINUTE_MS
    work.work(told.book, told.session, started_at=began, ended_at=began)
    assert verdict(judge, told) == ("late_unmarked", NEXT)


def test_work_that_is_marked_late_and_is_not(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, about={"late": True})
    assert verdict(judge, told) == ("late_unfounded", NEXT)


def test_a_late_end_that_is_not_marked(told: Story, judge: Judge) -> None:
    told.book.now_ms += 16 * MINUTE_MS
    work.close_session(told.book, told.session)
    assert verdict(judge, told) == ("late_unmarked", NEXT)


def test_a_session_closed_as_denied(told: Story, judge: Judge) -> None:
    work.close_session(told.book, told.session, outcome=Outcome.DENIED)
    assert verdict(judge, told) == ("outcome_invalid", NEXT)


def test_a_session_after_the_lease(told: Story, judge: Judge) -> None:
    told.book.now_ms += 16 * MINUTE_MS
    work.open_session(told.book, told.agent, "too late")
    assert verdict(judge, told) == ("lease_expired", NEXT)


def test_a_session_wider_than_its_lease(told: Story, judge: Judge) -> None:
    work.open_session(told.book, told.agent, "more", scope=["fire:staff"])
    assert verdict(judge, told) == ("scope_exceeded", NEXT)


# --- high risk -----------------------------------------------------------------------------------


def test_high_risk_without_a_decision(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, "pay:suppliers")
    assert verdict(judge, told) == ("online_check_required", NEXT)


def test_high_risk_with_an_invented_decision(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, "pay:suppliers", decision_id="dcn_" + "0" * 32)
    assert verdict(judge, told) == ("online_check_required", NEXT)


def test_high_risk_with_the_decision_about_another_action(told: Story, judge: Judge) -> None:
    decision = work.authorize(told.book, told.session, "read:payments")
    work.work(told.book, told.session, "pay:suppliers", decision_id=decision)
    assert verdict(judge, told) == ("online_check_required", NEXT + 1)


def test_a_decision_counts_once(told: Story, judge: Judge) -> None:
    decision = work.authorize(told.book, told.session, "pay:suppliers")
    work.work(told.book, told.session, "pay:suppliers", decision_id=decision)
    work.work(told.book, told.session, "pay:suppliers", decision_id=decision)
    assert verdict(judge, told) == ("online_check_required", NEXT + 2)


def test_an_abandoned_decision_does_not_count(told: Story, judge: Judge) -> None:
    decision = work.authorize(told.book, told.session, "pay:suppliers")
    work.abandon(told.book, told.session, decision)
    work.work(told.book, told.session, "pay:suppliers", decision_id=decision)
    assert verdict(judge, told) == ("online_check_required", NEXT + 2)


def test_the_decision_of_another_session(told: Story, judge: Judge) -> None:
    other = work.open_session(told.book, told.agent, "something else")
    decision = work.authorize(told.book, other, "pay:suppliers")
    work.work(told.book, told.session, "pay:suppliers", decision_id=decision)
    assert verdict(judge, told) == ("online_check_required", NEXT + 2)


def test_a_decision_by_the_operator(told: Story, judge: Judge) -> None:
    work.authorize(told.book, told.session, "pay:suppliers", signer=told.book.operator)
    assert verdict(judge, told, SIGNER) == ("statement_signer", NEXT)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"lease_id": "lse_" + "0" * 32}, "lease_missing"),
        ({"instance_id": "0" * 32}, "instance_mismatch"),
        ({"epoch": 9}, "epoch_stale"),
    ],
)
def test_a_decision_beyond_the_lease(told: Story, judge: Judge, changes: dict[str, Any], code: str) -> None:
    work.authorize(told.book, told.session, "pay:suppliers", **changes)
    assert verdict(judge, told) == (code, NEXT)


def test_a_decision_outside_the_scope(told: Story, judge: Judge) -> None:
    work.authorize(told.book, told.session, "fire:staff")
    assert verdict(judge, told) == ("capability_not_leased", NEXT)


def test_a_decision_after_the_lease(told: Story, judge: Judge) -> None:
    told.book.now_ms += 16 * MINUTE_MS
    work.authorize(told.book, told.session, "pay:suppliers")
    assert verdict(judge, told) == ("lease_expired", NEXT)


def test_the_risk_is_that_of_the_newest_catalogue(told: Story, judge: Judge) -> None:
    story.publish(told.book, 2, pay=Risk.LOW)
    work.work(told.book, told.session, "pay:suppliers")
    assert verdict(judge, told) is None


# --- times of work -------------------------------------------------------------------------------


def test_work_that_ended_before_it_began(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, ended_at=told.book.time(-1))
    assert verdict(judge, told, Question.TIME) == ("time_reversed", NEXT)


def test_work_that_ended_in_the_future(told: Story, judge: Judge) -> None:
    work.work(told.book, told.session, ended_at=told.book.time(6_000))
    assert verdict(judge, told, Question.TIME) == ("time_future", NEXT)


def test_a_ledger_whose_clock_went_back(told: Story, judge: Judge) -> None:
    told.book.now_ms -= 1_000
    work.work(told.book, told.session)
    assert verdict(judge, told, Question.TIME) == ("time_reversed", NEXT)


# --- headers that contradict their statement -----------------------------------------------------


@pytest.mark.parametrize(
    "about",
    [
        {"outcome": Outcome.FAILED},
        {"action": "write:ledger"},
        {"payload_hash": "0" * 64},
        {"evidence": []},
        {"evidence": None},
        {"session_id": "ses_" + "0" * 32},
        {"corrects": "rcp_" + "0" * 32},
    ],
)
def test_a_header_that_tells_another_story(told: Story, judge: Judge, about: dict[str, Any]) -> None:
    work.work(told.book, told.session, about=about)
    assert verdict(judge, told, INTEGRITY) == ("header_contradicts", NEXT)
