from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.core.canonical import decode, encode
from dragons.core.errors import InvalidInputError
from dragons.liveness.policy import (
    EVERY_AGENT,
    LivenessPolicy,
    Policy,
    backoff_ms,
    check_policy,
    thresholds,
)
from tests.support.expect import fails

POLICY = Policy(
    tenant_id="tnt_" + "0" * 32,
    agent="reconciler",
    version=3,
    degrade_after_seconds=60,
    autoheal_after_seconds=120,
    lease_grace_seconds=30,
    heal_timeout_seconds=40,
    waiting_max_seconds=50,
    restarts_max=2,
    restart_window_seconds=600,
    backoff_first_seconds=5,
    backoff_longest_seconds=100,
    progress_required=True,
    progress_sources=["receipts", "output"],
    published_at="2026-11-20T08:00:00.000Z",
)


def changed(**changes: object) -> Policy:
    return msgspec.structs.replace(POLICY, **changes)


def test_a_policy_is_one_form() -> None:
    for one in (POLICY, changed(agent=EVERY_AGENT), changed(restarts_max=0, progress_sources=["a" * 32])):
        assert decode(Policy, encode(one)) == one


@pytest.mark.parametrize(
    "changes",
    [
        {"agent": "Reconciler"},
        {"agent": "**"},
        {"agent": "a\n"},
        {"version": 0},
        {"degrade_after_seconds": 0},
        {"autoheal_after_seconds": 30 * 24 * 3600 + 1},
        {"restarts_max": -1},
        {"restarts_max": 1_001},
        {"progress_sources": ["Receipts"]},
        {"progress_sources": ["receipts\n"]},
        {"progress_sources": ["a"] * 17},
        {"published_at": "yesterday"},
    ],
)
def test_a_policy_outside_its_bounds_is_none(changes: dict[str, object]) -> None:
    with fails(InvalidInputError, "document_malformed"):
        decode(Policy, encode(changed(**changes)))


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"autoheal_after_seconds": 60}, "autoheal_after_seconds"),
        ({"autoheal_after_seconds": 59}, "autoheal_after_seconds"),
        ({"backoff_longest_seconds": 4}, "backoff_longest_seconds"),
        ({"progress_sources": []}, "no source"),
        ({"progress_sources": ["receipts", "claim"]}, "claim"),
        ({"progress_sources": ["claim"], "progress_required": False}, "claim"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(changes: dict[str, object], wrong: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_policy(changed(**changes))
    assert caught.value.code == "policy_invalid"
    assert wrong in caught.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"autoheal_after_seconds": 61},
        {"backoff_longest_seconds": 5},
        {"progress_sources": [], "progress_required": False},
    ],
)
def test_a_policy_that_holds_is_itself(changes: dict[str, object]) -> None:
    one = changed(**changes)
    assert check_policy(one) is one


def test_decisions_use_milliseconds() -> None:
    assert thresholds(POLICY) == LivenessPolicy(
        version=3,
        degrade_after_ms=60_000,
        autoheal_after_ms=120_000,
        lease_grace_ms=30_000,
        heal_timeout_ms=40_000,
        waiting_max_ms=50_000,
        restarts_max=2,
        restart_window_ms=600_000,
        backoff_first_ms=5_000,
        backoff_longest_ms=100_000,
        progress_required=True,
        progress_sources=frozenset({"receipts", "output"}),
    )
    # How long an unreachable instance may still act is a property of the product, not of a policy.
    assert thresholds(POLICY).fence_ms == LivenessPolicy().fence_ms


def test_the_defaults_don_t_contradict_themselves() -> None:
    policy = LivenessPolicy()
    assert policy.version == 0
    assert policy.degrade_after_ms < policy.autoheal_after_ms
    assert policy.backoff_first_ms <= policy.backoff_longest_ms
    assert policy.progress_sources
    assert "claim" not in policy.progress_sources


def test_the_first_restart_is_at_once_and_later_ones_wait_twice_as_long() -> None:
    policy = thresholds(POLICY)
    pauses = [backoff_ms(policy, restarts) for restarts in range(8)]
    assert pauses == [0, 5_000, 10_000, 20_000, 40_000, 80_000, 100_000, 100_000]


@given(st.integers(0, 10_000), st.integers(1, 10**9), st.integers(1, 10**10))
def test_a_pause_never_shrinks_and_never_exceeds_the_longest(
    restarts: int, first_ms: int, more_ms: int
) -> None:
    policy = LivenessPolicy(backoff_first_ms=first_ms, backoff_longest_ms=first_ms + more_ms)
    pause_ms = backoff_ms(policy, restarts)
    assert pause_ms <= backoff_ms(policy, restarts + 1) <= policy.backoff_longest_ms
    assert (pause_ms == 0) == (restarts == 0)
