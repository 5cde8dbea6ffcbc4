"""Time in which the control plane itself was away: nobody's silence, so nobody's stall."""

from __future__ import annotations

from collections.abc import Sequence

# (from_ms, until_ms), not overlapping.
Outage = tuple[int, int]


def away_ms(outages: Sequence[Outage], since_ms: int, now_ms: int) -> int:
    """How much of [since_ms, now_ms) lies within outages."""
    return sum(max(0, min(until_ms, now_ms) - max(from_ms, since_ms)) for from_ms, until_ms in outages)


def elapsed_ms(outages: Sequence[Outage], since_ms: int, now_ms: int) -> int:
    """Milliseconds from `since_ms` to `now_ms` in which the control plane could be reached, never negative."""
    return max(0, now_ms - since_ms - away_ms(outages, since_ms, now_ms))
