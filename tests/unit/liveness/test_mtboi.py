"""Mean time between operator interventions, over the last 30 days."""

from __future__ import annotations

import pytest

from dragons.liveness.mtboi import WINDOW_MS, mtboi_seconds
from tests.property.builders import NOW_MS

HOUR_MS = 3_600_000
START_MS = NOW_MS - WINDOW_MS


def test_the_window_is_thirty_days() -> None:
    assert WINDOW_MS == 30 * 24 * HOUR_MS


@pytest.mark.parametrize(
    ("running", "interventions", "expected"),
    [
        ([], 0, 0),
        ([], 3, 0),
        ([(NOW_MS - HOUR_MS, NOW_MS)], 0, 3_600),
        ([(NOW_MS - HOUR_MS, NOW_MS)], 1, 3_600),
        ([(NOW_MS - HOUR_MS, NOW_MS)], 2, 1_800),
        ([(NOW_MS - HOUR_MS, NOW_MS)], 7, 514),
        ([(NOW_MS - 3 * HOUR_MS, NOW_MS - 2 * HOUR_MS), (NOW_MS - HOUR_MS, NOW_MS)], 1, 7_200),
        ([(0, NOW_MS)], 1, WINDOW_MS // 1000),
        ([(START_MS - HOUR_MS, START_MS + HOUR_MS)], 1, 3_600),
        ([(0, START_MS)], 1, 0),
        ([(NOW_MS - HOUR_MS, NOW_MS + HOUR_MS)], 1, 3_600),
        ([(NOW_MS, NOW_MS + HOUR_MS)], 1, 0),
        ([(NOW_MS - 1_999, NOW_MS)], 1, 1),
        ([(NOW_MS - 999, NOW_MS)], 1, 0),
        ([(NOW_MS - 1_500, NOW_MS - 1_000), (NOW_MS - 500, NOW_MS)], 1, 1),
        ([(NOW_MS, NOW_MS - HOUR_MS)], 1, 0),
    ],
)
def test_only_running_time_in_the_window_counts(
    running: list[tuple[int, int]], interventions: int, expected: int
) -> None:
    assert mtboi_seconds(running, interventions, NOW_MS) == expected


def test_instances_side_by_side_both_count() -> None:
    span = (NOW_MS - HOUR_MS, NOW_MS)
    assert mtboi_seconds([span, span], 1, NOW_MS) == 7_200
