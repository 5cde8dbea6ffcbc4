"""Answers from the writer's thread to the event loop, a whole group at a time.

`asyncio.wrap_future` wakes the loop once for every write; a group commit answers hundreds at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Inbox:
    """Belongs to one running event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answers: deque[tuple[Future[Any], asyncio.Future[Any]]] = deque()
        self._woken = False

    async def wait(self, future: Future[T]) -> T:
        """The result of `future`, which another thread resolves."""
        waiting: asyncio.Future[T] = self._loop.create_future()
        future.add_done_callback(lambda done: self._deliver(done, waiting))
        return await waiting

    def _deliver(self, done: Future[Any], waiting: asyncio.Future[Any]) -> None:
        self._answers.append((done, waiting))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        # Cleared first: an answer that comes while this runs wakes the loop again, needed or not.
        self._woken = False
        while self._answers:
            done, waiting = self._answers.popleft()
            if waiting.cancelled():
                continue
            error = done.exception()
            if error is not None:
                waiting.set_exception(error)
            else:
                waiting.set_result(done.result())
