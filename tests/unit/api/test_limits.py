"""Limits hold to the byte, the request and the nonce."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from dragons.api.limits import NonceMemory, RateLimiter, read_body
from dragons.api.problems import LimitError, TooLargeError
from dragons.core.errors import UnauthenticatedError
from dragons.identity.proof import SKEW_MS
from dragons.wire.base import BODY_BYTES_MAX


def read(*parts: bytes, gone: bool = False) -> bytes:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": gone or place < len(parts) - 1}
        for place, part in enumerate(parts)
    ]
    messages.append({"type": "http.disconnect"})
    queue = iter(messages)

    async def receive() -> Any:
        return next(queue)

    return asyncio.run(read_body(receive))


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=10))
def test_a_body_in_parts_is_one(parts: list[bytes]) -> None:
    assert read(*parts) == b"".join(parts)


@pytest.mark.parametrize("split", [1, 2, 7])
def test_the_limit_is_exact(split: int) -> None:
    size = BODY_BYTES_MAX // split
    parts = [b"x" * size] * (split - 1)
    rest = BODY_BYTES_MAX - size * (split - 1)
    assert len(read(*parts, b"x" * rest)) == BODY_BYTES_MAX
    with pytest.raises(TooLargeError) as caught:
        read(*parts, b"x" * (rest + 1))
    assert caught.value.code == "body_too_large"


def test_reading_stops_at_the_limit() -> None:
    seen = 0

    async def receive() -> Any:
        nonlocal seen
        seen += 1
        return {"type": "http.request", "body": b"x" * 1_000_000, "more_body": True}

    with pytest.raises(TooLargeError):
        asyncio.run(read_body(receive))
    assert seen == BODY_BYTES_MAX // 1_000_000 + 1


def test_a_client_that_leaves_is_noticed() -> None:
    with pytest.raises(ClientDisconnect):
        read(b"half", gone=True)
    with pytest.raises(ClientDisconnect):
        read()


# --- rate ----------------------------------------------------------------------------------------


def taken(limiter: RateLimiter, credential: str, at_ms: int, tries: int) -> int:
    count = 0
    for _ in range(tries):
        try:
            limiter.take(credential, at_ms)
        except LimitError:
            continue
        count += 1
    return count


def test_burst_then_rate() -> None:
    limiter = RateLimiter(10, 20, 100)
    assert taken(limiter, "a", 0, 50) == 20
    assert taken(limiter, "a", 99, 50) == 0
    assert taken(limiter, "a", 100, 50) == 1
    assert taken(limiter, "a", 1100, 50) == 10
    assert taken(limiter, "a", 1_000_000, 50) == 20


def test_credentials_do_not_share() -> None:
    limiter = RateLimiter(1, 1, 100)
    assert taken(limiter, "a", 0, 5) == 1
    assert taken(limiter, "b", 0, 5) == 1


def test_the_wait_is_long_enough() -> None:
    limiter = RateLimiter(0.25, 1, 100)
    limiter.take("a", 0)
    with pytest.raises(LimitError) as caught:
        limiter.take("a", 0)
    assert caught.value.retry_seconds == 4
    limiter.take("a", 4_000)


def test_memory_is_bounded_and_the_busy_are_kept() -> None:
    limiter = RateLimiter(0.001, 1, 3)
    for name in "abc":
        limiter.take(name, 0)
    assert taken(limiter, "a", 0, 1) == 0
    limiter.take("d", 0)
    assert taken(limiter, "a", 0, 1) in {0, 1}
    assert len(limiter._buckets) <= 3


@given(st.lists(st.integers(0, 500), min_size=1, max_size=200))
def test_never_more_than_burst_and_rate(steps: list[int]) -> None:
    limiter, now, count = RateLimiter(5, 10, 10), 0, 0
    for step in steps:
        now += step
        count += taken(limiter, "a", now, 1)
    assert count <= 10 + now * 5 / 1000 + 1e-6


# --- nonces --------------------------------------------------------------------------------------

NONCE = "0" * 32


def test_a_nonce_is_good_once_for_each_key() -> None:
    memory = NonceMemory(100)
    memory.use("ink_a", NONCE, 0)
    memory.use("ink_b", NONCE, 0)
    with pytest.raises(UnauthenticatedError) as caught:
        memory.use("ink_a", NONCE, 1)
    assert caught.value.code == "proof_replayed"


@pytest.mark.parametrize("turn_ms", [0, 1, SKEW_MS, 2 * SKEW_MS - 1])
def test_it_is_remembered_as_long_as_a_proof_can_be_good(turn_ms: int) -> None:
    memory = NonceMemory(100)
    memory.use("ink_a", "1" * 32, 0)
    memory.use("ink_a", NONCE, turn_ms)
    for later in range(0, 2 * SKEW_MS, 999):
        with pytest.raises(UnauthenticatedError):
            memory.use("ink_a", NONCE, turn_ms + later)


def test_it_is_forgotten_in_the_end() -> None:
    memory = NonceMemory(100)
    memory.use("ink_a", NONCE, 0)
    memory.use("ink_a", NONCE, 4 * SKEW_MS)


def test_full_memory_refuses_instead_of_forgetting() -> None:
    memory = NonceMemory(4)
    memory.use("ink_a", "1" * 32, 0)
    memory.use("ink_a", "2" * 32, 0)
    with pytest.raises(LimitError) as caught:
        memory.use("ink_a", "3" * 32, 1_000)
    assert caught.value.code == "proofs_exhausted"
    assert caught.value.retry_seconds == 119
    for used in ("1", "2"):
        with pytest.raises(UnauthenticatedError):
            memory.use("ink_a", used * 32, 1_000)
    memory.use("ink_a", "3" * 32, 120_000)
