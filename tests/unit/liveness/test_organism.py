"""Organism states: the table, and what `step` makes of time, signals and ends."""

from __future__ import annotations

import pytest

from dragons.core.vocabulary import OrganismState
from dragons.liveness.organism import (
    MOVES,
    Beat,
    EndDispatch,
    Ended,
    Enter,
    Escalate,
    Event,
    Hold,
    Kill,
    Organism,
    Progressed,
    Renewed,
    Replaced,
    Start,
    StartFailed,
    Step,
    Trigger,
    Withdraw,
    due_ms,
    recent_restarts,
    stall_of,
    step,
)
from tests.support.organisms import (
    CRASH,
    FAR_MS,
    FENCE_MS,
    MINUTE_MS,
    NOW_MS,
    POLICY,
    TICK,
    at,
    entered,
    kinds,
    organism,
    started,
)

S, T = OrganismState, Trigger


# --- the table ------------------------------------------------------------------------------------


def test_stopped_is_terminal_and_only_operators_end_a_quarantine() -> None:
    leaving = {state for state, _ in MOVES}
    assert leaving == set(S) - {S.STOPPED}
    assert {trigger for state, trigger in MOVES if state is S.QUARANTINED} == {
        T.OPERATOR_RELEASED, T.OPERATOR_STOPPED,
    }  # fmt: skip


def test_nothing_that_is_healed_comes_back() -> None:
    assert S.RUNNING not in {after for (before, _), after in MOVES.items() if before is S.AUTOHEALING}
    assert {after for (before, _), after in MOVES.items() if before is S.QUARANTINED} == {S.STOPPED}


# --- silence --------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["pulse_ms", "owed_ms"])
def test_a_missing_pulse_or_progress_degrades_and_then_heals(missing: str) -> None:
    there = {"pulse_ms": FAR_MS, "owed_ms": FAR_MS, missing: NOW_MS}
    assert step(organism(**there), TICK, at(30 * MINUTE_MS - 1)) == Step(organism(**there))
    degraded = step(organism(**there), TICK, at(30 * MINUTE_MS))
    assert entered(degraded) == [(T.STALLED, S.DEGRADED)]
    assert step(degraded.organism, TICK, at(60 * MINUTE_MS - 1)) == Step(degraded.organism)
    healing = step(degraded.organism, TICK, at(60 * MINUTE_MS))
    assert entered(healing) == [(T.STALL_CONFIRMED, S.AUTOHEALING)]
    assert kinds(healing) == [Enter, Withdraw, Kill]
    assert healing.organism.fence_ms == NOW_MS + 60 * MINUTE_MS + FENCE_MS


def test_each_state_is_entered_on_its_way() -> None:
    assert entered(step(organism(), TICK, at(24 * 60 * MINUTE_MS))) == [(T.STALLED, S.DEGRADED)]


def test_a_pulse_alone_is_enough_where_progress_is_not_required() -> None:
    silent = organism(pulse_ms=FAR_MS)
    assert step(silent, TICK, at(60 * MINUTE_MS, progress_required=False)) == Step(silent)


def test_the_reason_says_what_is_missing_and_for_how_long() -> None:
    assert stall_of(organism(pulse_ms=FAR_MS), at(45 * MINUTE_MS)).what == "no verified progress for 45 min"
    assert stall_of(organism(owed_ms=FAR_MS), at(45_000)).what == "no heartbeat for 45 s"


def test_time_in_which_the_control_plane_was_away_is_no_silence() -> None:
    away = at(45 * MINUTE_MS, outages=((NOW_MS + MINUTE_MS, NOW_MS + 20 * MINUTE_MS),))
    assert step(organism(), TICK, away) == Step(organism())
    assert due_ms(organism(), away) == NOW_MS + 49 * MINUTE_MS


def test_a_degraded_instance_recovers_by_pulse_and_progress() -> None:
    degraded = organism(state=S.DEGRADED)
    now = at(40 * MINUTE_MS)
    assert entered(step(degraded, Beat(progress=False), now)) == []
    assert entered(step(degraded, Beat(progress=True), now)) == [(T.RECOVERED, S.RUNNING)]
    pulse = step(degraded, Beat(progress=False), now).organism
    assert entered(step(pulse, Progressed(), now)) == [(T.RECOVERED, S.RUNNING)]


# --- waiting --------------------------------------------------------------------------------------


