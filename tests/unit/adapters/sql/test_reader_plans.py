"""Queries that run in every sweep, report or launch find their rows by an index made for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event

from dragons.adapters.sql.reader import SqlReader
from dragons.adapters.sql.schema import metadata

Ask = Callable[[SqlReader], object]

QUERIES: dict[str, tuple[str, Ask]] = {
    "timers due": ("timers_by_due", lambda r: r.timers_due("t", 1, 5)),
    "orders of a node": ("orders_waiting", lambda r: r.orders("t", target="here")),
    "orders of a dispatch": ("orders_by_dispatch", lambda r: r.orders("t", dispatch_id="d", open_only=False)),
    "live instances": ("instances_live", lambda r: r.instances("t", live=True)),
    "live instances of an agent": (
        "instances_live_by_agent",
        lambda r: r.instances("t", agent="a", live=True),
    ),
    "instances of an agent": ("instances_live_by_agent", lambda r: r.instances("t", agent="a")),
    "instances of a dispatch": ("instances_by_dispatch", lambda r: r.instances("t", dispatch_id="d")),
    "live instances of a dispatch": (
        "instances_by_dispatch",
        lambda r: r.instances("t", dispatch_id="d", live=True),
    ),
    "live instances of a node": ("instances_live_by_node", lambda r: r.live_on("t", "n")),
    "live instances of a dock": (
        "instances_live_by_dock",
        lambda r: r.live_under("t", "d", but_dispatch="x"),
    ),
    "leases delegated under one": ("leases_by_parent", lambda r: r.leases_under("t", "l")),
    "messages due": ("messages_waiting", lambda r: r.messages_due("t", 1, 5)),
    "open sessions": ("sessions_by_instance", lambda r: r.sessions("t", instance_id="i", open_only=True)),
    "decisions": ("decisions_by_session", lambda r: r.decisions("t", "s")),
}


@pytest.mark.parametrize("name", QUERIES)
def test_the_index_is_used(tmp_path: Path, name: str) -> None:
    index, ask = QUERIES[name]
    engine = create_engine(f"sqlite:///{tmp_path / 'plan.db'}")
    metadata.create_all(engine)
    asked: list[tuple[str, Any]] = []
    with engine.connect() as connection:

        @event.listens_for(connection, "before_cursor_execute")
        def _(_conn: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
            asked.append((statement, parameters))

        ask(SqlReader(connection))
        statement, parameters = asked[0]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    engine.dispose()
    # One that begins like this: among those of live instances any will do.
    assert f"INDEX {index}" in plan[0][3], plan
