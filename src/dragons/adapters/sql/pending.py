"""Rows that are to be written, gathered until somebody asks: many changes of a row are one, many rows one statement."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import Connection

from dragons.adapters.sql.mapping import to_values
from dragons.adapters.sql.writes import delete, indexed, update, upsert
from dragons.control.rows import Row

Key = tuple[str, ...]


class Pending:
    """What one transaction has changed and not yet sent, by row class and key; the last change counts."""

    def __init__(self) -> None:
        self._whole: dict[type[Row], dict[Key, Row]] = defaultdict(dict)
        # Equal to what the database has in everything that an index has, which is most of a write's cost.
        self._plain: dict[type[Row], dict[Key, Row]] = defaultdict(dict)
        self._gone: dict[type[Row], dict[Key, None]] = defaultdict(dict)
        self._any = False

    def put(self, row: Row, key: Key, before: Row | None) -> None:
        """Write `row`; `before` is what was put or read under its key last, None when that isn't known."""
        self._any = True
        kind = type(row)
        whole = self._whole[kind]
        if before is not None and key not in whole:
            have = indexed(kind)
            if have(before) == have(row):
                self._plain[kind][key] = row
                return
        self._plain[kind].pop(key, None)
        self._gone[kind].pop(key, None)
        whole[key] = row

    def drop(self, kind: type[Row], key: Key) -> None:
        """Delete the row with this key, if there is one."""
        self._any = True
        self._whole[kind].pop(key, None)
        self._plain[kind].pop(key, None)
        self._gone[kind][key] = None

    def flush(self, connection: Connection) -> None:
        """Send everything."""
        if not self._any:
            return
        self._any = False
        for kind, keys in self._gone.items():
            if keys:
                connection.exec_driver_sql(delete(kind), list(keys))
                keys.clear()
        for kind, pending in self._whole.items():
            if pending:
                connection.exec_driver_sql(upsert(kind), [to_values(row) for row in pending.values()])
                pending.clear()
        for kind, pending in self._plain.items():
            if pending:
                text, places = update(kind)
                changed = [to_values(row) for row in pending.values()]
                connection.exec_driver_sql(text, [tuple(values[at] for at in places) for values in changed])
                pending.clear()
