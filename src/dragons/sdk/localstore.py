"""The tenant-local store: payloads with their salts, and what waits to be sent. One SQLite file.

A payload and the statement that commits to it are written in one transaction, before anything is
sent; a statement leaves only after its acknowledgement. Erasure destroys salt and body in the file and
in its log. Never sends anything, and is never readable by others: the keys of instances whose work
still waits are kept here.

SQLite survives no fork: its locks are a process's, its memory of them is copied. So every store is closed
while its process forks, opened anew in the parent, and gone in the child.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import reduce
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple, Self

from dragons.core.canonical import encode
from dragons.core.errors import StorageError
from dragons.core.ids import new_nonce
from dragons.core.statement import Envelope, parse_envelope
from dragons.core.vocabulary import Outcome
from dragons.evidence.payload import Payload
from dragons.evidence.receipt import CLAIM, Claim
from dragons.liveness.progress import observe
from dragons.sdk.forks import Belonging, apart, closed_in_forks
from dragons.sdk.home import FOLDER_MODE, SECRET_MODE
from dragons.wire.base import Recorded

BUSY_SECONDS_MAX = 10
# A sender that died does not hold the others up for longer than this.
TURN_MS = 30_000

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS payload (
         payload_hash TEXT PRIMARY KEY, salt BLOB NOT NULL, body BLOB NOT NULL) STRICT""",
    """CREATE TABLE IF NOT EXISTS outbox (
         id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, instance_id TEXT NOT NULL,
         session_id TEXT NOT NULL, kind TEXT NOT NULL, statement BLOB NOT NULL,
         attempts INTEGER NOT NULL DEFAULT 0, why TEXT NOT NULL DEFAULT '') STRICT""",
    "CREATE INDEX IF NOT EXISTS outbox_by_instance ON outbox (instance_id, id)",
    """CREATE TABLE IF NOT EXISTS refused (
         name TEXT PRIMARY KEY, instance_id TEXT NOT NULL, session_id TEXT NOT NULL, kind TEXT NOT NULL,
         statement BLOB NOT NULL, code TEXT NOT NULL, detail TEXT NOT NULL) STRICT""",
    """CREATE TABLE IF NOT EXISTS holder (
         instance_id TEXT PRIMARY KEY, url TEXT NOT NULL, seed BLOB NOT NULL, token TEXT NOT NULL,
         expires_ms INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0) STRICT""",
    """CREATE TABLE IF NOT EXISTS turn (
         instance_id TEXT PRIMARY KEY, owner TEXT NOT NULL, until_ms INTEGER NOT NULL) STRICT""",
    """CREATE TABLE IF NOT EXISTS progress (
         instance_id TEXT PRIMARY KEY, receipts INTEGER NOT NULL, chain_root TEXT NOT NULL,
         seen BLOB NOT NULL) STRICT""",
    """CREATE TABLE IF NOT EXISTS receipt (
         name TEXT PRIMARY KEY, receipt_id TEXT NOT NULL, seq INTEGER NOT NULL, chain_root TEXT NOT NULL,
         issued_at TEXT NOT NULL, instance_id TEXT NOT NULL, session_id TEXT NOT NULL, action TEXT NOT NULL,
         outcome TEXT NOT NULL, reason TEXT NOT NULL) STRICT""",
    "CREATE INDEX IF NOT EXISTS receipt_by_instance ON receipt (instance_id)",
)


class Entry(NamedTuple):
    """A statement that is to be sent. `name` is unique: a claim's id, or what `closing_name` makes."""

    name: str
    instance_id: str
    session_id: str
    kind: str
    statement: Envelope


class Queued(NamedTuple):
    """An entry as it waits, oldest first by `id`."""

    id: int
    entry: Entry
    attempts: int


class Refused(NamedTuple):
    """A statement that the control plane will not take, and its reason code."""

    entry: Entry
    code: str
    detail: str


class Holder(NamedTuple):
    """What is needed to send for an instance, whose lease ends at `expires_ms`.

    `ended` when its process said that it is finished.
    """

    instance_id: str
    url: str
    seed: bytes
    token: str
    expires_ms: int
    ended: bool

    def __repr__(self) -> str:
        return f"Holder({self.instance_id})"


