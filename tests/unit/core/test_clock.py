"""Times in documents have one spelling, and their lexical order is their order in time."""

from __future__ import annotations

import pytest

from dragons.core.canonical import Document, decode, encode
from dragons.core.clock import ManualClock, SteadyClock, SystemClock, Timestamp, format_time, parse_time
from dragons.core.errors import InvalidInputError

LAST_MS = 253_402_300_799_999

EXAMPLES = [
    (0, "1970-01-01T00:00:00.000Z"),
    (1, "1970-01-01T00:00:00.001Z"),
    (951_782_399_999, "2000-02-28T23:59:59.999Z"),
    (951_782_400_000, "2000-02-29T00:00:00.000Z"),
    (1_800_000_000_000, "2027-01-15T08:00:00.000Z"),
    (LAST_MS, "9999-12-31T23:59:59.999Z"),
]

BAD = [
    "", "2027-01-15", "2027-01-15T08:00:00Z", "2027-01-15T08:00:00.00Z", "2027-01-15T08:00:00.0000Z",
    "2027-01-15t08:00:00.000z", "2027-01-15 08:00:00.000Z", "2027-01-15T08:00:00.000+00:00", "2027-01-15T08:00:00,000Z",
    "2027-01-15T08:00:00.000", "2027-01-15T08:00:00.000Z\n", " 2027-01-15T08:00:00.000Z", "2027-01-15T08:00:00.000Z ",
    "2027-1-15T08:00:00.0000Z", "+027-01-15T08:00:00.000Z", "٢٠٢٧-01-15T08:00:00.000Z",
]  # fmt: skip

NO_SUCH_DATE = [
    "2027-02-29T00:00:00.000Z", "2027-13-01T00:00:00.000Z", "2027-00-01T00:00:00.000Z", "2027-01-00T00:00:00.000Z",
    "2027-01-32T00:00:00.000Z", "2027-01-15T24:00:00.000Z", "2027-01-15T08:60:00.000Z", "2016-12-31T23:59:60.000Z",
    "0000-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z", "0001-01-01T00:00:00.000Z",
]  # fmt: skip


class Dated(Document):
    at: Timestamp


@pytest.mark.parametrize(("ms", "text"), EXAMPLES)
def test_a_time_has_this_spelling_and_comes_back(ms: int, text: str) -> None:
    assert format_time(ms) == text
    assert parse_time(text) == ms


@pytest.mark.parametrize("text", BAD + NO_SUCH_DATE)
def test_other_spellings_and_dates_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_time(text)
    assert caught.value.code == "time_malformed"


@pytest.mark.parametrize("text", BAD)
def test_a_document_refuses_other_spellings_too(text: str) -> None:
    with pytest.raises(InvalidInputError):
        decode(Dated, encode(Dated(at=text)))


@pytest.mark.parametrize("ms", [-1, LAST_MS + 1])
def test_a_time_outside_the_years_1970_to_9999_is_not_written(ms: int) -> None:
    with pytest.raises(ValueError, match="outside the years"):
        format_time(ms)


def test_time_passes_on_both_clocks() -> None:
    clock = ManualClock(1_000)
    boot = clock.boot_ms()
    clock.advance(250)
    assert clock.now_ms() == 1_250
    assert clock.boot_ms() == boot + 250


@pytest.mark.parametrize("ms", [5_000, -5_000])
def test_a_jump_moves_the_wall_clock_alone(ms: int) -> None:
    clock = ManualClock(1_000_000)
    boot = clock.boot_ms()
    clock.jump(ms)
    assert clock.now_ms() == 1_000_000 + ms
    assert clock.boot_ms() == boot


@pytest.mark.parametrize("back_ms", [1, 3_600_000])
def test_a_steady_clock_is_not_set_back(back_ms: int) -> None:
    machine = ManualClock(10_000_000)
    steady = SteadyClock(machine)
    machine.jump(-back_ms)
    assert steady.now_ms() == 10_000_000
    machine.advance(500)
    assert steady.now_ms() == 10_000_500
    assert steady.boot_ms() == machine.boot_ms()


def test_a_steady_clock_follows_a_wall_clock_that_runs_ahead() -> None:
    machine = ManualClock(10_000_000)
    steady = SteadyClock(machine)
    machine.jump(5_000)
    assert steady.now_ms() == 10_005_000


def test_the_boot_clock_of_the_machine_does_not_go_back() -> None:
    clock = SystemClock()
    first = clock.boot_ms()
    assert clock.boot_ms() >= first


def test_the_wall_clock_of_the_machine_can_be_written_down() -> None:
    now_ms = SystemClock().now_ms()
    assert parse_time(format_time(now_ms)) == now_ms
