from __future__ import annotations

import pytest

from dragons.core.clock import ManualClock
from dragons.core.errors import DragonsError, ForbiddenError
from dragons.core.vocabulary import Reason
from dragons.sdk.instance import Instance
from dragons.sdk.localstore import LocalStore
from dragons.sdk.steps import Steps
from dragons.sdk.upkeep import (
    BEAT,
    REFRESH,
    RENEW,
    RETRY_FIRST_MS,
    SEND,
    VIEW_RETRY_LONGEST_MS,
    WATCH,
    Chore,
    Upkeep,
    upkeep_of,
)
from tests.unit.sdk.kit import Plane


def nothing() -> Steps[None]:
    yield from ()


@pytest.fixture
def upkeep(clock: ManualClock) -> Upkeep:
    made = Upkeep(clock)
    made.add(Chore("a", nothing, lambda: 100), 10)
    made.add(Chore("b", nothing, lambda: 50, retry_longest_ms=400), 20)
    return made


def test_chores_are_done_when_they_are_due(upkeep: Upkeep, clock: ManualClock) -> None:
    assert upkeep.due() is None
    assert upkeep.wait_s() == 0.01
    clock.advance(25)
    first = upkeep.due()
    assert first is not None
    assert (first.name, upkeep.wait_s()) == ("a", 0)
    upkeep.done(first, None)
    second = upkeep.due()
    assert second is not None
    assert second.name == "b"
    upkeep.done(second, None)
    assert upkeep.due() is None
    assert upkeep.wait_s() == 0.05
    assert Upkeep(clock).wait_s() > 0


def test_a_failure_is_repeated_soon_and_never_too_often(upkeep: Upkeep, clock: ManualClock) -> None:
    chore = upkeep.chores[1]
    waits = []
    for _ in range(6):
        upkeep.done(chore, DragonsError("no", "no"))
        waits.append(chore.due_ms - clock.boot_ms())
    assert RETRY_FIRST_MS * 0.8 <= waits[0] <= RETRY_FIRST_MS * 1.2
    assert all(400 * 0.8 <= wait <= 400 * 1.2 for wait in waits[1:])
    assert chore.error is not None
    upkeep.done(chore, None)
    assert (chore.failures, chore.error, chore.due_ms - clock.boot_ms()) == (0, None, 50)


def test_sending_is_hastened_unless_it_just_failed(upkeep: Upkeep) -> None:
    upkeep.hasten("b")
    due = upkeep.due()
    assert due is not None
    upkeep.done(due, DragonsError("no", "no"))
    upkeep.hasten("b")
    assert upkeep.due() is None


def test_what_is_wanted_while_it_is_being_done_is_done_again(upkeep: Upkeep) -> None:
    upkeep.hasten("b")
    chore = upkeep.due()
    assert chore is not None
    upkeep.hasten("b")
    upkeep.done(chore, None)
    assert upkeep.due() is chore
    upkeep.done(chore, None)
    assert upkeep.due() is None


def test_the_one_that_keeps_the_lease_does_everything(
    plane: Plane, store: LocalStore, clock: ManualClock
) -> None:
    kept = upkeep_of(plane.instance(store))
    assert {chore.name for chore in kept.chores} == {REFRESH, WATCH, SEND, RENEW, BEAT}
    attached = upkeep_of(plane.instance(store, keeps=False))
    assert {chore.name for chore in attached.chores} == {REFRESH, WATCH, SEND}
    silent = upkeep_of(plane.instance(store, keeps=False), sends=False)
    assert {chore.name for chore in silent.chores} == {REFRESH, WATCH}
    by_name = {chore.name: chore for chore in kept.chores}
    assert by_name[BEAT].due_ms == clock.boot_ms()
    assert 360_000 <= by_name[RENEW].due_ms - clock.boot_ms() <= 540_000
    assert by_name[REFRESH].retry_longest_ms == VIEW_RETRY_LONGEST_MS


def test_a_lease_that_is_cut_short_is_not_renewed_without_pause(
    instance: Instance, clock: ManualClock
) -> None:
    renewal = next(chore for chore in upkeep_of(instance).chores if chore.name == RENEW)
    clock.advance(890_000)
    assert renewal.delay_ms() == RETRY_FIRST_MS


def test_a_final_failure_ends_a_chore_and_no_other(upkeep: Upkeep, clock: ManualClock) -> None:
    chore, other = upkeep.chores
    chore.ends = lambda error: error.code == "final"
    upkeep.done(chore, DragonsError("passing", ""))
    assert upkeep.chores == [chore, other]
    upkeep.done(chore, DragonsError("final", ""))
    assert upkeep.chores == [other]
    upkeep.done(other, DragonsError("final", ""))
    assert upkeep.chores == [other]


def test_a_lease_is_renewed_until_the_answer_is_final(
    plane: Plane, instance: Instance, clock: ManualClock
) -> None:
    upkeep = upkeep_of(instance)
    (chore,) = (one for one in upkeep.chores if one.name == RENEW)
    plane.away = True
    clock.advance(3_600_000)
    for _ in range(20):
        with pytest.raises(DragonsError) as caught:
            plane.run(chore.steps())
        upkeep.done(chore, caught.value)
        assert chore in upkeep.chores
        clock.advance(5_000)
    upkeep.done(chore, ForbiddenError(Reason.LEASE_EXPIRED, ""))
    assert chore not in upkeep.chores
