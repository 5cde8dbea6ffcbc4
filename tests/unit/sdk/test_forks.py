from __future__ import annotations

import gc
import os
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from dragons.core.errors import StorageError
from dragons.sdk.errors import SessionStateError
from dragons.sdk.forks import Belonging, closed_in_forks
from dragons.sdk.localstore import LocalStore

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def forked(work: Callable[[], object]) -> int:
    """Run `work` in a forked child; its exit code, 0 when it raised nothing."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - told, and never let into the parent's own frames
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_is_another_process() -> None:
    own = Belonging()
    own.check()
    assert own.here

    def look() -> None:
        assert not own.here
        with pytest.raises(SessionStateError) as caught:
            own.check()
        assert caught.value.code == "session_forked"
        assert "open_session" in caught.value.fix

    assert forked(look) == 0


def test_a_store_is_closed_while_its_process_forks(tmp_path: Path) -> None:
    path = tmp_path / "local.db"
    with LocalStore(path) as store:
        assert store in closed_in_forks

        def look() -> None:
            assert not list(closed_in_forks)
            open_files = {str(Path(one).resolve()) for one in Path("/proc/self/fd").iterdir() if one.exists()}
            assert str(path) not in open_files
            with pytest.raises(SessionStateError):
                store.waiting()
            store.close()
            # A child may have its own.
            with LocalStore(path) as own:
                assert own.waiting() == 0

        assert forked(look) == 0
        assert store.waiting() == 0
    assert store not in closed_in_forks


def test_what_parent_and_child_write_at_once_is_all_there(tmp_path: Path) -> None:
    path = tmp_path / "local.db"
    rounds = 30

    def add(store: LocalStore, name: str) -> None:
        with store._transaction() as db:
            db.execute("INSERT INTO progress VALUES (?, 1, '', x'')", (name,))

    def child() -> None:
        with LocalStore(path) as own:
            for number in range(rounds):
                add(own, f"child-{number}")

    store = LocalStore(path)
    stop = threading.Event()
    written = 0

    def parent() -> None:
        nonlocal written
        while not stop.is_set():
            add(store, f"parent-{written}")
            written += 1
            # SQLite's lock knows no queue: who never lets go of it would starve the child.
            time.sleep(0.001)

    thread = threading.Thread(target=parent)
    thread.start()
    try:
        for _ in range(3):
            assert forked(child) == 0
            with store._transaction() as db:
                db.execute(
                    "UPDATE progress SET instance_id = instance_id || '-' || hex(randomblob(8))"
                    " WHERE instance_id LIKE 'child-%'"
                )
    finally:
        stop.set()
        thread.join()
        store.close()
    check = sqlite3.connect(path)
    try:
        found = [row[0] for row in check.execute("SELECT instance_id FROM progress")]
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        check.close()
    assert len([name for name in found if name.startswith("child-")]) == 3 * rounds
    assert len([name for name in found if name.startswith("parent-")]) == written


def test_a_store_that_cannot_be_opened_again_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path / "local.db")

    def fail() -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk")

    monkeypatch.setattr(store, "_connect", fail)
    assert forked(lambda: None) == 0
    with pytest.raises(StorageError):
        store.waiting()
    store.close()


def test_what_nobody_holds_any_more_is_forgotten(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "local.db")
    store._db.close()
    del store
    gc.collect()
    assert forked(lambda: None) == 0
