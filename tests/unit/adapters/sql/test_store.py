from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dragons.adapters.sql.store import FILE_MODE, SqlStore
from dragons.core.clock import ManualClock
from dragons.core.errors import StorageError
from tests.support.expect import fails
from tests.support.plane import MemoryKeyring, Plane, Tenancy


def open_at(path: Path) -> SqlStore:
    return SqlStore(path, MemoryKeyring(), ManualClock())


def pragma(look: Callable[[Callable[[Any], Any]], Any], name: str) -> Any:
    return look(lambda view: view._connection.exec_driver_sql(f"PRAGMA {name}").scalar())


def test_what_is_acknowledged_is_on_the_disk(plane: Plane) -> None:
    """WAL with synchronous=FULL: every commit waits for the log to be flushed."""
    assert pragma(plane.write, "journal_mode") == "wal"
    assert pragma(plane.write, "synchronous") == 2
    assert pragma(plane.read, "synchronous") == 2


def test_a_reader_cannot_write(plane: Plane, acme: Tenancy) -> None:
    assert pragma(plane.read, "query_only") == 1
    with fails(StorageError, "storage_read_only"):
        plane.read(lambda reader: reader._connection.exec_driver_sql("DELETE FROM tenants"))
    assert plane.read(lambda reader: reader.tenant(acme.tenant_id))


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_the_files_are_the_owners_only(plane: Plane, acme: Tenancy, end: str) -> None:
    file = Path(f"{plane.path}{end}")
    assert stat.S_IMODE(file.stat().st_mode) == FILE_MODE


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    open_at(path).close()
    path.chmod(0o640)
    open_at(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with fails(StorageError, "storage_read_only"):
        open_at(tmp_path / "none" / "control.db")


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with fails(StorageError, "storage_read_only"):
        open_at(tmp_path)


def test_another_file_is_no_database_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    before = path.read_bytes()
    with fails(StorageError, "storage_damaged"):
        open_at(path)
    assert path.read_bytes() == before


def test_a_database_of_somebody_else_keeps_its_tables(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE theirs (x)")
        other.execute("INSERT INTO theirs VALUES (1)")
    open_at(path).close()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT x FROM theirs").fetchall() == [(1,)]


def test_a_database_that_is_held_is_named_and_then_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragons.adapters.sql.store.BUSY_MS", 50)
    path = tmp_path / "control.db"
    open_at(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with fails(StorageError, "storage_locked"):
            open_at(path)
        other.execute("ROLLBACK")
    open_at(path).close()


def test_a_writer_that_is_kept_out_says_so_and_goes_on_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragons.adapters.sql.store.BUSY_MS", 50)
    plane = Plane(tmp_path / "control.db")
    acme = plane.tenant()
    size = acme.size()
    with closing(sqlite3.connect(plane.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with fails(StorageError, "storage_locked"):
                acme.publish()
        other.execute("ROLLBACK")
    acme.publish()
    assert acme.size() == size + 1
    plane.store.close()


def test_an_error_of_the_reader_itself_is_not_changed(plane: Plane) -> None:
    with pytest.raises(ZeroDivisionError):
        plane.read(lambda _: 1 // 0)


def test_closing_leaves_one_file(tmp_path: Path) -> None:
    plane = Plane(tmp_path / "control.db")
    plane.tenant()
    plane.store.close()
    assert [file.name for file in tmp_path.iterdir()] == ["control.db"]
