"""What holds of `step` and `due_ms` whatever the organism, the policy, the outages and the time are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dragons.core.vocabulary import OrganismState
from dragons.liveness.organism import (
    MOVES,
    Act,
    Beat,
    Ended,
    Enter,
    Event,
    IllegalMoveError,
    Now,
    Operated,
    Organism,
    Progressed,
    Renewed,
    Replaced,
    Revoked,
    StartFailed,
    Step,
    Tick,
    due_ms,
    stall_of,
    step,
)
from dragons.liveness.outages import Outage
from dragons.liveness.policy import LivenessPolicy
from tests.property.builders import MINUTE_MS, NOW_MS

S = OrganismState
LIVE = (S.RUNNING, S.DEGRADED)
RANK = {state: rank for rank, state in enumerate([S.RUNNING, S.DEGRADED, S.AUTOHEALING, S.QUARANTINED])}
RANK[S.STOPPED] = len(RANK)
SPAN_MS = 200 * MINUTE_MS
PAST = st.integers(NOW_MS - SPAN_MS, NOW_MS)
AHEAD = st.integers(NOW_MS - SPAN_MS, NOW_MS + SPAN_MS)
WAITS = st.integers(1, 90 * MINUTE_MS)


def policy_of(
    degrade_ms: int, more_ms: int, grace_ms: int, restarts: int, *, required: bool
) -> LivenessPolicy:
    return LivenessPolicy(
        degrade_after_ms=degrade_ms,
        autoheal_after_ms=degrade_ms + more_ms,
        lease_grace_ms=grace_ms,
        restarts_max=restarts,
        waiting_max_ms=SPAN_MS,
        progress_required=required,
    )


POLICIES = st.just(LivenessPolicy()) | st.builds(
    policy_of, WAITS, WAITS, WAITS, st.integers(0, 3), required=st.booleans()
)
LATELY = st.integers(NOW_MS - 30 * MINUTE_MS, NOW_MS)
SOON = st.integers(NOW_MS, NOW_MS + 60 * MINUTE_MS)
RESTARTS = st.lists(PAST, max_size=4).map(lambda found: tuple(sorted(found)))
FENCES = st.sampled_from([0, NOW_MS - 1, NOW_MS + 6_000])
ANY = st.builds(
    Organism, st.sampled_from(list(S)), PAST, PAST, AHEAD, AHEAD, st.booleans(), RESTARTS, st.booleans(),
    st.booleans(), FENCES,
)  # fmt: skip
HEALTHY = st.builds(
    Organism, st.sampled_from(LIVE), LATELY, LATELY, LATELY | SOON, SOON, st.booleans(), RESTARTS
)
ORGANISMS = ANY | HEALTHY
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.just(Tick()),
    st.builds(Beat, st.booleans(), st.just(0) | AHEAD),
    st.just(Progressed()),
    st.builds(Renewed, AHEAD),
    st.builds(Ended, st.booleans(), st.just("over")),
    st.just(Revoked("dock:x")),
    st.just(Replaced(2)),
    st.just(StartFailed("no program")),
    st.builds(Operated, st.sampled_from(list(Act)), st.just("test")),
)


def outages_of(points: list[int]) -> tuple[Outage, ...]:
    return tuple(pairwise(sorted(points)))[::2]


OUTAGES = st.lists(PAST, max_size=6, unique=True).map(outages_of)


def settled(organism: Organism, now: Now) -> Organism:
    """The organism when time has done all that it can do by now."""
    for _ in range(len(S)):
        done = step(organism, Tick(), now)
        if done.organism == organism:
            return organism
        organism = done.organism
    raise AssertionError(organism)


def moves(done: Step) -> Iterator[Enter]:
    return (one for one in done.commands if isinstance(one, Enter))


@given(ORGANISMS, EVENTS, POLICIES, OUTAGES)
def test_every_step_goes_along_the_table_and_says_so(
    organism: Organism, event: Event, policy: LivenessPolicy, outages: tuple[Outage, ...]
) -> None:
    try:
        done = step(organism, event, Now(NOW_MS, policy, outages))
    except IllegalMoveError:
        assert isinstance(event, Operated)
        return
    state = organism.state
    for move in moves(done):
        assert move.before is state
        assert MOVES[state, move.trigger] is move.after
        assert move.reason
        state = move.after
    assert done.organism.state is state


@given(ORGANISMS, EVENTS, POLICIES)
def test_stopped_is_the_end_and_quarantine_ends_by_a_person(
    organism: Organism, event: Event, policy: LivenessPolicy
) -> None:
    now = Now(NOW_MS, policy)
    stopped, held = organism._replace(state=S.STOPPED), organism._replace(state=S.QUARANTINED)
    if isinstance(event, Operated):
        return
    assert step(stopped, event, now) == Step(stopped)
    assert step(held, event, now)._replace(organism=held) == Step(held)
    assert step(held, event, now).organism.state is S.QUARANTINED


@given(ORGANISMS, POLICIES, OUTAGES, st.lists(st.integers(0, SPAN_MS), max_size=20))
def test_time_alone_never_makes_anything_better(
    organism: Organism, policy: LivenessPolicy, outages: tuple[Outage, ...], waits: list[int]
) -> None:
    now = Now(NOW_MS, policy, outages)
    organism = settled(organism, now)
    for wait_ms in waits:
        now = now._replace(now_ms=now.now_ms + wait_ms)
        after = step(organism, Tick(), now).organism
        assert RANK[after.state] >= RANK[organism.state]
        organism = after


@given(ORGANISMS, POLICIES, OUTAGES, st.lists(st.integers(0, 4 * SPAN_MS), max_size=10))
def test_nothing_happens_before_it_is_due_and_something_is_done_then(
    organism: Organism, policy: LivenessPolicy, outages: tuple[Outage, ...], looks: list[int]
) -> None:
    now = Now(NOW_MS, policy, outages)
    organism = settled(organism, now)
    due = due_ms(organism, now)
    if due is None:
        # Then no time ever changes it.
        for look in looks:
            assert step(organism, Tick(), now._replace(now_ms=NOW_MS + look)) == Step(organism)
        return
    assert due > NOW_MS
    for look in {*(min(NOW_MS + look, due - 1) for look in looks), due - 1}:
        assert step(organism, Tick(), now._replace(now_ms=look)) == Step(organism)
    then = now._replace(now_ms=due)
    done = step(organism, Tick(), then)
    if done == Step(organism):
        # Looked at too early: the next look is later, and no third one is in vain.
        later = due_ms(organism, then)
        assert later is not None
        assert later > due
        for look in {*(min(due + look, later - 1) for look in looks), later - 1}:
            assert step(organism, Tick(), now._replace(now_ms=look)) == Step(organism)
        assert step(organism, Tick(), now._replace(now_ms=later)).commands


@given(ORGANISMS, POLICIES, st.sampled_from(LIVE), st.integers(0, SPAN_MS), st.integers(0, SPAN_MS))
def test_an_outage_is_nobodys_silence(
    organism: Organism, policy: LivenessPolicy, state: S, silent_ms: int, away_ms: int
) -> None:
    left_ms = NOW_MS + silent_ms
    back_ms = left_ms + away_ms
    owed_ms = min(organism.owed_ms, left_ms)
    live = organism._replace(state=state, owed_ms=owed_ms, lease_expires_ms=back_ms + 1, restarts=())
    there, back = Now(left_ms, policy), Now(back_ms, policy, ((left_ms, back_ms),))
    assert stall_of(live, there) == stall_of(live, back)
    assert list(moves(step(live, Tick(), there))) == list(moves(step(live, Tick(), back)))


@given(ORGANISMS, POLICIES, OUTAGES, st.sampled_from(LIVE), st.integers(1, SPAN_MS))
def test_whoever_beats_and_progresses_under_a_lease_runs(
    organism: Organism, policy: LivenessPolicy, outages: tuple[Outage, ...], state: S, left_ms: int
) -> None:
    live = organism._replace(state=state, lease_expires_ms=NOW_MS + left_ms)
    done = step(live, Beat(progress=True), Now(NOW_MS, policy, outages))
    assert done.organism.state is S.RUNNING


@given(ORGANISMS, POLICIES, PAST)
def test_nobody_runs_on_an_expired_lease(organism: Organism, policy: LivenessPolicy, expired_ms: int) -> None:
    expired = organism._replace(lease_expires_ms=expired_ms)
    for event in (Tick(), Beat(progress=True), Progressed()):
        assert step(expired, event, Now(NOW_MS, policy)).organism.state is not S.RUNNING


@given(POLICIES, st.lists(st.tuples(st.integers(0, SPAN_MS), st.booleans(), st.integers(0, 10 * SPAN_MS))))
def test_waiting_is_bounded(policy: LivenessPolicy, beats: list[tuple[int, bool, int]]) -> None:
    now_ms = progress_ms = NOW_MS
    organism = Organism(S.RUNNING, now_ms, now_ms, now_ms, now_ms + 10**12)
    for wait_ms, progress, until_ms in beats:
        now_ms += wait_ms
        progress_ms = now_ms if progress else progress_ms
        organism = step(organism, Beat(progress, now_ms + until_ms), Now(now_ms, policy)).organism
        if organism.state not in LIVE:
            return
        assert organism.owed_ms <= max(progress_ms + policy.waiting_max_ms, now_ms if progress else NOW_MS)
