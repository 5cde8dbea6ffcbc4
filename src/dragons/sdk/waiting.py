"""Declared waiting: an instance that waits for a person or for a time says so, and is not taken for stalled.

A program under `dragons run` sends no heartbeats of its own: it leaves a small file beside the launcher's
attachment, one for each process, and the launcher's heartbeats say what stands there. Decides nothing:
how long a waiting counts is the policy's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Lock

import msgspec

from dragons.core.clock import format_time, parse_time
from dragons.core.errors import DragonsError, InvalidInputError
from dragons.liveness.heartbeat import Waiting
from dragons.sdk.home import write_secret

REASONS = ("approval", "input", "schedule")
UNTIL_MS_DEFAULT = 3600 * 1000
SUFFIX = ".waiting"
_FILES_MAX = 64
_FILE_BYTES_MAX = 1024


def waiting_of(reason: str, until_ms: int, now_ms: int) -> Waiting:
    """The declaration; InvalidInputError when it is none. Times are the control plane's."""
    if reason not in REASONS:
        raise InvalidInputError(
            "waiting_malformed",
            f"{reason!r} is nothing to wait for.",
            fix=f"Name one of: {', '.join(REASONS)}.",
        )
    try:
        until = format_time(until_ms)
    except ValueError as error:
        raise InvalidInputError("waiting_malformed", f"The waiting's end is no time: {error}.") from error
    if until_ms <= now_ms:
        raise InvalidInputError(
            "waiting_over", f"The waiting would have ended at {until}.", fix="Name a time that lies ahead."
        )
    return Waiting(reason=reason, until=until)


class Waits:
    """What one process waits for now; several of its threads may. `announce` hears of every change."""

    def __init__(self, announce: Callable[[Waiting | None], None] = lambda _: None) -> None:
        self._announce = announce
        self._lock = Lock()
        self._open: dict[int, Waiting] = {}
        self._last = 0

    def begin(self, waiting: Waiting) -> int:
        """Declare a waiting; what comes back ends it."""
        with self._lock:
            self._last += 1
            self._open[self._last] = waiting
            self._announce(_longest(self._open.values()))
            return self._last

    def end(self, number: int) -> None:
        """It is over; a second time changes nothing."""
        with self._lock:
            if self._open.pop(number, None) is not None:
                self._announce(_longest(self._open.values()))

    def now(self, now_ms: int) -> Waiting | None:
        """The waiting that ends last and is not over yet, None when there is none."""
        with self._lock:
            return _longest(one for one in self._open.values() if parse_time(one.until) > now_ms)


def announcer(attachment: Path) -> Callable[[Waiting | None], None]:
    """Tells the launcher what this process waits for, beside the `attachment` that it came with."""
    path = attachment.with_name(f"{attachment.stem}.{os.getpid()}{SUFFIX}")

    def announce(waiting: Waiting | None) -> None:
        if waiting is None:
            path.unlink(missing_ok=True)
        else:
            write_secret(path, msgspec.json.encode(waiting))

    return announce


def announced(attachment: Path, now_ms: int) -> Waiting | None:
    """What the programs of this `attachment` wait for: as `Waits.now`. What is malformed says nothing."""
    found = []
    for path in _files(attachment):
        try:
            waiting = msgspec.json.decode(_read(path), type=Waiting)
            if parse_time(waiting.until) > now_ms:
                found.append(waiting)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, DragonsError):
            continue
    return _longest(found)


def _files(attachment: Path) -> Iterator[Path]:
    names = sorted(attachment.parent.glob(f"{attachment.stem}.*{SUFFIX}"))
    yield from names[:_FILES_MAX]


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError
        return file.read(_FILE_BYTES_MAX)


def _longest(waitings: Iterable[Waiting]) -> Waiting | None:
    # Times in documents sort as texts.
    return max(waitings, key=lambda one: one.until, default=None)
