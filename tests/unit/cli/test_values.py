from __future__ import annotations

import pytest

from dragons.cli.values import (
    age,
    brief,
    brief_age,
    counted,
    duration,
    moment,
    parse_duration,
    parse_moment,
    short,
    size,
)
from dragons.core.errors import InvalidInputError

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604_800), (" 1H ", 3600)],
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "1.5h", "5 m", "1w", "h", "9999999999"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_duration(text)
    assert caught.value.code == "duration_malformed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20", "2026-11-20T00:00:00.000Z"),
        ("2026-11-20T19:44:03Z", "2026-11-20T19:44:03.000Z"),
        ("2026-11-20T19:44:03.123Z", "2026-11-20T19:44:03.123Z"),
        ("1h", "2027-01-15T07:00:00.000Z"),
    ],
)
def test_moments_are_read(text: str, expected: str) -> None:
    assert parse_moment(text, NOW_MS) == expected


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-11-20T19:44:03+01:00", ""])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_moment(text, NOW_MS)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (250, "4 min 10 s"),
        (3600, "1 h"),
        (183_845, "2 d 3 h"),
        (-1, "-"),
    ],
)
def test_durations_are_written(seconds: int, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("ms", "text"), [(2_400, "2.4 s ago"), (0, "0.0 s ago"), (185_000, "3 min 5 s ago"), (-1, "never")]
)
def test_ages_are_written(ms: int, text: str) -> None:
    assert age(ms) == text


def test_moments_are_written() -> None:
    assert moment("2026-11-20T19:44:03.123Z") == "2026-11-20 19:44:03Z"
    assert moment("") == "-"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3.0 TiB")],
)
def test_sizes_are_written(count: int, text: str) -> None:
    assert size(count) == text


def test_only_what_is_longer_is_shortened() -> None:
    assert short("a" * 16) == "a" * 16
    assert short("a" * 17) == "a" * 16 + "…"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (65, "1m5s"), (7_260, "2h1m"), (183_600, "2d3h"), (-1, "-")]
)
def test_where_there_is_no_room(seconds: int, text: str) -> None:
    assert brief(seconds) == text
    assert brief_age(seconds * 1000) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 dispatches"), (1, "1 dispatch"), (1_234, "1,234 dispatches")]
)
def test_things_are_counted(count: int, text: str) -> None:
    assert counted(count, "dispatch", "dispatches") == text
    assert counted(2, "instance") == "2 instances"
