"""Checking many signatures on all cores, in bounded memory.

Ed25519 verification holds the interpreter's lock, so the work goes to processes, in batches. Never
drops a task: a worker that dies makes the whole check fail.
"""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from typing import NamedTuple

from dragons.core.keys import PublicKey

BATCH = 512
# Enough that a worker has something to do while this process checks a batch itself.
BATCHES_IN_FLIGHT_PER_WORKER = 3
# Below this many signatures a pool costs more than it saves.
POOL_FROM = 4096


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
        self._parts: list[bytes] = []
        self._seen = 0
        self._pool: ProcessPoolExecutor | None = None
        self._in_flight: deque[tuple[list[tuple[int, int, str]], Future[list[int]]]] = deque()

    def add(self, place: tuple[int, int, str], key: bytes, signature: bytes, message: bytes) -> None:
        """Check a signature of the raw `key`, now or soon."""
        self._places.append(place)
        self._parts += (key, signature, message)
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
        places, parts = self._places, self._parts
        self._places, self._parts = [], []
        self._seen += len(places)
        while self._in_flight and self._in_flight[0][1].done():
            self._collect()
        # One process for each core and no more: this one is the last, and checks what the others can't take.
        helpers = self._workers - 1
        busy = len(self._in_flight) >= helpers * BATCHES_IN_FLIGHT_PER_WORKER
        if busy or (self._pool is None and self._seen < POOL_FROM):
            self._report(places, bad_signatures(parts))
            return
        if self._pool is None:
            self._pool = _pool(helpers)
        lengths = array("I", map(len, parts)).tobytes()
        self._in_flight.append((places, self._pool.submit(bad_in_batch, lengths, b"".join(parts))))

    def _collect(self) -> None:
        places, future = self._in_flight.popleft()
        self._report(places, future.result())

    def _report(self, places: list[tuple[int, int, str]], bad: list[int]) -> None:
        for at in bad:
            self._on_bad(Place(*places[at]))


def bad_signatures(parts: Sequence[bytes]) -> list[int]:
    """Which signatures do not hold; `parts` are key, signature and message of each in turn."""
    found = []
    for number, at in enumerate(range(0, len(parts), 3)):
        if not _key(parts[at]).verify(parts[at + 1], parts[at + 2]):
            found.append(number)
    return found


def bad_in_batch(lengths: bytes, data: bytes) -> list[int]:
    """`bad_signatures` of parts that were joined, because two strings travel faster than thousands."""
    parts, begin = [], 0
    for length in array("I", lengths):
        parts.append(data[begin : begin + length])
        begin += length
    return bad_signatures(parts)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Not `fork`: the caller may have threads. The server imports this module once for all workers.
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return ProcessPoolExecutor(workers, mp_context=context)


@lru_cache(maxsize=4096)
def _key(raw: bytes) -> PublicKey:
    return PublicKey(raw)
