"""Organism states: what people do to them, and that nothing else ends what they ordered."""

from __future__ import annotations

import pytest

from dragons.core.vocabulary import OrganismState
from dragons.liveness.organism import (
    Act,
    Beat,
    EndDispatch,
    Enter,
    Event,
    Hold,
    IllegalMoveError,
    Kill,
    Progressed,
    Renewed,
    Replaced,
    Revoked,
    Start,
    StartFailed,
    Step,
    Trigger,
    Unhold,
    Withdraw,
    step,
)
from tests.support.organisms import (
    CRASH,
    FAR_MS,
    FENCE_MS,
    MINUTE_MS,
    NOW_MS,
    TICK,
    at,
    entered,
    kinds,
    operated,
    organism,
    started,
)

S, T = OrganismState, Trigger


# --- people ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [S.RUNNING, S.DEGRADED, S.AUTOHEALING, S.QUARANTINED])
@pytest.mark.parametrize("supervised", [True, False])
def test_an_operator_stops_whatever_is_not_stopped(state: S, *, supervised: bool) -> None:
    done = step(organism(state=state, supervised=supervised), operated(Act.STOP), at())
    assert entered(done) == [(T.OPERATOR_STOPPED, S.STOPPED)]
    assert kinds(done) == [Enter, Kill, EndDispatch][: 3 if supervised else 2]


@pytest.mark.parametrize("state", [S.RUNNING, S.DEGRADED, S.AUTOHEALING])
def test_an_operator_quarantines_and_releases(state: S) -> None:
    done = step(organism(state=state), operated(Act.QUARANTINE), at())
    assert kinds(done) == [Enter, Withdraw, Kill, Hold]
    assert done.organism.state is S.QUARANTINED
    later = at(MINUTE_MS)
    released = step(done.organism._replace(restarts=(1, 2, 3)), operated(Act.RELEASE), later)
    assert kinds(released) == [Enter, Unhold, Start]
    assert started(released).not_before_ms == later.now_ms
    assert (released.organism.state, released.organism.restarts) == (S.STOPPED, (later.now_ms,))


@pytest.mark.parametrize("state", [S.RUNNING, S.DEGRADED])
def test_a_release_waits_for_the_fence_of_an_instance_that_may_still_act(state: S) -> None:
    isolated = step(organism(state=state), operated(Act.QUARANTINE), at()).organism
    released = step(isolated, operated(Act.RELEASE), at(1))
    assert started(released).not_before_ms == NOW_MS + FENCE_MS
    dead = step(step(isolated, CRASH, at(1)).organism, operated(Act.RELEASE), at(1))
    assert started(dead).not_before_ms == NOW_MS + 1


def test_a_release_after_flapping_waits_for_the_fence_too() -> None:
    flapping = organism(state=S.DEGRADED, restarts=(NOW_MS,) * 3)
    held = step(flapping, TICK, at(60 * MINUTE_MS))
    assert held.organism.state is S.QUARANTINED
    released = step(held.organism, operated(Act.RELEASE), at(60 * MINUTE_MS + 1))
    assert started(released).not_before_ms == NOW_MS + 60 * MINUTE_MS + FENCE_MS


def test_a_release_without_a_dispatch_starts_nothing() -> None:
    held = organism(state=S.QUARANTINED, supervised=False)
    assert kinds(step(held, operated(Act.RELEASE), at())) == [Enter, Unhold]


def test_a_redispatch_waits_for_the_fence_and_never_flaps() -> None:
    done = step(organism(restarts=(NOW_MS,) * 3), operated(Act.REDISPATCH), at())
    assert entered(done) == [(T.REDISPATCHED, S.AUTOHEALING)]
    assert kinds(done) == [Enter, Withdraw, Kill]
    assert kinds(step(done.organism, TICK, at(FENCE_MS))) == [Start]


@pytest.mark.parametrize(
    ("state", "act"),
    [
        *((S.STOPPED, act) for act in Act),
        (S.QUARANTINED, Act.QUARANTINE), (S.QUARANTINED, Act.REDISPATCH),
        (S.AUTOHEALING, Act.REDISPATCH), (S.AUTOHEALING, Act.RELEASE),
        (S.RUNNING, Act.RELEASE), (S.DEGRADED, Act.RELEASE),
    ],
)  # fmt: skip
def test_what_an_operator_cannot_do_is_an_error(state: S, act: Act) -> None:
    with pytest.raises(IllegalMoveError) as caught:
        step(organism(state=state), operated(act), at())
    assert caught.value.state is state


def test_a_redispatch_needs_a_dispatch() -> None:
    with pytest.raises(IllegalMoveError, match="without a dispatch"):
        step(organism(supervised=False), operated(Act.REDISPATCH), at())


@pytest.mark.parametrize("state", [S.RUNNING, S.DEGRADED, S.AUTOHEALING])
def test_a_revocation_ends_instance_and_dispatch(state: S) -> None:
    done = step(organism(state=state), Revoked("dock:x"), at())
    assert entered(done) == [(T.REVOKED, S.STOPPED)]
    assert kinds(done) == [Enter, Kill, EndDispatch]
    assert kinds(step(organism(state=state, dead=True, supervised=False), Revoked("x"), at())) == [Enter]


EVENTS = [TICK, Beat(progress=True), Progressed(), Renewed(FAR_MS), CRASH, Revoked("x"), Replaced(2), StartFailed("x")]  # fmt: skip


@pytest.mark.parametrize("event", EVENTS)
def test_nothing_but_an_operator_ends_a_quarantine(event: Event) -> None:
    held = organism(state=S.QUARANTINED)
    done = step(held, event, at(24 * 60 * MINUTE_MS))
    assert done.commands == ()
    assert done.organism == held._replace(dead=event == CRASH)


@pytest.mark.parametrize("event", EVENTS)
def test_nothing_happens_to_what_is_stopped(event: Event) -> None:
    over = organism(state=S.STOPPED)
    assert step(over, event, at(24 * 60 * MINUTE_MS)) == Step(over)