def test_a_declared_waiting_owes_no_progress_until_it_ends() -> None:
    until_ms = NOW_MS + 90 * MINUTE_MS
    waiting = step(organism(), Beat(progress=False, waiting_until_ms=until_ms), at(1)).organism
    assert waiting.owed_ms == until_ms
    beating = waiting._replace(pulse_ms=FAR_MS)
    assert step(beating, TICK, at(120 * MINUTE_MS - 1)) == Step(beating)
    assert entered(step(beating, TICK, at(120 * MINUTE_MS))) == [(T.STALLED, S.DEGRADED)]


def test_waiting_is_no_pulse() -> None:
    waiting = step(organism(), Beat(progress=False, waiting_until_ms=FAR_MS), at()).organism
    assert entered(step(waiting, TICK, at(30 * MINUTE_MS))) == [(T.STALLED, S.DEGRADED)]


def test_waiting_lasts_no_longer_than_the_policy_allows_since_the_last_progress() -> None:
    waiting = organism()
    for minute in range(0, 3_000, 100):
        waiting = step(
            waiting._replace(state=S.RUNNING), Beat(progress=False, waiting_until_ms=FAR_MS), at(minute * MINUTE_MS)
        ).organism  # fmt: skip
    assert waiting.owed_ms == NOW_MS + POLICY.waiting_max_ms


def test_a_beat_that_waits_no_more_ends_the_waiting() -> None:
    waiting = step(organism(), Beat(progress=False, waiting_until_ms=FAR_MS), at()).organism
    assert step(waiting, Beat(progress=False), at(MINUTE_MS)).organism.owed_ms == NOW_MS + MINUTE_MS


# --- the lease ------------------------------------------------------------------------------------


def test_an_expired_lease_degrades_at_once_whatever_the_heartbeat_says() -> None:
    live = organism(pulse_ms=FAR_MS, owed_ms=FAR_MS, lease_expires_ms=NOW_MS + 10)
    assert step(live, TICK, at(9)) == Step(live)
    assert entered(step(live, TICK, at(10))) == [(T.LEASE_EXPIRED, S.DEGRADED)]


def test_a_late_renewal_brings_it_back() -> None:
    degraded = organism(state=S.DEGRADED, lease_expires_ms=NOW_MS)
    assert step(degraded, TICK, at()) == Step(degraded)
    back = step(degraded, Renewed(FAR_MS), at(1))
    assert entered(back) == [(T.RECOVERED, S.RUNNING)]
    assert back.organism.lease_expires_ms == FAR_MS


@pytest.mark.parametrize("state", [S.RUNNING, S.DEGRADED])
@pytest.mark.parametrize("supervised", [True, False])
def test_a_lease_that_is_not_renewed_within_the_grace_ends_the_instance(
    state: S, *, supervised: bool
) -> None:
    lost = organism(state=state, lease_expires_ms=NOW_MS, supervised=supervised)
    assert S.AUTOHEALING not in dict(entered(step(lost, TICK, at(POLICY.lease_grace_ms - 1)))).values()
    done = step(lost, TICK, at(POLICY.lease_grace_ms))
    if supervised:
        assert entered(done) == [(T.LEASE_LOST, S.AUTOHEALING)]
        # What has no authority any more needs no fence.
        assert kinds(done) == [Enter, Withdraw, Kill, Start]
        assert started(done).not_before_ms == NOW_MS + POLICY.lease_grace_ms
    else:
        assert entered(done) == [(T.LEASE_LAPSED, S.STOPPED)]
        assert kinds(done) == [Enter]


# --- the program's end ----------------------------------------------------------------------------


@pytest.mark.parametrize("state", [S.RUNNING, S.DEGRADED])
def test_a_crash_is_healed_at_once(state: S) -> None:
    done = step(organism(state=state), CRASH, at())
    assert entered(done) == [(T.CRASHED, S.AUTOHEALING)]
    assert kinds(done) == [Enter, Withdraw, Start]
    assert started(done).not_before_ms == NOW_MS
    assert (done.organism.dead, done.organism.fenced, done.organism.restarts) == (True, True, (NOW_MS,))


@pytest.mark.parametrize(("supervised", "failed"), [(True, False), (False, False), (False, True)])
def test_work_that_is_done_stops(*, supervised: bool, failed: bool) -> None:
    done = step(organism(supervised=supervised), Ended(failed, "done"), at())
    assert entered(done) == [(T.ENDED, S.STOPPED)]
    ends = [one for one in done.commands if isinstance(one, EndDispatch)]
    assert ends == ([EndDispatch("completed", "done")] if supervised else [])


def test_without_a_dispatch_nothing_can_be_healed() -> None:
    done = step(organism(state=S.DEGRADED, supervised=False), TICK, at(60 * MINUTE_MS))
    assert entered(done) == [(T.STALL_CONFIRMED, S.AUTOHEALING), (T.UNSUPERVISED, S.QUARANTINED)]
    assert kinds(done) == [Enter, Withdraw, Kill, Enter, Hold, Escalate]


