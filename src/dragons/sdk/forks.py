"""What a forked process may not go on with: its parent's sessions and local stores.

A fork copies the memory, not the threads, and shares what is open. The parent keeps the session; a
child that uses it is told so. Never lets a child end, renew or record what is its parent's.
"""

from __future__ import annotations

import os
from threading import RLock
from typing import Protocol
from weakref import WeakSet

from dragons.sdk.errors import SessionStateError


class Belonging:
    """Remembers the process that made it."""

    __slots__ = ("_pid",)

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def here(self) -> bool:
        """False in a forked child."""
        return os.getpid() == self._pid

    def check(self) -> None:
        """SessionStateError in a forked child."""
        if not self.here:
            raise SessionStateError(
                "session_forked",
                "The session belongs to the process that opened it, and this one was forked from it.",
                fix="Open a session in this process with `open_session`, or act in the parent.",
            )


class Closable(Protocol):
    """Something that no fork may find open."""

    def before_fork(self) -> None: ...

    def after_fork(self) -> None: ...


# What must be closed while this process forks; changed only by who holds `apart`, which no fork overtakes.
closed_in_forks: WeakSet[Closable] = WeakSet()
apart = RLock()


def _before() -> None:
    apart.acquire()
    for one in closed_in_forks:
        one.before_fork()


def _after_in_parent() -> None:
    for one in closed_in_forks:
        one.after_fork()
    apart.release()


def _after_in_child() -> None:
    for one in closed_in_forks:
        one.after_fork()
    # They were the parent's.
    closed_in_forks.clear()
    apart.release()


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
