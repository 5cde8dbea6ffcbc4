from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from dragons.core.clock import SystemClock
from dragons.core.errors import DragonsError
from dragons.sdk import calls
from dragons.sdk.steps import Steps
from dragons.sdk.transport import Call
from dragons.sdk.upkeep import SEND, Chore, Upkeep
from dragons.sdk.worker import Worker


class Desk:
    """A worker whose chores note that they were done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.upkeep = Upkeep(SystemClock())
        self.fail: Exception | None = None
        self.worker = Worker(self.upkeep, self.send, name="test")

    def send(self, call: Call[Any]) -> None:
        self.done.append(call.path)
        if self.fail is not None:
            raise self.fail

    def add(self, name: str, first_ms: int, every_ms: int) -> Chore:
        def steps() -> Steps[None]:
            yield calls.ping()

        chore = Chore(name, steps, lambda: every_ms)
        self.upkeep.add(chore, first_ms)
        return chore

    def until(self, count: int) -> None:
        end = time.monotonic() + 5
        while len(self.done) < count:
            assert time.monotonic() < end
            time.sleep(0.005)


def test_chores_are_done_until_it_is_stopped() -> None:
    desk = Desk()
    desk.add("a", 0, 5)
    desk.worker.start()
    desk.until(3)
    desk.worker.stop()
    done = len(desk.done)
    time.sleep(0.03)
    assert len(desk.done) == done
    assert "dragons-test" not in [thread.name for thread in threading.enumerate()]


def test_it_wakes_up_to_send() -> None:
    desk = Desk()
    desk.add(SEND, 60_000, 60_000)
    desk.worker.start()
    time.sleep(0.02)
    desk.worker.send_soon()
    desk.until(1)
    desk.worker.stop()


@pytest.mark.parametrize("failure", [DragonsError("no", "no"), ZeroDivisionError("what nobody foresaw")])
def test_a_failing_chore_stops_nothing(failure: Exception) -> None:
    desk = Desk()
    chore = desk.add("a", 0, 5)
    desk.fail = failure
    desk.worker.start()
    desk.until(1)
    desk.fail = None
    desk.until(2)
    desk.worker.stop()
    assert chore.error is None


def test_stopping_what_never_started_is_no_error() -> None:
    Desk().worker.stop()
