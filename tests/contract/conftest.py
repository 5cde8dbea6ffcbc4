"""The contract of `dragons.control.ports.Store`, for every adapter. A new adapter is one more line in `ADAPTERS`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from dragons.adapters.sql.store import SqlStore
from dragons.control.ports import Keyring, Store
from dragons.core.clock import Clock
from tests.support.plane import Plane, Tenancy


class Adapter(NamedTuple):
    """How tests open a store at a place, and how somebody else reaches its database with a SQL statement.

    `run_sql` commits, and raises what the database raises.
    """

    open_store: Callable[[Path, Keyring, Clock], Store]
    run_sql: Callable[[Path, str], object]


def run_sqlite(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


ADAPTERS = {
    "sqlite": Adapter(SqlStore, run_sqlite),
}


@pytest.fixture(params=sorted(ADAPTERS))
def adapter(request: pytest.FixtureRequest) -> Adapter:
    return ADAPTERS[request.param]


@pytest.fixture
def plane(adapter: Adapter, tmp_path: Path) -> Iterator[Plane]:
    made = Plane(tmp_path / "control.db", open_store=adapter.open_store)
    yield made
    made.store.close()


@pytest.fixture
def acme(plane: Plane) -> Tenancy:
    return plane.tenant("acme")


@pytest.fixture
def globex(plane: Plane) -> Tenancy:
    return plane.tenant("globex")
