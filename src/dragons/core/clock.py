"""The only module that reads a clock; everything else takes time as an argument.

Times are integers, milliseconds since the Unix epoch (`…_ms`), inside the program, and
RFC 3339 UTC strings with exactly three fractional digits in documents, so that their
lexical order is their order in time.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Protocol

import msgspec

from dragons.core.errors import InvalidInputError

TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
Timestamp = Annotated[str, msgspec.Meta(pattern=TIME_PATTERN, min_length=24, max_length=24)]

_TIME = re.compile(TIME_PATTERN, re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS_MAX = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last instant RFC 3339 can name


class Clock(Protocol):
    """Where time comes from.

    `now_ms` is wall time. `boot_ms` counts from an arbitrary origin, never jumps, and goes on
    while the machine sleeps (CLOCK_BOOTTIME).
    """

    def now_ms(self) -> int: ...

    def boot_ms(self) -> int: ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def boot_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class SteadyClock:
    """A clock that never goes back: it keeps the furthest lead that wall time ever had over CLOCK_BOOTTIME.

    A wall clock that is set back would let expired leases live again; here it can't, not even when
    it had jumped forward before.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ms = clock.now_ms() - clock.boot_ms()

    def now_ms(self) -> int:
        boot_ms = self._clock.boot_ms()
        self._offset_ms = max(self._offset_ms, self._clock.now_ms() - boot_ms)
        return boot_ms + self._offset_ms

    def boot_ms(self) -> int:
        return self._clock.boot_ms()


class ManualClock:
    """A clock that stands still until it is moved; wall and boot time move apart on a jump."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._now_ms = now_ms
        self._boot_ms = 1_000_000

    def now_ms(self) -> int:
        return self._now_ms

    def boot_ms(self) -> int:
        return self._boot_ms

    def advance(self, ms: int) -> None:
        """Let `ms` milliseconds pass on both clocks."""
        self._now_ms += ms
        self._boot_ms += ms

    def jump(self, ms: int) -> None:
        """Set the wall clock forward or back by `ms` without any time passing."""
        self._now_ms += ms


def format_time(ms: int) -> str:
    """RFC 3339 with milliseconds, `2026-11-20T19:44:03.123Z`. ValueError outside years 1970-9999."""
    if not 0 <= ms <= _MS_MAX:
        msg = f"{ms} ms is outside the years 1970 to 9999"
        raise ValueError(msg)
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def parse_time(text: str) -> int:
    """Milliseconds of a string that `format_time` could have made; InvalidInputError otherwise."""
    if not _TIME.match(text) or len(text) != len("2026-11-20T19:44:03.123Z"):
        raise InvalidInputError(
            "time_malformed",
            f"{text!r} is not a time like 2026-11-20T19:44:03.123Z.",
            fix="Give UTC with exactly three fractional digits and a Z.",
        )
    try:
        passed = datetime.fromisoformat(text) - _EPOCH
    except ValueError as error:
        raise InvalidInputError("time_malformed", f"{text!r} is not a valid date.") from error
    if passed.days < 0:
        raise InvalidInputError("time_malformed", f"{text!r} lies before 1970.")
    return (passed.days * 86_400 + passed.seconds) * 1000 + passed.microseconds // 1000
