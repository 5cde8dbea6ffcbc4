"""The texts of what writes rows, made once from the schema. Names in them come from there, never from input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import Column
from sqlalchemy.sql.visitors import iterate

from dragons.adapters.sql import schema
from dragons.adapters.sql.mapping import names
from dragons.control.rows import Row


def insert_text(table: str, columns: Sequence[str]) -> str:
    """One row; its parameters are in the order of `columns`."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


@cache
def key_of(row: type[Row]) -> Callable[[Row], tuple[str, ...]]:
    """The primary key of a row of this class."""
    key = schema.MIRRORS[row].key
    get: Callable[[Row], Any] = attrgetter(*key)
    return get if len(key) > 1 else lambda one: (get(one),)


@cache
def upsert(row: type[Row]) -> str:
    """A row that may be there already; its parameters are in the order of `names`."""
    mirror, columns = schema.MIRRORS[row], names(row)
    rest = [name for name in columns if name not in mirror.key]
    return (
        f"{insert_text(mirror.table.name, columns)} ON CONFLICT ({', '.join(mirror.key)}) "
        f"DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in rest)}"
    )


@cache
def update(row: type[Row]) -> tuple[str, tuple[int, ...]]:
    """A row that is there already and equal in what is `indexed`; where its parameters are in `names`.

    SQLite writes an index anew when a column of it is set, even to what it was.
    """
    mirror, columns = schema.MIRRORS[row], names(row)
    set_too = [name for name in columns if name not in mirror.key and name not in _in_indexes(row)]
    text = (
        f"UPDATE {mirror.table.name} SET {', '.join(f'{name} = ?' for name in set_too)} "  # noqa: S608
        f"WHERE {' AND '.join(f'{name} = ?' for name in mirror.key)}"
    )
    return text, tuple(columns.index(name) for name in (*set_too, *mirror.key))


@cache
def indexed(row: type[Row]) -> Callable[[Row], object]:
    """What the indexes of a row class have of a row, its key aside."""
    wanted = sorted(_in_indexes(row) - set(schema.MIRRORS[row].key))
    return attrgetter(*wanted) if wanted else lambda _: None


@cache
def delete(row: type[Row]) -> str:
    """The row with a key; its parameters are in the key's order."""
    mirror = schema.MIRRORS[row]
    return f"DELETE FROM {mirror.table.name} WHERE {' AND '.join(f'{name} = ?' for name in mirror.key)}"  # noqa: S608


@cache
def _in_indexes(row: type[Row]) -> frozenset[str]:
    indexes = schema.MIRRORS[row].table.indexes
    conditions = [index.dialect_options["sqlite"]["where"] for index in indexes]
    parts = [part for where in conditions if where is not None for part in iterate(where)]
    return frozenset(
        [column.name for index in indexes for column in index.columns]
        + [part.name for part in parts if isinstance(part, Column)]
    )
