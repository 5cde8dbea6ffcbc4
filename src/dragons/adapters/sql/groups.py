"""What waits to be written, and how much of it shares the next commit.

A commit costs about the same for one job as for many. When many callers write at once, those just
answered are about to come again, so a group waits for them while they keep arriving. A lone caller
never waits: nobody else is expected. Very many take turns by halves: while one half is committed,
the other prepares what it writes next.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

from dragons.core.clock import Clock
from dragons.core.errors import StorageError

GROUP_MAX = 512
HALVES_MIN = 32
LINGER_MS_MAX = 10
ARRIVAL_SECONDS = 0.001
QUEUE_MAX = 20_000

Job = TypeVar("Job")


class Groups(Generic[Job]):
    """A queue that many threads fill and one takes groups from."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Guards the rest; notified when `_wanted` jobs wait, or at the end.
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._wanted = 1
        self._closed = False
        # How many wrote at once when the last group was taken.
        self._expected = 0

    def put(self, job: Job) -> None:
        """Add a job to a later group; StorageError when the queue is closed or full."""
        with self._changed:
            if self._closed:
                raise StorageError("store_closed", "The store is closed.")
            if len(self._jobs) >= QUEUE_MAX:
                raise StorageError("store_busy", "Too many writes wait.", fix="Try again in a moment.")
            self._jobs.append(job)
            if len(self._jobs) >= self._wanted:
                self._changed.notify()

    def close(self) -> None:
        """Nothing more comes; what waits is still taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def take(self) -> list[Job]:
        """Wait for the next group; empty when the queue is closed and nothing is left."""
        with self._changed:
            while not (self._jobs or self._closed):
                self._changed.wait()
            wanted, most = self._expected, GROUP_MAX
            if wanted >= HALVES_MIN:
                wanted = most = min(wanted // 2, GROUP_MAX)
            self._linger(wanted)
            return [self._jobs.popleft() for _ in range(min(most, len(self._jobs)))]

    def done(self, count: int) -> None:
        """A group of `count` was answered: they and those who wait are who writes at once."""
        with self._changed:
            self._expected = count + len(self._jobs)

    def _linger(self, wanted: int) -> None:
        # Woken once when all have come, not for each: threads that wake each other cost more than a job.
        self._wanted = wanted
        deadline_ms = self._clock.boot_ms() + LINGER_MS_MAX
        while not self._closed and len(self._jobs) < wanted:
            before = len(self._jobs)
            if self._changed.wait(ARRIVAL_SECONDS):
                continue
            if len(self._jobs) == before or self._clock.boot_ms() >= deadline_ms:
                break
        self._wanted = 1
