"""Organism states: the table, and the state that each set of facts implies."""

from __future__ import annotations

from typing import Any

import pytest

from dragons.core.vocabulary import OrganismState
from dragons.liveness.organism import TRANSITIONS, LivenessFacts, LivenessPolicy, derive, may_follow
from tests.property.builders import MINUTE_MS, NOW_MS

S = OrganismState
POLICY = LivenessPolicy()
FACTS = LivenessFacts(
    state=S.RUNNING, last_signal_ms=NOW_MS, lease_expires_ms=NOW_MS + 100_000 * MINUTE_MS, released=False
)
ARROWS = {
    (S.RUNNING, S.DEGRADED), (S.RUNNING, S.QUARANTINED), (S.RUNNING, S.STOPPED),
    (S.DEGRADED, S.RUNNING), (S.DEGRADED, S.AUTOHEALING), (S.DEGRADED, S.QUARANTINED), (S.DEGRADED, S.STOPPED),
    (S.AUTOHEALING, S.RUNNING), (S.AUTOHEALING, S.QUARANTINED), (S.AUTOHEALING, S.STOPPED),
    (S.QUARANTINED, S.RUNNING), (S.QUARANTINED, S.STOPPED),
}  # fmt: skip


def state(after_ms: int = 0, **changes: Any) -> OrganismState:
    derived = derive(FACTS._replace(**changes), POLICY, NOW_MS + after_ms)
    assert derived.reason
    return derived.state


@pytest.mark.parametrize("before", list(S))
@pytest.mark.parametrize("after", list(S))
def test_only_the_arrows_of_the_table_are_allowed(before: OrganismState, after: OrganismState) -> None:
    assert may_follow(before, after) is ((before, after) in ARROWS)


def test_the_table_names_every_state_and_nothing_leaves_stopped() -> None:
    assert set(TRANSITIONS) == set(S)
    assert TRANSITIONS[S.STOPPED] == frozenset()


def test_the_defaults_are_30_and_60_minutes_of_silence_and_5_of_grace() -> None:
    assert LivenessPolicy(30 * MINUTE_MS, 60 * MINUTE_MS, 5 * MINUTE_MS) == POLICY


def test_silence_degrades_after_the_threshold() -> None:
    assert state(30 * MINUTE_MS - 1) is S.RUNNING
    assert state(30 * MINUTE_MS) is S.DEGRADED


def test_longer_silence_calls_for_healing_but_only_from_degraded() -> None:
    assert state(60 * MINUTE_MS - 1, state=S.DEGRADED) is S.DEGRADED
    assert state(60 * MINUTE_MS, state=S.DEGRADED) is S.AUTOHEALING
    assert state(60 * MINUTE_MS, state=S.RUNNING) is S.DEGRADED


def test_a_signal_brings_a_degraded_instance_back() -> None:
    assert state(60 * MINUTE_MS, state=S.DEGRADED, last_signal_ms=NOW_MS + 59 * MINUTE_MS) is S.RUNNING


@pytest.mark.parametrize("before", [S.RUNNING, S.DEGRADED])
def test_an_expired_lease_degrades_at_once_and_stops_after_the_grace(before: OrganismState) -> None:
    expired = {"state": before, "lease_expires_ms": NOW_MS + 1_000}
    assert state(999, **expired) is S.RUNNING
    assert state(1_000, **expired) is S.DEGRADED
    assert state(1_000 + 5 * MINUTE_MS - 1, **expired) is S.DEGRADED
    assert state(1_000 + 5 * MINUTE_MS, **expired) is S.STOPPED


def test_a_current_heartbeat_does_not_help_an_expired_lease() -> None:
    assert state(10_000, last_signal_ms=NOW_MS + 10_000, lease_expires_ms=NOW_MS + 10_000) is S.DEGRADED


def test_a_lease_renewed_within_the_grace_brings_the_instance_back() -> None:
    assert state(state=S.DEGRADED, lease_expires_ms=NOW_MS + 1) is S.RUNNING


@pytest.mark.parametrize("before", [S.RUNNING, S.DEGRADED])
def test_a_lease_that_was_given_back_stops_the_instance(before: OrganismState) -> None:
    assert state(state=before, released=True) is S.STOPPED


@pytest.mark.parametrize("held", [S.STOPPED, S.QUARANTINED, S.AUTOHEALING])
@pytest.mark.parametrize("changes", [{}, {"released": True}, {"lease_expires_ms": 0}, {"last_signal_ms": 0}])
def test_a_held_state_stays_whatever_the_facts(held: OrganismState, changes: dict[str, Any]) -> None:
    assert state(state=held, **changes) is held


def test_the_thresholds_are_the_policys() -> None:
    policy = LivenessPolicy(degrade_after_ms=10, autoheal_after_ms=20, lease_grace_ms=0)
    assert derive(FACTS, policy, NOW_MS + 10).state is S.DEGRADED
    assert derive(FACTS._replace(state=S.DEGRADED), policy, NOW_MS + 20).state is S.AUTOHEALING
    assert derive(FACTS._replace(lease_expires_ms=NOW_MS), policy, NOW_MS).state is S.STOPPED


def test_the_reason_says_how_long_the_silence_was() -> None:
    assert "45 min" in derive(FACTS, POLICY, NOW_MS + 45 * MINUTE_MS).reason
