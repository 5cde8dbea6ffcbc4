"""Organism states move only along the table, through any run of time and facts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragons.core.vocabulary import OrganismState
from dragons.liveness.mtboi import WINDOW_MS, mtboi_seconds
from dragons.liveness.organism import LivenessFacts, LivenessPolicy, derive, may_follow
from tests.property.builders import MINUTE_MS, NOW_MS

S = OrganismState
HELD = {S.STOPPED, S.QUARANTINED, S.AUTOHEALING}
STATES = st.sampled_from(list(S))
POLICIES = st.just(LivenessPolicy()) | st.builds(
    LivenessPolicy, st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**6)
)
MOMENTS = st.integers(NOW_MS - 120 * MINUTE_MS, NOW_MS + 120 * MINUTE_MS)
FACTS = st.builds(LivenessFacts, STATES, MOMENTS, MOMENTS, st.booleans())
STEPS = st.lists(
    st.tuples(st.integers(0, 90 * MINUTE_MS), st.sampled_from(["", "", "", "signal", "renew", "release"])),
    max_size=20,
)


@given(FACTS, POLICIES, MOMENTS)
def test_a_derived_state_is_the_same_or_follows_in_the_table(
    facts: LivenessFacts, policy: LivenessPolicy, now_ms: int
) -> None:
    after = derive(facts, policy, now_ms).state
    assert after is facts.state or may_follow(facts.state, after)


@given(STATES, POLICIES, STEPS)
def test_no_run_of_time_and_facts_leaves_the_table(
    state: OrganismState, policy: LivenessPolicy, steps: list[tuple[int, str]]
) -> None:
    now_ms = NOW_MS
    facts = LivenessFacts(state, now_ms, now_ms + 15 * MINUTE_MS, released=False)
    for passed_ms, event in steps:
        now_ms += passed_ms
        if event == "signal":
            facts = facts._replace(last_signal_ms=now_ms)
        elif event == "renew":
            facts = facts._replace(lease_expires_ms=now_ms + 15 * MINUTE_MS)
        elif event == "release":
            facts = facts._replace(released=True)
        after = derive(facts, policy, now_ms).state
        assert after is facts.state or may_follow(facts.state, after)
        assert facts.state not in HELD or after is facts.state
        facts = facts._replace(state=after)


@given(FACTS, POLICIES, MOMENTS)
def test_nobody_runs_on_an_expired_or_returned_lease(
    facts: LivenessFacts, policy: LivenessPolicy, now_ms: int
) -> None:
    if facts.released or now_ms >= facts.lease_expires_ms:
        assert derive(facts, policy, now_ms).state is not S.RUNNING or facts.state in HELD


@given(FACTS, POLICIES, MOMENTS)
def test_a_derived_state_settles(facts: LivenessFacts, policy: LivenessPolicy, now_ms: int) -> None:
    once = derive(facts, policy, now_ms).state
    twice = derive(facts._replace(state=once), policy, now_ms).state
    assert derive(facts._replace(state=twice), policy, now_ms).state is twice


@given(st.sampled_from([S.RUNNING, S.DEGRADED]), POLICIES, st.integers(0, 10 * 365 * 24 * 60))
def test_an_instance_that_never_comes_back_is_stopped(
    state: OrganismState, policy: LivenessPolicy, minutes: int
) -> None:
    facts = LivenessFacts(state, NOW_MS, NOW_MS, released=False)
    end_ms = NOW_MS + policy.lease_grace_ms + minutes * MINUTE_MS
    assert derive(facts, policy, end_ms).state is S.STOPPED


SPANS = st.lists(
    st.tuples(st.integers(NOW_MS - 2 * WINDOW_MS, NOW_MS + WINDOW_MS), st.integers(0, WINDOW_MS)), max_size=6
).map(lambda found: [(begin, begin + length) for begin, length in found])
COUNTS = st.integers(0, 50)


@given(SPANS, COUNTS)
def test_mtboi_lies_between_nothing_and_the_running_time(
    running: list[tuple[int, int]], interventions: int
) -> None:
    found = mtboi_seconds(running, interventions, NOW_MS)
    assert 0 <= found <= sum(end - begin for begin, end in running) // 1000
    assert found <= len(running) * WINDOW_MS // 1000


@given(SPANS, COUNTS)
def test_another_intervention_never_raises_mtboi(running: list[tuple[int, int]], interventions: int) -> None:
    assert mtboi_seconds(running, interventions + 1, NOW_MS) <= mtboi_seconds(running, interventions, NOW_MS)


@given(SPANS, COUNTS, st.tuples(st.integers(NOW_MS - WINDOW_MS, NOW_MS), st.integers(0, WINDOW_MS)))
def test_more_running_time_never_lowers_mtboi(
    running: list[tuple[int, int]], interventions: int, span: tuple[int, int]
) -> None:
    more = [*running, (span[0], span[0] + span[1])]
    assert mtboi_seconds(more, interventions, NOW_MS) >= mtboi_seconds(running, interventions, NOW_MS)


@given(SPANS, st.integers(1, 50))
def test_mtboi_times_interventions_is_the_running_time_rounded_down(
    running: list[tuple[int, int]], interventions: int
) -> None:
    start = NOW_MS - WINDOW_MS
    whole_ms = sum(max(0, min(end, NOW_MS) - max(begin, start)) for begin, end in running)
    found = mtboi_seconds(running, interventions, NOW_MS)
    assert found * interventions * 1000 <= whole_ms < (found + 1) * interventions * 1000
