from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from dragons.adapters.sql import groups
from dragons.adapters.sql.groups import ARRIVAL_SECONDS, GROUP_MAX, HALVES_MIN, LINGER_MS_MAX, Groups
from dragons.core.clock import ManualClock
from dragons.core.errors import StorageError
from tests.support.expect import fails


class Arrivals:
    """Stands for the condition: each wait lets a millisecond pass, in which `arrive` may put jobs."""

    def __init__(self, clock: ManualClock, arrive: Callable[[], bool]) -> None:
        self.clock = clock
        self.arrive = arrive
        self.waited = 0
        self.notified = 0

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def notify(self) -> None:
        self.notified += 1

    def wait(self, timeout: float) -> bool:
        assert timeout == ARRIVAL_SECONDS
        self.waited += 1
        self.clock.advance(1)
        return self.arrive()


def taken(queued: int, expected: int, each_ms: int = 0) -> tuple[list[int], int, int]:
    """The group of a queue with `queued` jobs to which `each_ms` come in every millisecond.

    Also how often it was waited, and how often the taker was woken.
    """
    clock = ManualClock()
    queue: Groups[int] = Groups(clock)

    def arrive() -> bool:
        before = arrivals.notified
        for _ in range(each_ms):
            queue.put(-1)
        return arrivals.notified > before

    arrivals = Arrivals(clock, arrive)
    queue._changed = arrivals  # type: ignore[assignment]
    for number in range(queued):
        queue.put(number)
    queue.done(expected - queued)
    arrivals.notified = 0
    return queue.take(), arrivals.waited, arrivals.notified


@pytest.mark.parametrize("expected", [1, 2, 5])
def test_who_is_all_there_does_not_wait(expected: int) -> None:
    assert taken(expected, expected) == (list(range(expected)), 0, 0)


def test_a_lone_caller_does_not_wait() -> None:
    assert taken(1, 0) == ([0], 0, 0)


def test_a_group_waits_for_those_who_were_there_before() -> None:
    found, waited, woken = taken(1, 6, each_ms=1)
    assert (len(found), waited) == (6, 5)
    assert woken == 1


def test_a_group_goes_when_nobody_comes_any_more() -> None:
    assert taken(1, 6) == ([0], 1, 0)


def test_a_group_does_not_wait_for_ever() -> None:
    found, waited, woken = taken(1, HALVES_MIN - 1, each_ms=1)
    assert (len(found), waited, woken) == (1 + LINGER_MS_MAX, LINGER_MS_MAX, 0)


def test_very_many_take_turns_by_halves() -> None:
    assert len(taken(HALVES_MIN - 1, HALVES_MIN - 1)[0]) == HALVES_MIN - 1
    assert len(taken(HALVES_MIN, HALVES_MIN)[0]) == HALVES_MIN // 2
    assert len(taken(64, 64)[0]) == 32


def test_a_group_has_a_largest_size() -> None:
    assert len(taken(GROUP_MAX + 50, 0)[0]) == GROUP_MAX
    assert len(taken(3 * GROUP_MAX, 3 * GROUP_MAX)[0]) == GROUP_MAX


def test_what_is_left_comes_next_in_order() -> None:
    queue: Groups[int] = Groups(ManualClock())
    for number in range(GROUP_MAX + 3):
        queue.put(number)
    assert queue.take() == list(range(GROUP_MAX))
    assert queue.take() == list(range(GROUP_MAX, GROUP_MAX + 3))


def test_a_full_queue_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "QUEUE_MAX", 2)
    queue: Groups[int] = Groups(ManualClock())
    queue.put(1)
    queue.put(2)
    with fails(StorageError, "store_busy"):
        queue.put(3)
    assert queue.take() == [1, 2]


def test_after_the_end_what_waits_is_taken_and_nothing_is_added() -> None:
    queue: Groups[int] = Groups(ManualClock())
    queue.put(1)
    queue.close()
    with fails(StorageError, "store_closed"):
        queue.put(2)
    assert [queue.take(), queue.take()] == [[1], []]


def test_the_end_wakes_who_waits_for_a_job() -> None:
    queue: Groups[int] = Groups(ManualClock())
    found: list[list[int]] = []
    taker = threading.Thread(target=lambda: found.append(queue.take()))
    taker.start()
    queue.close()
    taker.join(30)
    assert found == [[]]
