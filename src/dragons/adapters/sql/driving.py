"""Asking the driver itself what is asked in every write: SQLAlchemy's part of the way takes longer than SQLite's.

Queries are still SQLAlchemy's; each is turned into its text once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import CompoundSelect, Connection, Dialect, Select
from sqlalchemy.exc import DBAPIError

Query = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]
# Queries that are built once are few; one that was built anew each time would only wander through here.
_PREPARED_MAX = 512


class Prepared(NamedTuple):
    """A query's text, and for each placeholder its parameter's name and the value where that is fixed."""

    text: str
    places: tuple[tuple[str, Any], ...]


@lru_cache(maxsize=_PREPARED_MAX)
def prepared(query: Query, dialect: Dialect) -> Prepared:
    """The text of a query that was built once; ValueError when it depends on how many values it is given."""
    made = query.compile(dialect=dialect)
    if made.post_compile_params:
        msg = "a list of values has no text before the values are known"
        raise ValueError(msg)
    return Prepared(made.string, tuple((name, made.params.get(name)) for name in made.positiontup or ()))


def fetch(connection: Connection, query: Query, key: Mapping[str, Any]) -> list[Any]:
    """Driver rows of a query that was built once, within the connection's transaction."""
    text, places = prepared(query, connection.dialect)
    return fetch_text(connection, text, [key.get(name, fixed) for name, fixed in places])


def fetch_text(connection: Connection, text: str, parameters: Sequence[Any]) -> list[Any]:
    """Driver rows of a statement; a failure is SQLAlchemy's, as everywhere else."""
    driver = connection.connection.driver_connection
    errors = connection.dialect.loaded_dbapi.Error
    if driver is None:
        return list(connection.exec_driver_sql(text, tuple(parameters)))
    try:
        return list(driver.execute(text, parameters))
    except errors as error:
        raise DBAPIError.instance(
            text, None, error, errors, hide_parameters=True, dialect=connection.dialect
        ) from error
