"""The writer: one thread takes jobs, runs many in one transaction, commits once, then answers all.

Acknowledged means committed with synchronous=FULL. A job that fails after it has written spoils its
group: the group is rolled back and its jobs run again one by one, so a failure is only its own.
Two processes may write one database: each group begins with BEGIN IMMEDIATE, and what is cached is
dropped when `PRAGMA data_version` shows that somebody else has committed.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from dragons.adapters.sql.groups import Groups
from dragons.adapters.sql.transaction import Cache, SqlTransaction
from dragons.control.ports import Keyring, Transaction
from dragons.core.clock import Clock
from dragons.core.errors import DragonsError, StorageError


class _Job(NamedTuple):
    run: Callable[[Transaction], Any]
    future: Future[Any]


class _Spoiled(Exception):  # noqa: N818 - control flow within this module
    """A job failed after it had written; the group must be rolled back."""


class Writer:
    """Runs jobs on one connection in one thread."""

    def __init__(
        self, engine: Engine, keyring: Keyring, clock: Clock, on_group: Callable[[int], None] | None = None
    ) -> None:
        self._engine = engine
        self._on_group = on_group
        self._keyring = keyring
        self._clock = clock
        self._cache = Cache()
        self._seen_version = -1
        self._groups: Groups[_Job] = Groups(clock)
        self._thread = threading.Thread(target=self._loop, name="dragons-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[Transaction], Any]) -> Future[Any]:
        """Queue a job; its future resolves when the job's writes are durable."""
        future: Future[Any] = Future()
        self._groups.put(_Job(run, future))
        return future

    def close(self) -> None:
        """Finish the queued jobs and stop."""
        self._groups.close()
        self._thread.join()

    def _loop(self) -> None:
        with self._engine.connect() as connection:
            while taken := self._groups.take():
                # From here on a caller can't cancel: its job may be committed. Who did before is left out.
                group = [job for job in taken if job.future.set_running_or_notify_cancel()]
                if group:
                    self._run(connection, group)
                self._groups.done(len(group))

    def _run(self, connection: Connection, group: list[_Job]) -> None:
        try:
            answers = self._commit(connection, group)
        except _Spoiled:
            if len(group) > 1:
                self._run_singly(connection, group)
            return
        except BaseException as error:  # noqa: BLE001 - whatever it is, every waiting caller hears of it
            if len(group) > 1 and not _is_of_the_store(error):
                self._run_singly(connection, group)
                return
            failure = explain(error)
            for job in group:
                if not job.future.done():
                    job.future.set_exception(failure)
            return
        if self._on_group is not None:
            self._on_group(len(group))
        for job, (value, failed) in zip(group, answers, strict=True):
            if failed is not None:
                job.future.set_exception(failed)
            else:
                job.future.set_result(value)

    def _run_singly(self, connection: Connection, group: list[_Job]) -> None:
        for job in group:
            self._run(connection, [job])

    def _commit(self, connection: Connection, group: list[_Job]) -> list[tuple[Any, BaseException | None]]:
        answers: list[tuple[Any, BaseException | None]] = []
        try:
            with connection.begin():
                self._check_others(connection)
                tx = SqlTransaction(connection, self._cache, self._keyring)
                answers.extend(self._one(tx, job, alone=len(group) == 1) for job in group)
                tx.finish()
        except BaseException:
            self._cache.clear()
            raise
        return answers

    def _one(self, tx: SqlTransaction, job: _Job, *, alone: bool) -> tuple[Any, BaseException | None]:
        tx.begin_job(self._clock.now_ms(), self._clock.boot_ms())
        try:
            return job.run(tx), None
        except DBAPIError:
            raise
        except Exception as error:
            if not tx.touched:
                return None, error
            if alone:
                job.future.set_exception(error)
            raise _Spoiled from error

    def _check_others(self, connection: Connection) -> None:
        version = connection.exec_driver_sql("PRAGMA data_version").scalar()
        if version != self._seen_version:
            self._cache.clear()
            self._seen_version = int(version or 0)


_RESTORE = "Restore the database from a backup; where it still opens, `dragons ledger fsck` names the damage."
# What SQLite says, our code for it, and what helps.
_KNOWN = {
    "database or disk is full": ("storage_full", "Free space on the disk of the home, then try again."),
    "attempt to write a readonly database": ("storage_read_only", "Make the home writable for this user."),
    "unable to open database file": ("storage_read_only", "Make the home writable for this user."),
    "database is locked": ("storage_locked", "Another process holds the database; try again."),
    "disk I/O error": (
        "storage_io",
        "Check the disk: its room, its quota, the limit on file sizes; then run `dragons ledger fsck`.",
    ),
    "database disk image is malformed": ("storage_damaged", _RESTORE),
    "file is not a database": ("storage_damaged", _RESTORE),
    "no such table": ("storage_damaged", _RESTORE),
    "no such column": ("storage_damaged", _RESTORE),
}


def _is_of_the_store(error: BaseException) -> bool:
    """True when a group failed for a reason that is no single job's: the disk, a lock, damage."""
    if isinstance(error, DBAPIError):
        return isinstance(error, OperationalError) or type(error) is DatabaseError
    return isinstance(error, StorageError)


def explain(error: BaseException) -> BaseException:
    """A storage failure in words that name the remedy; other errors as they are."""
    if isinstance(error, DragonsError):
        return error
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, sqlite3.Error):
        return error
    text = str(cause)
    for part, (code, fix) in _KNOWN.items():
        if part in text:
            return StorageError(code, f"The store can't be used: {text}.", fix=fix)
    return StorageError("storage_failed", f"The store failed: {text}.", fix="Run `dragons ledger fsck`.")
