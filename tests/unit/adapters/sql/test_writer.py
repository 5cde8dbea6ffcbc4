from __future__ import annotations

import sqlite3
from concurrent.futures import Future
from queue import SimpleQueue

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from dragons.adapters.sql import writer
from dragons.adapters.sql.writer import GROUP_MAX, LINGER_MS_MAX, Writer, explain
from dragons.control.ports import Transaction
from dragons.core.clock import ManualClock
from dragons.core.errors import StorageError
from tests.support.appending import append, appender, settle, writer_held
from tests.support.expect import fails
from tests.support.plane import Plane, Tenancy


def commits(plane: Plane) -> int:
    """How often somebody committed, as a connection of its own sees it."""
    return int(plane.read(lambda reader: reader._connection.exec_driver_sql("PRAGMA data_version").scalar()))


def test_what_waits_together_is_committed_together(plane: Plane, acme: Tenancy) -> None:
    def seen(tx: Transaction) -> Transaction:
        appender(acme)(tx)
        return tx

    with writer_held(acme):
        futures = [plane.store.write(seen) for _ in range(20)]
    assert len({id(one) for one in settle(futures)}) == 1
    before = commits(plane)
    append(acme)
    assert commits(plane) == before + 1


def test_a_failure_of_the_store_reaches_all_of_the_group_and_runs_nothing_again(
    plane: Plane, acme: Tenancy
) -> None:
    runs: list[int] = []

    def job(number: int):
        def run(tx: Transaction) -> None:
            runs.append(number)
            appender(acme)(tx)
            if number == 2:
                raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

        return run

    size = acme.size()
    with writer_held(acme):
        futures = [plane.store.write(job(number)) for number in range(5)]
    found = settle(futures)
    assert [(type(one), one.code) for one in found] == [(StorageError, "storage_full")] * 5
    assert runs == [0, 1, 2]
    assert append(acme).seq == size


def test_a_row_that_the_database_refuses_is_its_jobs_own_failure(plane: Plane, acme: Tenancy) -> None:
    taken = append(acme, claim_id="clm_1")
    with writer_held(acme):
        futures = [plane.store.write(appender(acme, claim_id=one)) for one in ("clm_2", "clm_1", "clm_3")]
    good, bad, also_good = settle(futures)
    assert [good.seq, also_good.seq] == [taken.seq + 1, taken.seq + 2]
    assert (type(bad), bad.code) == (StorageError, "storage_failed")


def test_a_job_that_ends_the_interpreter_reaches_its_caller_and_not_the_thread(
    plane: Plane, acme: Tenancy
) -> None:
    def leave(_: Transaction) -> None:
        raise SystemExit(3)

    with writer_held(acme):
        futures = [plane.store.write(job) for job in (appender(acme), leave, appender(acme))]
    assert isinstance(futures[1].exception(30), SystemExit)
    assert futures[2].result(30).seq == futures[0].result(30).seq + 1


def test_more_than_can_wait_is_refused(plane: Plane, acme: Tenancy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "QUEUE_MAX", 3)
    with writer_held(acme):
        futures = [plane.store.write(appender(acme)) for _ in range(3)]
        with fails(StorageError, "store_busy"):
            plane.store.write(appender(acme))
    assert len(settle(futures)) == 3


# --- gathering ------------------------------------------------------------------------------------


class Late:
    """A queue that is empty at first, and a clock that moves on with each look at it."""

    def __init__(self, clock: ManualClock, jobs: int) -> None:
        self.clock = clock
        self.inner: SimpleQueue[object] = SimpleQueue()
        self.waited = 0
        for _ in range(jobs):
            self.inner.put(job_of())

    def get(self, timeout: float) -> object:
        assert timeout == writer.ARRIVAL_SECONDS
        self.waited += 1
        self.clock.advance(1)
        return self.inner.get_nowait()

    def get_nowait(self) -> object:
        return self.inner.get_nowait()

    def qsize(self) -> int:
        return self.inner.qsize()


def job_of() -> writer._Job:
    return writer._Job(lambda _: None, Future())


def gather(waiting: int, expected: int) -> tuple[int, int]:
    """How many jobs a group has when `waiting` come and `expected` were there before; how often it waited."""
    clock = ManualClock()
    made = Writer.__new__(Writer)
    made._clock, made._expected = clock, expected
    made._jobs = queue = Late(clock, waiting)  # type: ignore[assignment]
    group, stop = made._gather(job_of())
    assert not stop
    return len(group), queue.waited


def test_a_lone_caller_does_not_wait() -> None:
    assert gather(0, 1) == (1, 0)
    assert gather(0, 0) == (1, 0)


def test_a_group_waits_for_those_who_were_there_before() -> None:
    assert gather(3, 4) == (4, 3)
    assert gather(3, 2) == (4, 1)
    assert gather(1, 4) == (2, 2)


def test_a_group_does_not_wait_for_ever() -> None:
    size, waited = gather(10, 20)
    assert waited == LINGER_MS_MAX
    assert size == 11


def test_a_group_has_a_largest_size() -> None:
    assert gather(GROUP_MAX + 50, 0)[0] == GROUP_MAX


# --- explaining -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("database or disk is full", "storage_full"),
        ("attempt to write a readonly database", "storage_read_only"),
        ("unable to open database file", "storage_read_only"),
        ("disk I/O error", "storage_io"),
        ("database disk image is malformed", "storage_damaged"),
        ("file is not a database", "storage_damaged"),
        ("no such table: receipts", "storage_damaged"),
        ("no such column: x", "storage_damaged"),
        ("database is locked", "storage_locked"),
        ("something new", "storage_failed"),
    ],
)
def test_each_failure_of_the_storage_has_a_code_and_a_remedy(text: str, code: str) -> None:
    for error in (sqlite3.OperationalError(text), IntegrityError("x", {}, sqlite3.IntegrityError(text))):
        found = explain(error)
        assert isinstance(found, StorageError)
        assert (found.code, text in found.message, bool(found.fix)) == (code, True, True)


def test_other_errors_stay_what_they_are() -> None:
    for error in (StorageError("x", "m"), ValueError("m"), OperationalError("x", {}, ValueError("m"))):
        assert explain(error) is error
