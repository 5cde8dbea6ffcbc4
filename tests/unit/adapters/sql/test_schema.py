from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import StaticPool

from dragons.adapters.sql import schema
from dragons.core.errors import StorageError
from tests.support.expect import fails


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as made:
        yield made
    engine.dispose()


def run(connection: Connection, statement: str) -> None:
    connection.execute(text(statement))


def test_a_new_database_gets_every_table_index_and_trigger(connection: Connection) -> None:
    schema.prepare(connection)
    found = inspect(connection)
    assert set(found.get_table_names()) == set(schema.metadata.tables)
    triggers = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars()
    assert set(triggers) == {
        f"{table}_no_{verb}" for table in schema.APPEND_ONLY for verb in ("update", "delete")
    }
    version = connection.execute(text("SELECT version FROM schema_version")).scalars().all()
    assert version == [schema.SCHEMA_VERSION]


def test_preparing_again_changes_nothing(connection: Connection) -> None:
    schema.prepare(connection)
    query = text("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")
    before = connection.execute(query).all()
    schema.prepare(connection)
    assert connection.execute(query).all() == before


@pytest.mark.parametrize("table", schema.APPEND_ONLY)
def test_what_must_stay_stays(connection: Connection, table: str) -> None:
    schema.prepare(connection)
    columns = schema.metadata.tables[table].columns
    names = ", ".join(column.name for column in columns)
    values = ", ".join("1" for _ in columns)
    run(connection, f"INSERT INTO {table} ({names}) VALUES ({values})")  # noqa: S608 - names of the schema
    for statement in (f"UPDATE {table} SET tenant_id = 2", f"DELETE FROM {table}"):  # noqa: S608
        with pytest.raises(IntegrityError, match=f"{table} is append-only"):
            run(connection, statement)


@pytest.mark.parametrize(
    "version", [str(schema.SCHEMA_VERSION + 1), str(schema.SCHEMA_VERSION - 1), "0", "NULL"]
)
def test_another_version_is_refused(connection: Connection, version: str) -> None:
    schema.prepare(connection)
    if version == "NULL":
        run(connection, "DELETE FROM schema_version")
    else:
        run(connection, f"UPDATE schema_version SET version = {version}")  # noqa: S608
    with fails(StorageError, "schema_version"):
        schema.prepare(connection)


@pytest.mark.parametrize("table", sorted(schema.metadata.tables))
def test_a_lost_table_is_not_made_anew(connection: Connection, table: str) -> None:
    schema.prepare(connection)
    run(connection, f"DROP TABLE {table}")
    for _ in range(2):
        with pytest.raises(StorageError, match=f"lost its table {table}") as caught:
            schema.prepare(connection)
        assert caught.value.code == "storage_damaged"
    assert not inspect(connection).has_table(table)


INDEXES = sorted(str(index.name) for table in schema.metadata.tables.values() for index in table.indexes)


@pytest.mark.parametrize("index", INDEXES)
def test_a_lost_index_is_noticed(connection: Connection, index: str) -> None:
    schema.prepare(connection)
    run(connection, f"DROP INDEX {index}")
    with pytest.raises(StorageError, match=f"lost its index {index}"):
        schema.prepare(connection)


def test_a_lost_trigger_is_made_again(connection: Connection) -> None:
    schema.prepare(connection)
    run(connection, "DROP TRIGGER receipts_no_update")
    schema.prepare(connection)
    names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars()
    assert "receipts_no_update" in set(names)


@pytest.mark.parametrize("row", schema.MIRRORS, ids=lambda row: row.__name__)
def test_a_table_has_the_columns_of_its_row(row: type) -> None:
    table, key = schema.MIRRORS[row]
    assert [column.name for column in table.columns] == list(row.__annotations__)
    assert tuple(column.name for column in table.primary_key) == key
    for name, kind in row.__annotations__.items():
        assert table.c[name].nullable is kind.endswith("| None")


def test_every_row_but_a_tokens_is_found_by_its_tenant_first() -> None:
    """What belongs to a tenant can't be overwritten by another: its key begins with the tenant."""
    keyed = {table.name: next(iter(table.primary_key)).name for table in schema.metadata.tables.values()}
    assert {name for name, first in keyed.items() if first != "tenant_id"} == {"tokens", "schema_version"}
