"""Checking many signatures on all cores, in order of arrival and in bounded memory.

Ed25519 verification holds the interpreter's lock, so the work goes to processes. Never drops a
task: a worker that dies makes the whole check fail.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from typing import NamedTuple

from dragons.core.keys import PublicKey

BATCH = 512
BATCHES_IN_FLIGHT_PER_WORKER = 4
# Below this many signatures a pool costs more than it saves.
_POOL_FROM = 2_000


class Task(NamedTuple):
    """One signature to check; `at` and `what` say whose it is when it does not hold."""

    at: int
    what: str
    key: bytes
    signature: bytes
    message: bytes


class SignatureChecker:
    """Collects tasks and reports those whose signature does not hold to `on_bad(index, what)`."""

    def __init__(self, on_bad: Callable[[int, str], None], *, workers: int | None = None) -> None:
        self._on_bad = on_bad
        self._workers = workers if workers is not None else (os.cpu_count() or 1)
        self._batch: list[Task] = []
        self._seen = 0
        self._pool: ProcessPoolExecutor | None = None
        self._in_flight: deque[Future[list[tuple[int, str]]]] = deque()

    def add(self, task: Task) -> None:
        """Check `task`, now or soon."""
        self._batch.append(task)
        if len(self._batch) >= BATCH:
            self._flush()

    def finish(self) -> None:
        """Check what is left and wait for all answers."""
        self._flush()
        while self._in_flight:
            self._collect()
        self.close()

    def close(self) -> None:
        """Stop the workers."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        self._seen += len(batch)
        if self._workers < 2 or (self._pool is None and self._seen < _POOL_FROM):  # noqa: PLR2004 - one worker is no pool
            self._report(bad_signatures(batch))
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._workers, mp_context=get_context("forkserver"))
        self._in_flight.append(self._pool.submit(bad_signatures, batch))
        while len(self._in_flight) > self._workers * BATCHES_IN_FLIGHT_PER_WORKER:
            self._collect()

    def _collect(self) -> None:
        self._report(self._in_flight.popleft().result())

    def _report(self, bad: list[tuple[int, str]]) -> None:
        for index, what in bad:
            self._on_bad(index, what)


def bad_signatures(batch: list[Task]) -> list[tuple[int, str]]:
    """`(index, what)` of the tasks whose signature does not hold."""
    return [
        (index, what)
        for index, what, key, signature, message in batch
        if not _key(key).verify(signature, message)
    ]


@lru_cache(maxsize=4096)
def _key(raw: bytes) -> PublicKey:
    return PublicKey(raw)
