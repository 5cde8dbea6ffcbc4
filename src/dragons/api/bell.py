"""Wakes whoever waits for what a commit brings, and ends the waiting on shutdown.

Says only that there may be something new: what it is, an event feed reads from the ledger itself, and a
node's report from the orders.
"""

from __future__ import annotations

import asyncio

from dragons.api.problems import LimitError

_RETRY_SECONDS = 5


class Bell:
    """Belongs to one event loop. `code` and `what` name the limit that too many listeners meet."""

    def __init__(
        self,
        listeners_max: int,
        *,
        code: str = "feeds_exhausted",
        what: str = "event feeds are open",
        setting: str = "DRAGONS_FEEDS_MAX",
    ) -> None:
        self._listeners_max = listeners_max
        self._limit = (code, f"{listeners_max} {what} already.", f"Close one, or raise {setting}.")
        self._listeners: set[asyncio.Event] = set()
        self.stopped = False

    def join(self) -> asyncio.Event:
        """An event that each ring sets, until `leave`; LimitError when too many listen already."""
        if len(self._listeners) >= self._listeners_max:
            code, message, fix = self._limit
            raise LimitError(code, message, fix=fix, retry_seconds=_RETRY_SECONDS)
        event = asyncio.Event()
        self._listeners.add(event)
        return event

    def leave(self, event: asyncio.Event) -> None:
        """The listener is gone; its place is free."""
        self._listeners.discard(event)

    def ring(self) -> None:
        """There may be something new."""
        for event in self._listeners:
            event.set()

    def stop(self) -> None:
        """The server shuts down: all waiting ends."""
        self.stopped = True
        self.ring()
