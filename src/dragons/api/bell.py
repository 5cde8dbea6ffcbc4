"""Wakes the open event feeds after a commit, and ends them on shutdown.

Says only that there may be something new: what it is, a feed reads from the ledger itself.
"""

from __future__ import annotations

import asyncio

from dragons.api.problems import LimitError

_RETRY_SECONDS = 5


class Bell:
    """Belongs to one event loop."""

    def __init__(self, listeners_max: int) -> None:
        self._listeners_max = listeners_max
        self._listeners: set[asyncio.Event] = set()
        self.stopped = False

    def join(self) -> asyncio.Event:
        """An event that each ring sets, until `leave`; LimitError when too many listen already."""
        if len(self._listeners) >= self._listeners_max:
            raise LimitError(
                "feeds_exhausted",
                f"{self._listeners_max} event feeds are open already.",
                fix="Close one, or raise DRAGONS_FEEDS_MAX.",
                retry_seconds=_RETRY_SECONDS,
            )
        event = asyncio.Event()
        self._listeners.add(event)
        return event

    def leave(self, event: asyncio.Event) -> None:
        """The listener is gone; its place is free."""
        self._listeners.discard(event)

    def ring(self) -> None:
        """There may be new receipts."""
        for event in self._listeners:
            event.set()

    def stop(self) -> None:
        """The server shuts down: every feed ends."""
        self.stopped = True
        self.ring()
