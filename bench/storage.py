"""How many bytes of disk one receipt takes, and what they are.

Receipts are appended by the real path, the store is closed, and SQLite itself says how many pages each
table and index has (`dbstat`); where that is not compiled in, only the whole is known.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from bench.append import AGENTS
from bench.figures import Detail, Found, Line, spread
from bench.plane import make
from bench.sizes import Sizes
from dragons.adapters.sql import schema

_PARTS = ("header", "header_signature", "statement", "statement_signatures", "leaf_hash")


def measure(sizes: Sizes) -> Found:
    """Bytes a receipt, in all and by part."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        plane = make(Path(folder), AGENTS)
        try:
            plane.append(sizes.appenders, max(1, sizes.stored // sizes.appenders))
        finally:
            plane.store.close()
        with closing(sqlite3.connect(plane.settings.database)) as database:
            return _sizes(database)


def _sizes(database: sqlite3.Connection) -> Found:
    receipts = int(database.execute("SELECT count(*) FROM receipts").fetchone()[0])
    (page,), (pages,) = (
        database.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "page_count")
    )
    try:
        taken = dict(database.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
    except sqlite3.OperationalError:
        whole, details = page * pages, []
    else:
        mine = {name: size for name, size in taken.items() if _table_of(database, name) in _TABLES}
        whole = sum(mine.values())
        details = [
            Detail(_name_of(database, name), size / receipts, "bytes", "pages of SQLite")
            for name, size in sorted(mine.items(), key=lambda item: -item[1])
        ]
    columns = ", ".join(f"avg(length({name}))" for name in _PARTS)
    lengths = database.execute(f"SELECT {columns} FROM receipts WHERE kind = 'work'").fetchone()  # noqa: S608 - our own names
    return Found(
        [
            Line(
                name="bytes stored",
                of="one receipt of work, in the store",
                ours=spread([whole / receipts]),
                unit="bytes",
            )
        ],
        [
            *details,
            *(
                Detail(f"content of {name}", length, "bytes", "in the table's row")
                for name, length in zip(_PARTS, lengths, strict=True)
            ),
            Detail("receipts", receipts, "receipts"),
        ],
    )


_TABLES = {schema.receipts.name, schema.nodes.name}


def _table_of(database: sqlite3.Connection, name: str) -> str:
    found = database.execute("SELECT tbl_name FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    return "" if found is None else str(found[0])


def _name_of(database: sqlite3.Connection, name: str) -> str:
    if name in _TABLES:
        return f"table {name}"
    columns = [row[0] for row in database.execute("SELECT name FROM pragma_index_info(?)", (name,))]
    return f"index of {_table_of(database, name)} by {', '.join(columns)}"
