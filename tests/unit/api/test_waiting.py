"""Waiting ends with what was waited for, with the time, or with the server; and it looks seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dragons.api import waiting
from dragons.api.bell import Bell
from dragons.api.problems import LimitError
from dragons.core.clock import SystemClock

LONG_MS = 20_000


def backend(poll_seconds: float = 60) -> Any:
    return SimpleNamespace(clock=SystemClock(), settings=SimpleNamespace(feed_poll_seconds=poll_seconds))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PAUSE_SECONDS", 0)


def looks(*found: str | None) -> tuple[Callable[[], Awaitable[str | None]], list[int]]:
    """A look that finds these, one after the other, and then nothing; and how often it was asked."""
    count = [0]

    async def look() -> str | None:
        count[0] += 1
        return found[count[0] - 1] if count[0] <= len(found) else None

    return look, count


def test_what_is_there_is_found_at_once() -> None:
    look, count = looks("it")
    assert asyncio.run(waiting.wait_until(backend(), Bell(1), look, LONG_MS)) == "it"
    assert count == [1]


def test_a_ring_lets_it_look_again_and_silence_does_not() -> None:
    bell = Bell(1)
    look, count = looks(None, "it")

    async def scene() -> str | None:
        task = asyncio.ensure_future(waiting.wait_until(backend(), bell, look, LONG_MS))
        for _ in range(20):
            await asyncio.sleep(0)
        assert count == [1]
        bell.ring()
        return await task

    assert asyncio.run(scene()) == "it"
    assert count == [2]


def test_it_looks_now_and_then_without_a_ring() -> None:
    look, count = looks(None, None, "it")
    assert asyncio.run(waiting.wait_until(backend(0.001), Bell(1), look, LONG_MS)) == "it"
    assert count == [3]


def test_it_ends_when_the_time_is_over() -> None:
    look, count = looks()
    assert asyncio.run(waiting.wait_until(backend(0.001), Bell(1), look, 20)) is None
    assert count[0] > 1


def test_it_ends_with_the_server() -> None:
    bell = Bell(1)
    look, _ = looks()

    async def scene() -> str | None:
        task = asyncio.ensure_future(waiting.wait_until(backend(), bell, look, LONG_MS))
        await asyncio.sleep(0)
        bell.stop()
        return await task

    assert asyncio.run(scene()) is None


def test_places_are_bounded_and_given_back() -> None:
    bell = Bell(1)

    async def broken() -> str | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(waiting.wait_until(backend(), bell, broken, LONG_MS))
    place = bell.join()
    look, count = looks("it")
    with pytest.raises(LimitError):
        asyncio.run(waiting.wait_until(backend(), bell, look, LONG_MS))
    assert count == [0]
    bell.leave(place)


@pytest.mark.parametrize("steps", range(6))
def test_who_is_cancelled_as_the_bell_rings_goes(steps: int) -> None:
    rung = asyncio.Event()

    async def listen() -> None:
        while True:
            await waiting.heard(rung, 60)
            rung.clear()

    async def scene() -> None:
        task = asyncio.create_task(listen())
        await asyncio.sleep(0)
        rung.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        task.cancel()
        assert done

    asyncio.run(scene())
