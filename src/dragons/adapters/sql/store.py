"""The SQLite store: WAL, synchronous=FULL, one writer thread, readers that see one snapshot."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from dragons.adapters.sql.reader import SqlReader
from dragons.adapters.sql.schema import prepare
from dragons.adapters.sql.writer import Writer, explain
from dragons.control.ports import Keyring, Reader, Transaction
from dragons.core.clock import Clock

T = TypeVar("T")

FILE_MODE = 0o600
READERS_MAX = 16
BUSY_MS = 10_000
_CACHE_KIB = 64 * 1024


class SqlStore:
    """Implements `dragons.control.ports.Store` on one SQLite file.

    Errors: StorageError with the remedy when the file can't be opened or written. `on_group` hears in the
    writer's thread of every group that was committed: how many jobs it had.
    """

    def __init__(
        self, path: Path, keyring: Keyring, clock: Clock, on_group: Callable[[int], None] | None = None
    ) -> None:
        self.path = path
        _keep_private(path)
        try:
            self._writing = _engine(
                path, begin="BEGIN IMMEDIATE", setup=("PRAGMA page_size=8192", "PRAGMA journal_mode=WAL")
            )
            try:
                with self._writing.begin() as connection:
                    prepare(connection)
            except BaseException:
                self._writing.dispose()
                raise
            self._reading = _engine(path, begin="BEGIN", setup=("PRAGMA query_only=ON",))
        except DBAPIError as error:
            raise explain(error) from error
        self._writer = Writer(self._writing, keyring, clock, on_group)

    def write(self, job: Callable[[Transaction], T]) -> Future[T]:
        """Run `job` in the writer's next transaction; the future resolves when it is durable."""
        return self._writer.submit(job)

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """One consistent view of all that was committed before."""
        try:
            with self._reading.connect() as connection:
                yield SqlReader(connection)
        except DBAPIError as error:
            raise explain(error) from error

    def close(self) -> None:
        """Finish pending writes and close the file."""
        self._writer.close()
        self._reading.dispose()
        self._writing.dispose()


def _keep_private(path: Path) -> None:
    # SQLite gives its log files the mode of the database, and would make that one readable for all.
    with suppress(OSError):
        path.touch(mode=FILE_MODE)


def _engine(path: Path, *, begin: str, setup: tuple[str, ...]) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=READERS_MAX,
        max_overflow=0,
        connect_args={"isolation_level": None, "check_same_thread": False, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        for pragma in (
            f"PRAGMA busy_timeout={BUSY_MS}",
            *setup,
            "PRAGMA synchronous=FULL",
            "PRAGMA foreign_keys=ON",
            f"PRAGMA cache_size=-{_CACHE_KIB}",
        ):
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        connection.exec_driver_sql(begin)

    return engine
