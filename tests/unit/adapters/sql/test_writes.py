from __future__ import annotations

import sqlite3

import pytest
from msgspec.structs import replace
from sqlalchemy import create_engine

from dragons.adapters.sql.mapping import names, to_values
from dragons.adapters.sql.schema import MIRRORS, metadata
from dragons.adapters.sql.writes import delete, indexed, insert_text, key_of, update, upsert
from dragons.control.rows import DenialRow, InstanceRow, OrderRow
from dragons.core.vocabulary import OrganismState
from tests.unit.adapters.sql.test_mapping import samples


@pytest.fixture
def database():
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.connect() as connection:
        yield connection.connection.driver_connection
    engine.dispose()


def rows_of(database: sqlite3.Connection, row: type) -> list[object]:
    query = f"SELECT {', '.join(names(row))} FROM {MIRRORS[row].table.name}"  # noqa: S608 - names of the schema
    return database.execute(query).fetchall()


def test_an_insert_names_its_columns() -> None:
    assert insert_text("things", ["a", "b"]) == "INSERT INTO things (a, b) VALUES (?, ?)"


@pytest.mark.parametrize("row", MIRRORS)
def test_a_row_is_written_changed_and_deleted(database: sqlite3.Connection, row: type) -> None:
    mirror = MIRRORS[row]

    def stored() -> list[object]:
        return rows_of(database, row)

    first, other = samples(row, 2), samples(row, 1)
    key = dict(zip(mirror.key, key_of(row)(first), strict=True))
    database.execute(upsert(row), to_values(first))
    assert stored() == [to_values(first)]

    second = replace(other, **key)
    if names(row) != mirror.key:
        database.execute(upsert(row), to_values(second))
        assert stored() == [to_values(second)]

    database.execute(delete(row), tuple(key.values()))
    assert stored() == []


def test_an_update_leaves_what_is_in_an_index(database: sqlite3.Connection) -> None:
    first = samples(InstanceRow, 0)
    database.execute(upsert(InstanceRow), to_values(first))
    text, places = update(InstanceRow)
    wanted = replace(first, beats=7, last_beat=b"x", owed_ms=9, node="elsewhere")
    values = to_values(wanted)
    database.execute(text, tuple(values[at] for at in places))
    assert rows_of(database, InstanceRow) == [to_values(replace(wanted, node=first.node))]
    explained = database.execute(f"EXPLAIN {text}", tuple(values[at] for at in places)).fetchall()
    assert not [step for step in explained if step[1] in {"IdxInsert", "IdxDelete"}]


def test_what_an_index_has_is_what_its_columns_and_its_condition_name() -> None:
    instance = samples(InstanceRow, 0)
    same = indexed(InstanceRow)
    assert same(instance) == same(replace(instance, beats=99, pulse_ms=5, last_beat=b"other"))
    for changed in (
        {"state": OrganismState.STOPPED}, {"node": "n"}, {"agent": "b"}, {"dock_id": "d"}, {"stopped_ms": 4},
        {"dispatch_id": "e"},
    ):  # fmt: skip
        assert same(instance) != same(replace(instance, **changed))
    order = samples(OrderRow, 0)
    assert indexed(OrderRow)(order) != indexed(OrderRow)(replace(order, done_ms=5))


def test_without_indexes_any_two_rows_are_equal_there() -> None:
    assert indexed(DenialRow)(samples(DenialRow, 0)) == indexed(DenialRow)(samples(DenialRow, 1))
