from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.liveness.progress import DIGEST_BYTES, MEMORY_DIGESTS, observe


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def novel(texts: str) -> list[bool]:
    memory, found = b"", []
    for text in texts:
        memory, is_novel = observe(memory, digest(text))
        found.append(is_novel)
    return found


@pytest.mark.parametrize(
    ("texts", "novelties"),
    [
        ("A", [True]),
        ("AAA", [True, False, False]),
        ("ABABAB", [True, True] + 4 * [False]),
        ("ABC", 3 * [True]),
    ],
)
def test_what_was_seen_lately_is_no_progress(texts: str, novelties: list[bool]) -> None:
    assert novel(texts) == novelties


def test_a_full_memory_forgets_what_was_seen_longest_ago() -> None:
    memory = b""
    for number in range(MEMORY_DIGESTS):
        memory, _ = observe(memory, digest(str(number)))
    # Seen again, so it is the newest now, and 1 the oldest.
    memory, again = observe(memory, digest("0"))
    assert not again
    memory, _ = observe(memory, digest("one more"))
    assert observe(memory, digest("0"))[1] is False
    assert observe(memory, digest("1"))[1] is True


def test_what_lies_across_two_digests_was_not_seen() -> None:
    memory, _ = observe(b"", "00" * 4 + "11" * 4)
    memory, _ = observe(memory, "22" * 4 + "33" * 4)
    assert observe(memory, "11" * 4 + "22" * 4)[1] is True
    # The first place spans two digests, the second is one.
    memory, _ = observe(memory, "11" * 4 + "22" * 4)
    assert observe(memory, "11" * 4 + "22" * 4)[1] is False


names = st.lists(st.sampled_from([format(number, "016x") for number in range(12)]), max_size=60)


@given(names, st.integers(1, 6))
def test_the_memory_is_the_last_distinct_digests(seen: list[str], digests_max: int) -> None:
    memory: bytes = b""
    expected: list[str] = []
    for one in seen:
        memory, is_novel = observe(memory, one, digests_max=digests_max)
        assert is_novel is (one not in expected)
        expected = [*(known for known in expected if known != one), one][-digests_max:]
        assert memory == bytes.fromhex("".join(expected))


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=8, unique=True), st.integers(2, 9))
def test_no_loop_that_fits_the_memory_is_progress_twice(loop: list[bytes], rounds: int) -> None:
    memory, novelties = b"", 0
    for one in loop * rounds:
        memory, is_novel = observe(memory, one.hex())
        novelties += is_novel
        assert len(memory) <= MEMORY_DIGESTS * DIGEST_BYTES
    assert novelties == len({one[:DIGEST_BYTES] for one in loop})


def test_what_is_no_digest_is_refused() -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        observe(b"", "not hex digits!!")
