from bench.packs import MEMORY_MB_MAX, TARGET, measure
from bench.sizes import TINY


def test_rate_and_memory_have_their_targets() -> None:
    found = measure(TINY)
    rate, memory = found.lines
    assert (rate.target, rate.at_most) == (TARGET, False)
    assert rate.ratio is not None
    assert (memory.target, memory.at_most, memory.unit) == (MEMORY_MB_MAX, True, "MB")
    assert memory.ours.median > 0
