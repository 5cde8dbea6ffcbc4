"""The real SQLite store with its writer in the calling thread: the same transactions, nobody to wait for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from dragons.adapters.sql.store import SqlStore
from dragons.adapters.sql.transaction import Cache
from dragons.adapters.sql.writer import Writer, _Job
from dragons.control.ports import Keyring
from dragons.core.clock import Clock


class InlineWriter(Writer):
    """Runs each job at once, in a transaction of its own."""

    def __init__(self, engine: Engine, keyring: Keyring, clock: Clock) -> None:
        self._engine, self._keyring, self._clock = engine, keyring, clock
        self._cache, self._seen_version, self._on_group = Cache(), -1, None
        self._on_group = None
        self._connection = engine.connect()

    def submit(self, run: Callable[[Any], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._run(self._connection, [_Job(run, future)])
        return future

    def close(self) -> None:
        self._connection.close()


class InlineStore(SqlStore):
    """As `SqlStore`, without its thread."""

    def __init__(self, path: Path, keyring: Keyring, clock: Clock) -> None:
        super().__init__(path, keyring, clock)
        self._writer.close()
        self._writer = InlineWriter(self._writing, keyring, clock)
