from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dragons.core.errors import StorageError
from dragons.core.vocabulary import Outcome
from dragons.evidence.payload import commit
from dragons.sdk.instance import Instance
from dragons.sdk.localstore import TURN_MS, Entry, Holder, LocalStore, closing_name, new_owner
from dragons.sdk.statements import Cycle, StepName
from dragons.wire.base import Recorded
from tests.unit.sdk.kit import READ


def made(instance: Instance, outcome: Outcome = Outcome.COMPLETED, reason: str = "") -> tuple[object, Entry]:
    cycle = Cycle(READ, "r", {"secret": "marker-7391"}, 1, 2, 1, outcome, {}, reason=reason)
    found = instance.stating.claim("ses_" + "0" * 32, "goal", cycle)
    return found.payload, found.entry


def recorded(seq: int) -> Recorded:
    return Recorded(receipt_id=f"rcp_{seq:032}", seq=seq, chain_root=f"{seq:064}", issued_at="t")


def test_payload_and_entry_are_kept_together_or_not_at_all(store: LocalStore, instance: Instance) -> None:
    payload, entry = made(instance)
    other, _ = made(instance)
    store.commit([payload], [entry])
    with pytest.raises(StorageError):
        store.commit([other], [entry])
    assert store.payload(payload.payload_hash) == payload
    assert store.payload(other.payload_hash) is None
    assert [queued.entry for queued in store.head(instance.instance_id, 9)] == [entry]


def test_entries_leave_in_order_and_only_when_acknowledged(store: LocalStore, instance: Instance) -> None:
    entries = [made(instance)[1] for _ in range(3)]
    store.commit([], entries)
    assert [q.entry.name for q in store.head(instance.instance_id, 2)] == [e.name for e in entries[:2]]
    store.acknowledge(instance.instance_id, [(entries[0], recorded(5)), (entries[1], recorded(6))])
    assert store.waiting() == store.waiting(instance.instance_id) == 1
    assert store.waiting("another") == 0
    found = store.receipt(entries[0].name)
    assert found is not None
    assert found.receipt_id == recorded(5).receipt_id
    assert store.receipt("unknown") is None
    store.acknowledge(instance.instance_id, [])
    assert store.waiting() == 1


def test_progress_is_completed_work_that_was_not_done_lately(store: LocalStore, instance: Instance) -> None:
    def acknowledge(seq: int, resource: str, outcome: Outcome = Outcome.COMPLETED) -> tuple[int, str]:
        cycle = Cycle(READ, resource, {}, 1, 2, 1, outcome, {}, reason="denied" * (outcome is Outcome.DENIED))
        entry = instance.stating.claim("ses_" + "0" * 32, "goal", cycle).entry
        store.acknowledge(instance.instance_id, [(entry, recorded(seq))])
        return store.progress(instance.instance_id)[:2]

    first, second = (recorded(seq).chain_root for seq in (1, 5))
    assert store.progress(instance.instance_id) == (0, "", b"")
    assert acknowledge(1, "a") == (1, first)
    assert acknowledge(2, "a") == (1, first)
    assert acknowledge(3, "b", Outcome.FAILED) == (1, first)
    assert acknowledge(4, "c", Outcome.DENIED) == (1, first)
    assert acknowledge(5, "b") == (2, second)
    assert [acknowledge(6 + n, "ab"[n % 2]) for n in range(6)] == [(2, second)] * 6
    assert store.progress("another") == (0, "", b"")


def test_the_tally_is_of_what_is_on_the_record(store: LocalStore, instance: Instance) -> None:
    entries = [made(instance)[1], made(instance)[1], made(instance, Outcome.DENIED, "lease_expired")[1]]
    store.commit([], entries)
    store.acknowledge(instance.instance_id, [(one, recorded(n)) for n, one in enumerate(entries)])
    assert [(d.action, d.outcome, d.reason, d.receipts) for d in store.tally(instance.instance_id)] == [
        (READ, "completed", "", 2),
        (READ, "denied", "lease_expired", 1),
    ]


def test_what_is_refused_is_set_aside_with_its_reason(store: LocalStore, instance: Instance) -> None:
    entry = made(instance)[1]
    store.commit([], [entry])
    queued = store.head(instance.instance_id, 1)[0]
    store.failed([queued.id], "unreachable")
    assert store.head(instance.instance_id, 1)[0].attempts == 1
    store.refuse([(queued.id, "lease_expired", "too late")])
    assert store.waiting() == 0
    assert store.refused(instance.instance_id) == [(entry, "lease_expired", "too late")]


def test_the_key_is_kept_until_nothing_waits(store: LocalStore, instance: Instance) -> None:
    entry = made(instance)[1]
    store.commit([], [entry])
    assert not store.end_holder(instance.instance_id)
    assert [holder.ended for holder in store.holders()] == [True]
    store.acknowledge(instance.instance_id, [(entry, recorded(1))])
    assert store.end_holder(instance.instance_id)
    assert store.holders() == []


def test_a_holder_is_renewed_and_never_shown(store: LocalStore) -> None:
    holder = Holder("i" * 32, "http://x", b"s" * 32, "secret-token", 5, ended=False)
    store.hold(holder)
    store.hold(holder._replace(token="newer", expires_ms=9))
    assert [(one.token, one.expires_ms) for one in store.holders()] == [("newer", 9)]
    assert "newer" not in repr(store.holders())


