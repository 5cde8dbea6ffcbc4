from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import Connection, create_engine, event, text

from dragons.adapters.sql.mapping import names, to_values
from dragons.adapters.sql.pending import Pending
from dragons.adapters.sql.schema import metadata
from dragons.control.rows import InstanceRow, Row
from tests.unit.adapters.sql.test_mapping import samples

FIRST = samples(InstanceRow, 0)
CHANGES: list[dict[str, object]] = [
    {"beats": 1},
    {"beats": 2, "last_beat": b"x"},
    {"node": "a"},
    {"node": "b"},
]


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.connect() as made:
        yield made
    engine.dispose()


def stored(connection: Connection) -> dict[str, tuple[object, ...]]:
    columns = names(InstanceRow)
    found = connection.execute(text(f"SELECT {', '.join(columns)} FROM instances"))  # noqa: S608 - of the schema
    return {values[columns.index("instance_id")]: tuple(values) for values in found}


@given(
    steps=st.lists(
        st.tuples(st.sampled_from("pdf"), st.sampled_from("ab"), st.integers(0, len(CHANGES) - 1)),
        max_size=20,
    )
)
def test_what_is_stored_is_what_was_put_last(steps: list[tuple[str, str, int]]) -> None:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    expected: dict[str, Row] = {}
    with engine.connect() as connection:
        pending = Pending()
        for what, name, number in steps:
            key = (FIRST.tenant_id, name)
            if what == "p":
                row = replace(expected.get(name, replace(FIRST, instance_id=name)), **CHANGES[number])
                pending.put(row, key, expected.get(name))
                expected[name] = row
            elif what == "d":
                pending.drop(InstanceRow, key)
                expected.pop(name, None)
            else:
                pending.flush(connection)
        pending.flush(connection)
        assert stored(connection) == {name: to_values(row) for name, row in expected.items()}
    engine.dispose()


def test_what_no_index_has_is_updated_alone(connection: Connection) -> None:
    sent: list[str] = []
    event.listen(connection, "before_cursor_execute", lambda _c, _u, statement, *_: sent.append(statement))
    pending = Pending()
    key = (FIRST.tenant_id, FIRST.instance_id)
    pending.flush(connection)
    assert not sent
    pending.put(FIRST, key, None)
    pending.flush(connection)
    pending.put(replace(FIRST, beats=5), key, FIRST)
    pending.flush(connection)
    assert [statement.split()[0] for statement in sent] == ["INSERT", "UPDATE"]
