"""Asking one connection for rows: what every reader is made of.

What runs in every request is built once: SQLAlchemy takes longer to build a query than SQLite to answer it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Result, Select, Table, bindparam, select

from dragons.adapters.sql import schema
from dragons.adapters.sql.driving import Query
from dragons.adapters.sql.mapping import from_values, names

R = TypeVar("R")


def columns(row: type) -> list[Any]:
    """The columns of a row class, in its own order."""
    table = schema.MIRRORS[row].table
    return [table.c[name] for name in names(row)]


def if_given(**wanted: str | None) -> dict[str, str]:
    """What of `wanted` is not None."""
    return {name: value for name, value in wanted.items() if value is not None}


@cache
def _by_key(table: Table, key: tuple[str, ...], order: tuple[str, ...] = ()) -> Select[Any]:
    """The rows with these columns equal to parameters of the same names; one row when there is no order."""
    query = select(table).where(*(table.c[name] == bindparam(name) for name in key))
    return query.order_by(*(table.c[name] for name in order)) if order else query.limit(1)


class Asking:
    """Rows of one connection's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _ask(self, query: Executable, key: dict[str, Any] | None = None) -> Result[Any]:
        """The answer to every query of this class."""
        return self._connection.execute(query, key)

    def _values(self, query: Query, key: dict[str, Any] | None = None) -> list[Any]:
        """The answer as tuples of driver values."""
        return list(self._ask(query, key))

    def _rows(self, row: type[R], query: Select[Any], key: dict[str, Any] | None = None) -> list[R]:
        return [from_values(row, values) for values in self._values(query, key)]

    def _value(self, query: Query, key: dict[str, Any]) -> Any:  # noqa: ANN401 - a driver's value
        """The one value of the first row, None where there is none."""
        found = self._values(query, key)
        return found[0][0] if found else None

    def _find(self, row: type[R], **key: object) -> R | None:
        found = self._rows(row, _by_key(schema.MIRRORS[row].table, tuple(key)), key)
        return found[0] if found else None

    def _list(self, row: type[R], *order: str, **key: object) -> list[R]:
        return self._rows(row, _by_key(schema.MIRRORS[row].table, tuple(key), order), key)