# --- healing --------------------------------------------------------------------------------------


@pytest.fixture
def healing() -> Organism:
    return step(organism(state=S.DEGRADED), TICK, at(60 * MINUTE_MS)).organism


def test_the_next_starts_when_the_fence_is_over(healing: Organism) -> None:
    fenced = at(60 * MINUTE_MS + FENCE_MS)
    assert step(healing, TICK, fenced._replace(now_ms=fenced.now_ms - 1)) == Step(healing)
    done = step(healing, TICK, fenced)
    assert kinds(done) == [Start]
    assert done.organism.fenced
    # And once.
    assert step(done.organism, TICK, at(24 * 60 * MINUTE_MS)) == Step(done.organism)
    assert step(done.organism, CRASH, fenced) == Step(done.organism._replace(dead=True))


def test_a_confirmed_death_needs_no_fence(healing: Organism) -> None:
    done = step(healing, CRASH, at(60 * MINUTE_MS + 1))
    assert started(done).not_before_ms == NOW_MS + 60 * MINUTE_MS + 1


@pytest.mark.parametrize("event", [Beat(progress=True), Progressed(), Renewed(FAR_MS)])
def test_a_healed_instance_does_not_come_back(healing: Organism, event: Event) -> None:
    assert step(healing, event, at(60 * MINUTE_MS)) == Step(healing)


def test_further_starts_wait_longer_and_then_it_is_given_up() -> None:
    now, waits = at(), []
    current = step(organism(), CRASH, now)
    for _ in range(2):
        current = step(current.organism, StartFailed("no program"), now)
        waits.append(started(current).not_before_ms - NOW_MS)
    assert waits == [10_000, 20_000]
    flapping = step(current.organism, StartFailed("no program"), now)
    assert entered(flapping) == [(T.FLAPPING, S.QUARANTINED)]
    assert kinds(flapping) == [Enter, Hold, Escalate]
    assert flapping.commands[-1] == Escalate("3 restarts within 360 min; the last: no program")


def test_restarts_are_counted_over_the_policys_window() -> None:
    restarts = (NOW_MS, NOW_MS + 1, NOW_MS + 2)
    window_ms = POLICY.restart_window_ms
    assert recent_restarts(restarts, POLICY, NOW_MS + window_ms) == 2
    again = organism(restarts=restarts)
    assert entered(step(again, CRASH, at(window_ms - 1)))[-1] == (T.FLAPPING, S.QUARANTINED)
    done = step(again, CRASH, at(window_ms))
    assert entered(done) == [(T.CRASHED, S.AUTOHEALING)]
    # What is out of the window is forgotten.
    assert done.organism.restarts == (NOW_MS + 1, NOW_MS + 2, NOW_MS + window_ms)


def test_a_newer_instance_ends_the_healing(healing: Organism) -> None:
    done = step(healing, Replaced(2), at(61 * MINUTE_MS))
    assert entered(done) == [(T.REPLACED, S.STOPPED)]
    assert kinds(done) == [Enter]


# --- when to look again ---------------------------------------------------------------------------


def test_the_next_look_is_at_the_first_threshold() -> None:
    assert due_ms(organism(), at()) == NOW_MS + 30 * MINUTE_MS
    assert due_ms(organism(owed_ms=NOW_MS - 5), at()) == NOW_MS - 5 + 30 * MINUTE_MS
    assert due_ms(organism(owed_ms=0), at(progress_required=False)) == NOW_MS + 30 * MINUTE_MS
    assert due_ms(organism(lease_expires_ms=NOW_MS + 7), at()) == NOW_MS + 7
    degraded = organism(state=S.DEGRADED)
    assert due_ms(degraded, at()) == NOW_MS + 60 * MINUTE_MS


def test_an_expired_lease_is_looked_at_when_its_grace_is_over_and_not_before() -> None:
    degraded = organism(state=S.DEGRADED, lease_expires_ms=NOW_MS + 58 * MINUTE_MS)
    assert due_ms(degraded, at(61 * MINUTE_MS)) == NOW_MS + 63 * MINUTE_MS


def test_what_waits_for_a_person_or_is_over_has_no_next_look(healing: Organism) -> None:
    assert due_ms(healing, at()) == healing.fence_ms
    assert due_ms(healing._replace(fenced=True), at()) is None
    assert due_ms(organism(state=S.QUARANTINED), at()) is None
    assert due_ms(organism(state=S.STOPPED), at()) is None
