from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from dragons.adapters.sql.writer import explain
from dragons.control.ports import Transaction
from dragons.core.errors import StorageError
from tests.support.appending import append, appender, settle, writer_held
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
