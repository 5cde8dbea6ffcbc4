"""MTBOI: mean time between operator interventions, over a rolling window of 30 days.

A figure is running time by interventions, and both can be listed: `dragons.control.mtboi` names the
receipts behind every span and every intervention.
"""

from __future__ import annotations

from collections.abc import Iterable

WINDOW_MS = 30 * 24 * 3600 * 1000


def running_ms(running: Iterable[tuple[int, int]], now_ms: int) -> int:
    """Milliseconds of running time in the window; `running` are spans [start_ms, end_ms) of instances."""
    start = now_ms - WINDOW_MS
    return sum(max(0, min(end, now_ms) - max(begin, start)) for begin, end in running)


def mean_seconds(total_ms: int, interventions: int) -> int:
    """Whole seconds of `total_ms` per intervention; without one it is the time itself, a lower bound."""
    return total_ms // 1000 // max(1, interventions)


def mtboi_seconds(running: Iterable[tuple[int, int]], interventions: int, now_ms: int) -> int:
    """Whole seconds of running time in the window per intervention.

    `running` are spans [start_ms, end_ms) of instances; `interventions` is the number of
    intervention receipts in the window. Without an intervention it is the running time itself,
    the lower bound that the window can show.
    """
    return mean_seconds(running_ms(running, now_ms), interventions)