def test_one_sender_at_a_time(store: LocalStore) -> None:
    mine, other = new_owner(), new_owner()
    assert store.take_turn("i", mine, 1_000)
    assert store.take_turn("i", mine, 2_000)
    assert not store.take_turn("i", other, 2_000)
    assert store.take_turn("j", other, 2_000)
    assert store.take_turn("i", other, 2_000 + TURN_MS)
    assert not store.take_turn("i", mine, 2_000 + TURN_MS)
    # The clock was set back by a day: a turn that seems to last that long is none.
    assert store.take_turn("i", mine, 2_000 - 86_400_000)
    assert store.take_turn("i", other, 2_000, force=True)
    store.end_turn("i", mine)
    assert not store.take_turn("i", mine, 2_000)
    store.end_turn("i", other)
    assert store.take_turn("i", mine, 2_000)


def test_a_dead_process_has_no_turn(store: LocalStore) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert store.take_turn("i", f"{process.pid}-x", 1_000)
    assert store.take_turn("i", new_owner(), 1_000)


def test_erasure_leaves_no_trace_in_file_and_log(
    store: LocalStore, instance: Instance, tmp_path: Path
) -> None:
    payload, entry = made(instance)
    kept, _ = made(instance)
    store.commit([payload, kept], [entry])
    files = list((tmp_path / "tenant").iterdir())
    assert any(payload.salt in file.read_bytes() for file in files)
    assert store.erase([payload.payload_hash, "unknown"]) == 1
    assert not any(payload.salt in file.read_bytes() for file in files)
    assert any(kept.salt in file.read_bytes() for file in files)
    assert store.payload(payload.payload_hash) is None
    assert store.payload(kept.payload_hash) == kept
    assert store.erase([payload.payload_hash]) == 0


def test_erasure_says_when_a_reader_keeps_the_log(
    store: LocalStore, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload, _ = made(instance)
    store.commit([payload], [])
    store._db.execute("PRAGMA busy_timeout=100")
    reader = sqlite3.connect(store.path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM payload").fetchall()
    with pytest.raises(StorageError) as caught:
        store.erase([payload.payload_hash])
    assert caught.value.code == "erasure_incomplete"
    reader.close()
    store.erase([payload.payload_hash])


def test_only_the_owner_can_read_it(store: LocalStore, instance: Instance) -> None:
    store.commit([], [made(instance)[1]])
    for file in store.path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
    assert store.path.parent.stat().st_mode & 0o077 == 0


def test_a_second_store_of_the_process_keeps_the_locks_of_the_first(store: LocalStore) -> None:
    # POSIX drops a process's locks on a file with the first close of any descriptor of it. Without its
    # lock, the last one to close elsewhere would take the log away under the first.
    store.commit([commit({"a": 1})], [])
    LocalStore(store.path).close()
    program = f"from pathlib import Path; from dragons.sdk.localstore import LocalStore; LocalStore(Path({str(store.path)!r})).close()"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert store.path.with_name("local.db-wal").exists()
    store.commit([commit({"a": 2})], [])
    assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_threads_and_processes_share_it(store: LocalStore, instance: Instance) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom dragons.sdk.localstore import LocalStore\n"
        "from dragons.evidence.payload import commit\n"
        "with LocalStore(Path(sys.argv[1])) as store:\n"
        "    for n in range(50): store.commit([commit({'n': n})], [])\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, str(store.path)]) for _ in range(2)]

    def work() -> None:
        for _ in range(50):
            payload, entry = made(instance)
            store.commit([payload], [entry])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0]
    assert store._db.execute("SELECT count(*) FROM payload").fetchone() == (250,)
    assert store.waiting() == 150


def test_a_kill_at_any_moment_leaves_pairs(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from dragons.core.clock import ManualClock\nfrom dragons.sdk.localstore import LocalStore\n"
        "from tests.unit.sdk.kit import Plane\nfrom tests.unit.sdk.test_localstore import made\n"
        "plane = Plane(ManualClock())\n"
        "with LocalStore(Path(sys.argv[1])) as store:\n"
        "    instance = plane.instance(store)\n"
        "    while True:\n"
        "        payload, entry = made(instance)\n"
        "        store.commit([payload], [entry])\n"
        "        print(entry.name, flush=True)\n"
    )
    path = tmp_path / "local.db"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    seen = [process.stdout.readline().strip() for _ in range(40)]
    process.kill()
    seen += [line.strip() for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    with LocalStore(path) as store:
        names = [row[0] for row in store._rows("SELECT name FROM outbox ORDER BY id")]
        assert names[: len(seen)] == seen
        assert len(names) - len(seen) in {0, 1}
        assert store._rows("SELECT count(*) FROM payload") == [(len(names),)]


def test_a_store_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        LocalStore(tmp_path / "file" / "local.db")
    (tmp_path / "garbage.db").write_bytes(b"not a database, not at all" * 100)
    with pytest.raises(StorageError):
        LocalStore(tmp_path / "garbage.db")


def test_names() -> None:
    assert closing_name("ses_1") == "closing:ses_1"
    assert new_owner().startswith(f"{os.getpid()}-")
    assert new_owner() != new_owner()


def test_a_claim_about_a_step_is_found_while_it_waits(store: LocalStore, instance: Instance) -> None:
    entries = []
    for key in ("ab" * 32, "cd" * 32, "ab" * 32):
        cycle = Cycle(READ, "r", {}, 1, 2, 1, Outcome.COMPLETED, {}, name=StepName("t", "s", key))
        found = instance.stating.claim("ses_" + "0" * 32, "goal", cycle)
        store.commit([found.payload], [found.entry])
        entries.append(found.entry)
    newest = store.waiting_step("ab" * 32)
    assert newest is not None
    assert newest.claim_id == entries[2].name
    store.acknowledge(instance.instance_id, [(entry, recorded(1)) for entry in entries])
    assert store.waiting_step("ab" * 32) is None
