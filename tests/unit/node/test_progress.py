from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragons.node.progress import Counted, Meter


class Told:
    """A source that says what the test sets."""

    def __init__(self, source: str, total: int = 0) -> None:
        self.source = source
        self.total = total

    def look(self) -> Counted:
        counted = Counted(0, "")
        for number in range(self.total):
            counted = counted.then(bytes([number % 256]))
        return counted


def test_without_progress_there_is_nothing_to_say() -> None:
    meter = Meter([Told("output"), Told("files")])
    assert meter.now() is None
    assert meter.seen == ()


def test_the_sequence_is_the_sum_and_the_source_the_one_that_advanced() -> None:
    output, files = Told("output", 2), Told("files")
    meter = Meter([output, files])
    first = meter.now()
    assert first is not None
    assert (first.sequence, first.source) == (2, "output")
    assert meter.now() == first
    files.total = 3
    second = meter.now()
    assert second is not None
    assert (second.sequence, second.source) == (5, "files")
    assert second.digest != first.digest
    # Nothing advanced, so nothing else is said.
    assert meter.now() == second
    assert meter.seen == ("files", "output")


def test_each_of_several_sources_has_its_turn() -> None:
    sources = [Told("output"), Told("files"), Told("receipts")]
    meter = Meter(sources)
    named = []
    for _ in range(6):
        for one in sources:
            one.total += 1
        progress = meter.now()
        assert progress is not None
        named.append(progress.source)
    assert sorted(named[:3]) == sorted(named[3:]) == ["files", "output", "receipts"]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=20))
def test_the_sequence_grows_exactly_when_something_advanced(steps: list[tuple[int, int]]) -> None:
    one, other = Told("output"), Told("files")
    meter = Meter([one, other])
    before = meter.now()
    for more, more_still in steps:
        one.total += more
        other.total += more_still
        after = meter.now()
        grown = (0 if after is None else after.sequence) - (0 if before is None else before.sequence)
        assert grown == more + more_still
        if after is not None and before is not None:
            assert (after.digest != before.digest) is (grown > 0)
            assert grown == 0 or (more, more_still)[("output", "files").index(after.source)] > 0
        before = after
