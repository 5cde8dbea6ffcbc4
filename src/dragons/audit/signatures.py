"""Checking many signatures on all cores, in bounded memory.

Ed25519 verification holds the interpreter's lock, so the work goes to processes, in batches of
plain lists because those pickle fast. Never drops a task: a worker that dies makes the whole check
fail.
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

BATCH = 1024
BATCHES_IN_FLIGHT_PER_WORKER = 3
# Below this many signatures a pool costs more than it saves.
POOL_FROM = 4 * BATCH


class Place(NamedTuple):
    """Whose signature it is: the receipt's index (`at`) and seq, and which of its two."""

    at: int
    seq: int
    what: str


class SignatureChecker:
    """Collects signatures and reports those that do not hold to `on_bad(place)`."""

    def __init__(self, on_bad: Callable[[Place], None], *, workers: int | None = None) -> None:
        self._on_bad = on_bad
        self._workers = workers if workers is not None else (os.cpu_count() or 1)
        self._places: list[tuple[int, int, str]] = []
        self._keys: list[bytes] = []
        self._signatures: list[bytes] = []
        self._messages: list[bytes] = []
        self._seen = 0
        self._pool: ProcessPoolExecutor | None = None
        self._in_flight: deque[tuple[list[tuple[int, int, str]], Future[list[int]]]] = deque()

    def add(self, place: tuple[int, int, str], key: bytes, signature: bytes, message: bytes) -> None:
        """Check a signature of the raw `key`, now or soon."""
        self._places.append(place)
        self._keys.append(key)
        self._signatures.append(signature)
        self._messages.append(message)
        if len(self._places) >= BATCH:
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
        places, batch = self._places, (self._keys, self._signatures, self._messages)
        self._places, self._keys, self._signatures, self._messages = [], [], [], []
        self._seen += len(places)
        if self._workers < 2 or (self._pool is None and self._seen < POOL_FROM):  # noqa: PLR2004 - one worker is no pool
            self._report(places, bad_signatures(*batch))
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._workers, mp_context=get_context("forkserver"))
        self._in_flight.append((places, self._pool.submit(bad_signatures, *batch)))
        while len(self._in_flight) > self._workers * BATCHES_IN_FLIGHT_PER_WORKER:
            self._collect()

    def _collect(self) -> None:
        places, future = self._in_flight.popleft()
        self._report(places, future.result())

    def _report(self, places: list[tuple[int, int, str]], bad: list[int]) -> None:
        for at in bad:
            self._on_bad(Place(*places[at]))


def bad_signatures(keys: list[bytes], signatures: list[bytes], messages: list[bytes]) -> list[int]:
    """Where in the three equally long lists a signature does not hold."""
    found = []
    for at, raw in enumerate(keys):
        if not _key(raw).verify(signatures[at], messages[at]):
            found.append(at)
    return found


@lru_cache(maxsize=4096)
def _key(raw: bytes) -> PublicKey:
    return PublicKey(raw)
