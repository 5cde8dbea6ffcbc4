"""What a measurement finds: lines that compare our work with a limit or a peer of the same run, and details.

A line without a target informs only: the two sides don't do the same work, and `of` and `against` say
what each does. Never holds a figure that was not measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """The median of the rounds, and the smallest and largest of them."""

    median: float
    low: float
    high: float


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison. `ratio` is ours to theirs in each round; `at_most` says the target is an upper bound."""

    name: str
    of: str
    ours: Spread
    unit: str
    against: str = ""
    theirs: Spread | None = None
    ratio: Spread | None = None
    target: float | None = None
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target; None where there is none."""
        if self.target is None:
            return None
        value = (self.ours if self.ratio is None else self.ratio).median
        return value <= self.target if self.at_most else value >= self.target


class Detail(msgspec.Struct, frozen=True):
    """A figure beside the lines, with what it is of."""

    name: str
    value: float
    unit: str
    of: str = ""


class Found(msgspec.Struct, frozen=True):
    """What one measurement found; `missing` says why it found nothing, `crashed` that it was our fault."""

    lines: Sequence[Line] = ()
    details: Sequence[Detail] = ()
    missing: str = ""
    crashed: bool = False

    @property
    def met(self) -> bool:
        """No target was missed and nothing is missing."""
        return not self.missing and all(line.met is not False for line in self.lines)


class Pair(NamedTuple):
    """Both sides of rounds that alternate; the ratio is that of ours to theirs within each round."""

    theirs: Spread
    ours: Spread
    ratio: Spread


def spread(values: Sequence[float]) -> Spread:
    """Median and range of at least one value."""
    return Spread(median(values), min(values), max(values))


def alternate(rounds: int, theirs: Callable[[], float], ours: Callable[[], float]) -> Pair:
    """Measure `theirs` and `ours` in turn: whatever else the machine does, it does to both."""
    return paired([(theirs(), ours()) for _ in range(rounds)])


def paired(rounds: Sequence[tuple[float, float]]) -> Pair:
    """The two sides of rounds of (theirs, ours)."""
    return Pair(
        spread([one for one, _ in rounds]),
        spread([other for _, other in rounds]),
        spread([other / one for one, other in rounds]),
    )


def rate(work: Callable[[], object], count: int) -> float:
    """Operations a second, when one call of `work` does `count` of them."""
    begin = time.perf_counter()
    work()
    return count / (time.perf_counter() - begin)


def each(call: Callable[[int], object], count: int) -> float:
    """Calls of `call` a second over `count` calls, which get their number."""

    def work() -> None:
        for number in range(count):
            call(number)

    return rate(work, count)


def p50_us(call: Callable[[], object], calls: int) -> float:
    """The median microseconds of one call; reading the stopwatch counts as part of it."""
    read = time.perf_counter_ns
    for _ in range(10):
        call()
    times = []
    for _ in range(calls):
        begin = read()
        call()
        times.append(read() - begin)
    return median(times) / 1_000


def compare(
    name: str,
    pair: Pair,
    *,
    of: str,
    against: str,
    target: float | None = 1.0,
    at_most: bool = False,
    unit: str = "/s",
) -> Line:
    """A line of both sides; a peer's rate is to be met or exceeded unless `target` says otherwise."""
    return Line(
        name=name, of=of, ours=pair.ours, unit=unit, against=against, theirs=pair.theirs, ratio=pair.ratio,
        target=target, at_most=at_most,
    )  # fmt: skip


def mixed(count: int, among: int) -> Iterator[int]:
    """`count` places among `among`, evenly mixed and the same in every run."""
    step = 7_919
    return ((number * step) % among for number in range(count))