class Done(NamedTuple):
    """Receipts of one kind in one session; `action` and `outcome` are empty where they record no action."""

    session_id: str
    action: str
    outcome: str
    reason: str
    receipts: int


class Advanced(NamedTuple):
    """How many receipts of an instance record work that it had not done lately; the newest's chain root.

    `seen` is the memory of `dragons.liveness.progress`.
    """

    receipts: int = 0
    chain_root: str = ""
    seen: bytes = b""


class LocalStore:
    """One open store. May be shared by threads; several processes may each open their own."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file; StorageError when that fails."""
        self.path = path
        self.belonging = Belonging()
        self._lock = RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
            # SQLite gives its log the mode of the file, so the file is made before SQLite opens it. Never
            # open one that is there: closing it again would drop the locks of every other connection
            # of this process, and with them the file's integrity.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SECRET_MODE))
            with apart:
                self._db = self._connect()
                closed_in_forks.add(self)
        except (OSError, sqlite3.Error) as error:
            raise _failed(path, error) from error
        with self._transaction() as db:
            for statement in _SCHEMA:
                db.execute(statement)

    def commit(self, payloads: Iterable[Payload], entries: Iterable[Entry]) -> None:
        """Keep payloads and put their statements in the queue: all of it or nothing, durably."""
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO payload (payload_hash, salt, body) VALUES (?, ?, ?)",
                [(one.payload_hash, one.salt, one.body) for one in payloads],
            )
            db.executemany(
                "INSERT INTO outbox (name, instance_id, session_id, kind, statement) VALUES (?, ?, ?, ?, ?)",
                [(*entry[:4], encode(entry.statement)) for entry in entries],
            )

    def head(self, instance_id: str, limit: int) -> list[Queued]:
        """The oldest entries of an instance, in order."""
        rows = self._rows(
            "SELECT id, name, instance_id, session_id, kind, statement, attempts FROM outbox"
            " WHERE instance_id = ? ORDER BY id LIMIT ?",
            (instance_id, limit),
        )
        return [Queued(row[0], _entry(row[1:6]), row[6]) for row in rows]

    def waiting_step(self, step_key: str) -> Claim | None:
        """The newest claim about a step that is not acknowledged, of any instance."""
        rows = self._rows("SELECT statement FROM outbox WHERE kind = ? ORDER BY id DESC", (CLAIM,))
        claims = (parse_envelope(row[0]).body(CLAIM, Claim) for row in rows)
        return next((claim for claim in claims if claim.step_key == step_key), None)

    def waiting(self, instance_id: str = "") -> int:
        """How many entries of an instance, or of all, are not acknowledged."""
        rows = self._rows("SELECT count(*) FROM outbox WHERE ? IN ('', instance_id)", (instance_id,))
        return int(rows[0][0])

    def acknowledge(self, instance_id: str, receipts: Sequence[tuple[Entry, Recorded]]) -> None:
        """These entries have their receipts: they wait no longer."""
        if not receipts:
            return
        rows = [
            (
                entry.name,
                one.receipt_id,
                one.seq,
                one.chain_root,
                one.issued_at,
                instance_id,
                entry.session_id,
                *_did(entry),
            )
            for entry, one in receipts
        ]
        with self._transaction() as db:
            db.executemany("DELETE FROM outbox WHERE name = ?", [(entry.name,) for entry, _ in receipts])
            db.executemany("INSERT OR IGNORE INTO receipt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            before = self.progress(instance_id)
            after = reduce(_advance, receipts, before)
            if after != before:
                db.execute("INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?)", (instance_id, *after))

    def tally(self, instance_id: str) -> list[Done]:
        """What an instance's receipts say it did, counted, by session."""
        rows = self._rows(
            "SELECT session_id, action, outcome, reason, count(*) FROM receipt WHERE instance_id = ?"
            " GROUP BY session_id, action, outcome, reason ORDER BY min(seq)",
            (instance_id,),
        )
        return [Done(row[0], row[1], row[2], row[3], row[4]) for row in rows]

    def receipt(self, name: str) -> Recorded | None:
        """The receipt of a claim, by its id, or of a session's `closing_name`."""
        rows = self._rows(
            "SELECT receipt_id, seq, chain_root, issued_at FROM receipt WHERE name = ?", (name,)
        )
        if not rows:
            return None
        receipt_id, seq, chain_root, issued_at = rows[0]
        return Recorded(receipt_id=receipt_id, seq=seq, chain_root=chain_root, issued_at=issued_at)

    def progress(self, instance_id: str) -> Advanced:
        """How far the receipts on the record show that an instance's work has come."""
        rows = self._rows(
            "SELECT receipts, chain_root, seen FROM progress WHERE instance_id = ?", (instance_id,)
        )
        return Advanced(*rows[0]) if rows else Advanced()

    def refuse(self, ids_with_reasons: Iterable[tuple[int, str, str]]) -> None:
        """Set entries aside that the control plane refuses for good, with code and detail."""
        with self._transaction() as db:
            for one, code, detail in ids_with_reasons:
                db.execute(
                    "INSERT OR REPLACE INTO refused SELECT name, instance_id, session_id, kind, statement,"
                    " ?, ? FROM outbox WHERE id = ?",
                    (code, detail, one),
                )
                db.execute("DELETE FROM outbox WHERE id = ?", (one,))

    def refused(self, instance_id: str = "") -> list[Refused]:
        """What was set aside, of one instance or of all."""
        rows = self._rows(
            "SELECT name, instance_id, session_id, kind, statement, code, detail FROM refused"
            " WHERE ? IN ('', instance_id) ORDER BY name",
            (instance_id,),
        )
        return [Refused(_entry(row[:5]), row[5], row[6]) for row in rows]

    def failed(self, ids: Sequence[int], why: str) -> None:
        """Note one more attempt that did not arrive."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE outbox SET attempts = attempts + 1, why = ? WHERE id = ?", [(why, one) for one in ids]
            )

    def hold(self, holder: Holder) -> None:
        """Keep what is needed to send an instance's work, should its process end before."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO holder VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (instance_id) DO UPDATE"
                " SET url = excluded.url, token = excluded.token, expires_ms = excluded.expires_ms",
                (*holder[:5], int(holder.ended)),
            )

    def holders(self) -> list[Holder]:
        """The instances whose work can still be sent."""
        rows = self._rows(
            "SELECT instance_id, url, seed, token, expires_ms, ended FROM holder ORDER BY instance_id"
        )
        return [Holder(row[0], row[1], row[2], row[3], row[4], bool(row[5])) for row in rows]

    def end_holder(self, instance_id: str) -> bool:
        """The instance is finished: destroy its key here once nothing waits; True when it is destroyed."""
        with self._transaction() as db:
            db.execute("UPDATE holder SET ended = 1 WHERE instance_id = ?", (instance_id,))
            done = db.execute(
                "DELETE FROM holder WHERE instance_id = ?1"
                " AND NOT EXISTS (SELECT 1 FROM outbox WHERE instance_id = ?1)",
                (instance_id,),
            ).rowcount
            if done:
                db.execute("DELETE FROM turn WHERE instance_id = ?", (instance_id,))
        return done == 1

    def take_turn(self, instance_id: str, owner: str, now_ms: int, *, force: bool = False) -> bool:
        """Become or stay the one that sends for an instance; False while another one does.

        `force` takes it anyway, and so does the death of the process that had it: two senders do no
        harm, because a claim is appended once.
        """
        with self._transaction() as db:
            held = db.execute("SELECT owner FROM turn WHERE instance_id = ?", (instance_id,)).fetchone()
            force = force or (held is not None and not _lives(held[0]))
            taken = db.execute(
                "INSERT INTO turn VALUES (?1, ?2, ?3 + ?4) ON CONFLICT (instance_id) DO UPDATE"
                " SET owner = ?2, until_ms = ?3 + ?4"
                # A time beyond any turn's end was written before the clock was set back.
                " WHERE owner = ?2 OR until_ms <= ?3 OR until_ms > ?3 + ?4 OR ?5",
                (instance_id, owner, now_ms, TURN_MS, force),
            ).rowcount
        return taken == 1

    def end_turn(self, instance_id: str, owner: str) -> None:
        """Let others send."""
        with self._transaction() as db:
            db.execute("DELETE FROM turn WHERE instance_id = ? AND owner = ?", (instance_id, owner))

    def payload(self, payload_hash: str) -> Payload | None:
        """The payload that a hash commits to; None when it was erased or lies elsewhere."""
        rows = self._rows("SELECT salt, body FROM payload WHERE payload_hash = ?", (payload_hash,))
        return Payload(payload_hash=payload_hash, salt=rows[0][0], body=rows[0][1]) if rows else None

    def erase(self, payload_hashes: Iterable[str]) -> int:
        """Destroy payloads and salts, in the file and in its log; returns how many there were.

        StorageError when another process reads all the while, so that the log can't be emptied: the
        payloads are gone from the store then, and a second call finishes the destruction.
        """
        with self._transaction() as db:
            erased = db.executemany(
                "DELETE FROM payload WHERE payload_hash = ?", [(one,) for one in payload_hashes]
            ).rowcount
        with self._guard():
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise StorageError(
                "erasure_incomplete",
                f"Another process is reading {self.path}; erased payloads may remain in its log.",
                fix="Erase again when that process has ended.",
            )
        return max(0, erased)

    def close(self) -> None:
        """Release the file. Waits for a transaction of another thread."""
        if self.belonging.here:
            with apart, self._lock:
                closed_in_forks.discard(self)
                self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def before_fork(self) -> None:
        """Close the file and keep everybody out; `after_fork` follows in parent and child."""
        self._lock.acquire()
        with suppress(sqlite3.Error):
            self._db.close()

    def after_fork(self) -> None:
        """Go on, in the parent only. A file that can't be opened again says so at its next use."""
        with suppress(sqlite3.Error):
            if self.belonging.here:
                self._db = self._connect()
        self._lock.release()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS_MAX, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                db.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _rows(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        with self._guard():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        self.belonging.check()
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise _failed(self.path, error) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guard():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def new_owner() -> str:
    """A name for a sender in this process."""
    return f"{os.getpid()}-{new_nonce()}"


def closing_name(session_id: str) -> str:
    """The name under which a session's closing waits and has its receipt."""
    return f"closing:{session_id}"


def _lives(owner: str) -> bool:
    """False when the process of a sender on this machine is certainly gone."""
    try:
        os.kill(int(owner.partition("-")[0]), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError):
        return True
    return True


def _advance(before: Advanced, one: tuple[Entry, Recorded]) -> Advanced:
    """As the control plane judges it: completed work is progress when nothing like it was done lately."""
    entry, recorded = one
    if entry.kind != CLAIM:
        return before
    claim = entry.statement.body(CLAIM, Claim)
    if claim.outcome is not Outcome.COMPLETED or not isinstance(claim.likeness, str):
        return before
    seen, novel = observe(before.seen, claim.likeness)
    return Advanced(before.receipts + 1, recorded.chain_root, seen) if novel else before._replace(seen=seen)


def _did(entry: Entry) -> tuple[str, str, str]:
    if entry.kind != CLAIM:
        return ("", "", "")
    claim = entry.statement.body(CLAIM, Claim)
    return (claim.action, claim.outcome.value, claim.reason if isinstance(claim.reason, str) else "")


def _entry(row: Any) -> Entry:  # noqa: ANN401 - a row of the tables above
    name, instance_id, session_id, kind, statement = row
    return Entry(name, instance_id, session_id, kind, parse_envelope(statement))


def _failed(path: Path, error: Exception) -> StorageError:
    return StorageError(
        "local_store_failed",
        f"The local store {path} failed: {error}.",
        fix="Check free space and permissions; nothing is sent before it is stored.",
    )
