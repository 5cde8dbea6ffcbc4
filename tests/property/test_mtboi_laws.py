"""MTBOI is running time by interventions, whatever the spans are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragons.liveness.mtboi import WINDOW_MS, mtboi_seconds
from tests.property.builders import NOW_MS

SPANS = st.lists(
    st.tuples(st.integers(NOW_MS - 2 * WINDOW_MS, NOW_MS + WINDOW_MS), st.integers(0, WINDOW_MS)), max_size=6
).map(lambda found: [(begin, begin + length) for begin, length in found])
COUNTS = st.integers(0, 50)


@given(SPANS, COUNTS)
def test_mtboi_lies_between_nothing_and_the_running_time(
    running: list[tuple[int, int]], interventions: int
) -> None:
    found = mtboi_seconds(running, interventions, NOW_MS)
    assert 0 <= found <= sum(end - begin for begin, end in running) // 1000
    assert found <= len(running) * WINDOW_MS // 1000


@given(SPANS, COUNTS)
def test_another_intervention_never_raises_mtboi(running: list[tuple[int, int]], interventions: int) -> None:
    assert mtboi_seconds(running, interventions + 1, NOW_MS) <= mtboi_seconds(running, interventions, NOW_MS)


@given(SPANS, COUNTS, st.tuples(st.integers(NOW_MS - WINDOW_MS, NOW_MS), st.integers(0, WINDOW_MS)))
def test_more_running_time_never_lowers_mtboi(
    running: list[tuple[int, int]], interventions: int, span: tuple[int, int]
) -> None:
    more = [*running, (span[0], span[0] + span[1])]
    assert mtboi_seconds(more, interventions, NOW_MS) >= mtboi_seconds(running, interventions, NOW_MS)


@given(SPANS, st.integers(1, 50))
def test_mtboi_times_interventions_is_the_running_time_rounded_down(
    running: list[tuple[int, int]], interventions: int
) -> None:
    start = NOW_MS - WINDOW_MS
    whole_ms = sum(max(0, min(end, NOW_MS) - max(begin, start)) for begin, end in running)
    found = mtboi_seconds(running, interventions, NOW_MS)
    assert found * interventions * 1000 <= whole_ms < (found + 1) * interventions * 1000
