"""Waiting for something that a commit may bring: looks when the bell rings and now and then, never all the time.

Never holds the writer or a reader while it waits, and ends with the server or the caller's credential.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from dragons.api.backend import Backend
from dragons.api.bell import Bell

T = TypeVar("T")

# The shortest time between two looks, however often the bell rings.
PAUSE_SECONDS = 0.1


async def wait_until(
    backend: Backend, bell: Bell, look: Callable[[], Awaitable[T | None]], wait_ms: int
) -> T | None:
    """What `look` finds within `wait_ms`, None when it finds nothing. LimitError when too many wait."""
    until_ms = backend.clock.boot_ms() + wait_ms
    rung = bell.join()
    try:
        while not bell.stopped:
            rung.clear()
            found = await look()
            left_ms = until_ms - backend.clock.boot_ms()
            if found is not None or left_ms <= 0:
                return found
            await asyncio.sleep(min(PAUSE_SECONDS, left_ms / 1000))
            await heard(rung, min(backend.settings.feed_poll_seconds, left_ms / 1000))
        return None
    finally:
        bell.leave(rung)


async def heard(rung: asyncio.Event, seconds: float) -> None:
    """Return when the bell rings, or after `seconds`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await rung.wait()
