"""The background of an instance: one thread that does the chores when they are due, and nothing else.

A chore that fails is noted and repeated; the thread ends only when it is told to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

from dragons.core.errors import DragonsError
from dragons.sdk.forks import Belonging
from dragons.sdk.steps import run
from dragons.sdk.transport import Call
from dragons.sdk.upkeep import SEND, Upkeep

_log = logging.getLogger("dragons.sdk")

STOP_SECONDS_MAX = 15.0


class Worker:
    """One thread for one instance."""

    def __init__(self, upkeep: Upkeep, send: Callable[[Call[Any]], Any], *, name: str) -> None:
        self._belonging = Belonging()
        self._upkeep = upkeep
        self._send = send
        self._wake = Event()
        self._stopping = Event()
        # A daemon, so that a program that forgets to close its session can still end.
        self._thread = Thread(target=self._loop, name=f"dragons-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send_soon(self) -> None:
        """Something was put in the local store."""
        self.hasten(SEND)

    def hasten(self, name: str) -> None:
        """Do a chore next."""
        # In a forked child there is no thread, and its lock may be held for ever.
        if self._belonging.here:
            self._upkeep.hasten(name)
            self._wake.set()

    def stop(self) -> None:
        """Finish the chore at hand and end; waits for a bounded time."""
        if not self._belonging.here:
            return
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS_MAX)

    def _loop(self) -> None:
        upkeep = self._upkeep
        while not self._stopping.is_set():
            chore = upkeep.due()
            if chore is None:
                self._wake.wait(upkeep.wait_s())
                self._wake.clear()
                continue
            error: DragonsError | None = None
            try:
                run(chore.steps(), self._send)
            except DragonsError as failed:
                error = failed
                _log.debug("%s failed: %s", chore.name, failed)
            except Exception as failed:  # noqa: BLE001 - the other chores go on; what grows stale denies by itself
                error = DragonsError("chore_failed", str(failed))
                _log.exception("%s failed", chore.name)
            upkeep.done(chore, error)
