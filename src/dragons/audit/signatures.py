"""Checking many signatures on all cores, in bounded memory.

Ed25519 verification holds the interpreter's lock, so the work goes to processes, in batches. Never
drops a task: a worker that dies makes the whole check fail.
"""

from __future__ import annotations

import fcntl
import os
import signal
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import accumulate, pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import NamedTuple

from dragons.core.errors import StorageError
from dragons.core.keys import PublicKey

BATCH = 256
# Enough that a worker has something to do while this process checks a batch itself.
BATCHES_IN_FLIGHT_PER_WORKER = 4
# Below this many signatures workers cost more than they save.
POOL_FROM = 4096
# Room for the batches in flight: with the usual 64 KiB, reader and writer wake each other ten times a batch.
PIPE_BYTES = 1 << 20
_LENGTH = array("I").itemsize


class Place(NamedTuple):
    """Whose signature it is: the receipt's index (`at`) and seq, and which of its two."""

    at: int
    seq: int
    what: str


class SignatureChecker:
    """Collects signatures and reports those that do not hold to `on_bad(place)`."""

    def __init__(self, on_bad: Callable[[Place], None], *, workers: int | None = None) -> None:
        self._on_bad = on_bad
        # One process for each core and no more: this one is the last, and checks what the others can't take.
        self._helpers = (workers if workers is not None else (os.cpu_count() or 1)) - 1
        self._workers: list[_Worker] = []
        self._places: list[tuple[int, int, str]] = []
        self._parts: list[bytes] = []
        self._seen = 0

    def add(self, place: tuple[int, int, str], key: bytes, signature: bytes, message: bytes) -> None:
        """Check a signature of the raw `key`, now or soon."""
        self._places.append(place)
        self._parts += (key, signature, message)
        if len(self._places) >= BATCH:
            self._flush()

    def finish(self) -> None:
        """Check what is left and wait for all answers."""
        self._flush()
        for worker in self._workers:
            while worker.in_flight:
                self._report(*worker.answer())
        self.close()

    def close(self) -> None:
        """Stop the workers."""
        for worker in self._workers:
            worker.stop()
        self._workers = []

    def _flush(self) -> None:
        places, parts = self._places, self._parts
        self._places, self._parts = [], []
        self._seen += len(places)
        if not self._workers and self._seen >= POOL_FROM:
            self._workers = [_Worker() for _ in range(self._helpers)]
        for worker in self._workers:
            while worker.has_answer():
                self._report(*worker.answer())
        free = min(self._workers, key=lambda worker: len(worker.in_flight), default=None)
        if free is None or len(free.in_flight) >= BATCHES_IN_FLIGHT_PER_WORKER:
            self._report(places, bad_signatures(parts))
        else:
            free.send(places, parts)

    def _report(self, places: list[tuple[int, int, str]], bad: Sequence[int]) -> None:
        for at in bad:
            self._on_bad(Place(*places[at]))


class _Worker:
    """Another process that checks batches in the order in which they were sent; `in_flight` are their places."""

    def __init__(self) -> None:
        # Not `fork`: the caller may have threads. The server imports this module once for all workers.
        context = get_context("forkserver")
        context.set_forkserver_preload([__name__])
        batches, self._batches = context.Pipe(duplex=False)
        self._answers, answers = context.Pipe(duplex=False)
        # Only Linux has this, up to a limit of the system; a smaller pipe is only slower.
        with suppress(OSError, AttributeError):
            fcntl.fcntl(self._batches.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._process = context.Process(target=serve, args=(batches, answers), daemon=True)
        self._process.start()
        batches.close()
        answers.close()
        self.in_flight: deque[list[tuple[int, int, str]]] = deque()

    def send(self, places: list[tuple[int, int, str]], parts: Sequence[bytes]) -> None:
        try:
            self._batches.send_bytes(frame_of(parts))
        except OSError as error:
            raise _ended() from error
        self.in_flight.append(places)

    def has_answer(self) -> bool:
        return bool(self.in_flight) and self._answers.poll()

    def answer(self) -> tuple[list[tuple[int, int, str]], Sequence[int]]:
        """The places of the oldest batch and which of them are bad."""
        try:
            bad = array("I", self._answers.recv_bytes())
        except (EOFError, OSError) as error:
            raise _ended() from error
        return self.in_flight.popleft(), bad

    def stop(self) -> None:
        self._batches.close()
        self._process.terminate()
        self._process.join()
        self._process.close()
        self._answers.close()


def serve(batches: Connection, answers: Connection) -> None:
    """What a worker does until nobody sends batches any more."""
    # Ctrl-C is for the process that started this one; it ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError):
        while True:
            bad = bad_signatures(parts_of(batches.recv_bytes()))
            answers.send_bytes(array("I", bad).tobytes())


def bad_signatures(parts: Sequence[bytes]) -> list[int]:
    """Which signatures do not hold; `parts` are key, signature and message of each in turn."""
    found = []
    for number, at in enumerate(range(0, len(parts), 3)):
        if not _key(parts[at]).verify(parts[at + 1], parts[at + 2]):
            found.append(number)
    return found


def frame_of(parts: Sequence[bytes]) -> bytes:
    """The parts as one string, because one travels faster than thousands: count, lengths, then all of them."""
    lengths = array("I", (len(parts), *map(len, parts)))
    return b"".join((lengths.tobytes(), *parts))


def parts_of(frame: bytes) -> list[bytes]:
    """The parts that `frame_of` joined."""
    begin = _LENGTH * (1 + array("I", frame[:_LENGTH])[0])
    lengths = array("I", frame[_LENGTH:begin])
    return [frame[start:end] for start, end in pairwise(accumulate(lengths, initial=begin))]


def _ended() -> StorageError:
    return StorageError(
        "checker_ended",
        "A process that checks signatures ended before it had answered, so nothing was verified.",
        fix="Verify again; with `--workers 1` no other process is needed.",
    )


@lru_cache(maxsize=4096)
def _key(raw: bytes) -> PublicKey:
    return PublicKey(raw)
