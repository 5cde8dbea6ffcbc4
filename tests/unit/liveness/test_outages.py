from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.liveness.outages import Outage, away_ms, elapsed_ms

TIMES = st.integers(0, 200)


@st.composite
def outages(draw: st.DrawFn) -> list[Outage]:
    """Spans that don't overlap, in any order."""
    edges = sorted(draw(st.lists(TIMES, max_size=8, unique=True)))
    spans = list(zip(edges[::2], edges[1::2], strict=False))
    return draw(st.permutations(spans))


@pytest.mark.parametrize(
    ("since_ms", "now_ms", "away"),
    [
        (0, 100, 30),
        (0, 10, 0),
        (0, 15, 5),
        (12, 18, 6),
        (20, 50, 0),
        (15, 55, 10),
        (60, 70, 10),
        (70, 90, 0),
        (50, 50, 0),
        (90, 10, 0),
    ],
)
def test_what_lies_within_the_span_is_counted(since_ms: int, now_ms: int, away: int) -> None:
    assert away_ms([(10, 20), (50, 70)], since_ms, now_ms) == away


def test_without_outages_time_just_passes() -> None:
    assert away_ms([], 5, 50) == 0
    assert elapsed_ms([], 5, 50) == 45
    assert elapsed_ms([], 50, 5) == 0


@given(outages(), TIMES, TIMES)
def test_every_millisecond_is_either_away_or_elapsed(spans: list[Outage], since_ms: int, now_ms: int) -> None:
    there = [ms for ms in range(since_ms, now_ms) if not any(a <= ms < b for a, b in spans)]
    assert elapsed_ms(spans, since_ms, now_ms) == len(there)
    assert away_ms(spans, since_ms, now_ms) == max(0, now_ms - since_ms) - len(there)


@given(outages(), TIMES, TIMES, TIMES)
def test_spans_add_up(spans: list[Outage], one: int, two: int, three: int) -> None:
    a, b, c = sorted((one, two, three))
    assert elapsed_ms(spans, a, b) + elapsed_ms(spans, b, c) == elapsed_ms(spans, a, c)
