"""MTBOI: mean time between operator interventions, over a rolling window of 30 days."""

from __future__ import annotations

from collections.abc import Iterable

WINDOW_MS = 30 * 24 * 3600 * 1000


def mtboi_seconds(running: Iterable[tuple[int, int]], interventions: int, now_ms: int) -> int:
    """Whole seconds of running time in the window per intervention.

    `running` are spans [start_ms, end_ms) of instances; `interventions` is the number of
    intervention receipts in the window. Without an intervention it is the running time itself,
    the lower bound that the window can show.
    """
    start = now_ms - WINDOW_MS
    total_ms = sum(max(0, min(end, now_ms) - max(begin, start)) for begin, end in running)
    return total_ms // 1000 // max(1, interventions)
