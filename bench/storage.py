"""How many bytes of disk one receipt takes, and what they are.

Receipts are appended by the real path, the store is closed, and SQLite itself says how many pages each
table and index has and how full they are (`dbstat`); where that is not compiled in, only the whole is known.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bench.append import AGENTS
from bench.figures import Detail, Found, Line, spread
from bench.plane import make
from bench.sizes import Sizes
from dragons.adapters.sql import schema

_PARTS = {
    "header": "canonical header, signed by the ledger",
    "header_signature": "the ledger's signature",
    "statement": "canonical claim, signed by the instance",
    "statement_signatures": "key id and signature of the instance",
    "leaf_hash": "leaf of the Merkle log",
}
_TABLES = {schema.receipts.name, schema.nodes.name}


def measure(sizes: Sizes) -> Found:
    """Bytes a receipt: stored in all and by part, and written on the way."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        plane = make(Path(folder), AGENTS)
        path = plane.settings.database
        try:
            before, receipts = _written_bytes(), plane.size()
            plane.append(sizes.appenders, max(1, sizes.stored // sizes.appenders))
            written = (_written_bytes() - before) / (plane.size() - receipts)
            wal = path.with_name(f"{path.name}-wal").stat().st_size
        finally:
            plane.store.close()
        with closing(sqlite3.connect(path)) as database:
            count = int(database.execute("SELECT count(*) FROM receipts").fetchone()[0])
            whole, details = stored(database, count)
    line = Line(
        name="bytes stored", of=f"one receipt of work of {count:,}, in the store",
        ours=spread([whole]), unit="bytes",
    )  # fmt: skip
    return Found([line], [
        *details,
        Detail("written a receipt", written, "bytes", f"log and its checkpoints, {sizes.appenders} at once"),
        Detail("write-ahead log, file", wal, "bytes", "in all; used again and again, gone when closed"),
    ])  # fmt: skip


def stored(database: sqlite3.Connection, receipts: int) -> tuple[float, list[Detail]]:
    """Bytes a receipt on disk, and by table, index and column."""
    content = list(_content(database))
    try:
        rows = database.execute("SELECT name, sum(pgsize), sum(payload) FROM dbstat GROUP BY name").fetchall()
    except sqlite3.OperationalError:
        page, pages = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count")
        )
        return page * pages / receipts, content
    sizes = {name: (size, payload) for name, size, payload in rows if _table_of(database, name) in _TABLES}
    table, payload = sizes[schema.receipts.name]
    others = payload / receipts - sum(detail.value for detail in content)
    return sum(size for size, _ in sizes.values()) / receipts, [
        *(
            Detail(_name_of(database, name), size / receipts, "bytes", "whole pages")
            for name, (size, _) in sorted(sizes.items(), key=lambda item: -item[1][0])
        ),
        *content,
        Detail("content of other columns", others, "bytes", "names, numbers, times"),
        Detail(
            "not content",
            (table - payload) / receipts,
            "bytes",
            "free or used by SQLite, in the table's pages",
        ),
    ]


def _content(database: sqlite3.Connection) -> Iterator[Detail]:
    columns = ", ".join(f"avg(length({name}))" for name in _PARTS)
    lengths = database.execute(f"SELECT {columns} FROM receipts WHERE kind = 'work'").fetchone()  # noqa: S608 - our own names
    for (name, what), length in zip(_PARTS.items(), lengths, strict=True):
        yield Detail(f"content of {name}", length, "bytes", what)


def _table_of(database: sqlite3.Connection, name: str) -> str:
    found = database.execute("SELECT tbl_name FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    return "" if found is None else str(found[0])


def _name_of(database: sqlite3.Connection, name: str) -> str:
    if name in _TABLES:
        return f"table {name}"
    columns = [row[0] for row in database.execute("SELECT name FROM pragma_index_info(?)", (name,))]
    return f"index of {_table_of(database, name)} by {', '.join(columns)}"


def _written_bytes() -> int:
    """What this process has handed to the system to write, so far."""
    for line in Path("/proc/self/io").read_text("ascii").splitlines():
        name, _, value = line.partition(": ")
        if name == "wchar":
            return int(value)
    msg = "/proc/self/io names no wchar"
    raise ValueError(msg)
