"""Times in documents sort as they pass, and every one has a single spelling."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragons.core.clock import format_time, parse_time
from dragons.core.errors import InvalidInputError

MOMENTS = st.integers(0, 253_402_300_799_999)


@given(MOMENTS)
def test_a_time_comes_back(ms: int) -> None:
    assert parse_time(format_time(ms)) == ms


@given(MOMENTS, MOMENTS)
def test_text_sorts_as_time_passes(one: int, other: int) -> None:
    assert (format_time(one) < format_time(other)) is (one < other)


@given(
    st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", fullmatch=True)
    | st.text(max_size=30)
)
def test_what_can_be_read_is_spelled_as_it_would_be_written(text: str) -> None:
    try:
        ms = parse_time(text)
    except InvalidInputError:
        return
    assert format_time(ms) == text
