from __future__ import annotations

from bench.heartbeats import measure
from bench.sizes import TINY


def test_it_finds_something() -> None:
    found = measure(TINY)
    (line,) = found.lines
    assert line.ours.low > 0
    assert line.target is not None
    assert all(detail.value >= 0 for detail in found.details)
