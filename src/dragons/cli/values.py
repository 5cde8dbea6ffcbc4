"""Values as people write and read them: durations, ages, times, sizes."""

from __future__ import annotations

import re

from dragons.core.clock import format_time, parse_time
from dragons.core.errors import InvalidInputError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,9})([smhd]?)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TO_THE_SECOND = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})Z", re.ASCII)
_KIB = 1024
_SHORT_MS = 10_000


def parse_duration(text: str) -> int:
    """Seconds of `90`, `90s`, `15m`, `2h` or `7d`; InvalidInputError otherwise."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise InvalidInputError(
            "duration_malformed",
            f"{text!r} is not a duration.",
            fix="Write seconds, or a number with s, m, h or d: 15m.",
        )
    return int(match[1]) * _UNITS[match[2] or "s"]


def parse_moment(text: str, now_ms: int) -> str:
    """An RFC 3339 time in documents' form from a time, a day, or a duration that lies back (`24h`)."""
    if _DAY.fullmatch(text):
        text = f"{text}T00:00:00.000Z"
    elif match := _TO_THE_SECOND.fullmatch(text):
        text = f"{match[1]}.000Z"
    elif _DURATION.fullmatch(text.strip().lower()):
        return format_time(max(0, now_ms - parse_duration(text) * 1000))
    return format_time(parse_time(text))


def duration(seconds: int) -> str:
    """`2 d 3 h`, `4 min 10 s`: the two largest units."""
    if seconds < 0:
        return "-"
    steps = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for unit, size in steps:
        count, seconds = divmod(seconds, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def counted(count: int, one: str, many: str = "") -> str:
    """`1 instance`, `2 instances`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def brief(seconds: int) -> str:
    """As `duration` where there is no room: `4m`, `2d3h`."""
    return duration(seconds).replace(" min", "m").replace(" ", "")


def brief_age(milliseconds: int) -> str:
    """How long ago, where there is no room: `3s`, `2h5m`; `-` for what never happened."""
    return "-" if milliseconds < 0 else brief(milliseconds // 1000)


def age(milliseconds: int) -> str:
    """`2.4 s ago`, `3 min 5 s ago`; `never` for a time that is not known."""
    if milliseconds < 0:
        return "never"
    if milliseconds < _SHORT_MS:
        return f"{milliseconds / 1000:.1f} s ago"
    return f"{duration(milliseconds // 1000)} ago"


def moment(text: str) -> str:
    """`2026-11-20 19:44:03Z` of a document's time; `-` when there is none."""
    return f"{text[:10]} {text[11:19]}Z" if text else "-"


def size(count: int) -> str:
    """`1.5 MiB` of a number of bytes."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < _KIB:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _KIB
    return f"{amount:.1f} TiB"


def short(text: str, length: int = 16) -> str:
    """The beginning of a digest or id, with an ellipsis where something was left out."""
    return text if len(text) <= length else f"{text[:length]}…"
