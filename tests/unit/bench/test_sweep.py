from __future__ import annotations

from bench.sizes import TINY
from bench.sweep import measure


def test_it_finds_something() -> None:
    found = measure(TINY)
    (line,) = found.lines
    assert line.ours.low > 0
    assert line.target is not None
    assert all(detail.value >= 0 for detail in found.details)
