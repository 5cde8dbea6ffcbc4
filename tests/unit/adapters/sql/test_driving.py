from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, bindparam, create_engine, select
from sqlalchemy.exc import OperationalError

from dragons.adapters.sql.driving import fetch, fetch_text, prepared
from dragons.adapters.sql.schema import MIRRORS, metadata
from dragons.control.rows import TimerRow

TIMERS = MIRRORS[TimerRow].table
DUE = (
    select(TIMERS.c.key, TIMERS.c.due_ms)
    .where(TIMERS.c.due_ms <= bindparam("now_ms"), TIMERS.c.kind == "order")
    .order_by(TIMERS.c.due_ms)
    .limit(2)
)


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as made:
        for number in range(4):
            row = {"tenant_id": "t", "kind": "order", "key": str(number), "due_ms": number}
            made.execute(TIMERS.insert().values(**row))
        yield made
    engine.dispose()


@pytest.mark.parametrize("now_ms", [-1, 0, 1, 9])
def test_the_driver_answers_what_sqlalchemy_does(connection: Connection, now_ms: int) -> None:
    expected = [tuple(row) for row in connection.execute(DUE, {"now_ms": now_ms})]
    assert fetch(connection, DUE, {"now_ms": now_ms}) == expected


def test_a_query_is_turned_into_text_once(connection: Connection) -> None:
    assert prepared(DUE, connection.dialect) is prepared(DUE, connection.dialect)


def test_a_query_whose_text_depends_on_its_values_is_refused(connection: Connection) -> None:
    with pytest.raises(ValueError, match="list of values"):
        prepared(select(TIMERS.c.key).where(TIMERS.c.kind.in_(["order"])), connection.dialect)


def test_what_is_not_committed_is_seen_and_may_be_taken_back(connection: Connection) -> None:
    inner = connection.begin_nested()
    connection.execute(TIMERS.delete())
    assert fetch(connection, DUE, {"now_ms": 9}) == []
    inner.rollback()
    assert len(fetch(connection, DUE, {"now_ms": 9})) == 2


def test_a_failure_is_sqlalchemys(connection: Connection) -> None:
    with pytest.raises(OperationalError) as caught:
        fetch_text(connection, "SELECT 1 FROM nowhere", ())
    assert "no such table" in str(caught.value.orig)
