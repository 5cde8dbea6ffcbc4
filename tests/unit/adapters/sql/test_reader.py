from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import event

from dragons.adapters.sql import reader as module
from dragons.control.ports import Filter
from dragons.core import ids
from dragons.core.errors import StorageError
from dragons.core.ids import new_id
from dragons.evidence.merkle import node_hash
from tests.support.appending import append, appender, rows_of
from tests.support.expect import fails
from tests.support.plane import Plane, Tenancy

SESSION = new_id(ids.SESSION, 1)


def plans(plane: Plane, look: Callable[[Any], Any]) -> list[str]:
    """How SQLite would run each query of `look`."""
    asked: list[tuple[str, Any]] = []

    def note(_connection, _cursor, statement, parameters, *_):
        asked.append((statement, parameters))

    engine = plane.store._reading  # type: ignore[attr-defined]
    event.listen(engine, "before_cursor_execute", note)
    try:
        plane.read(look)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    with closing(sqlite3.connect(plane.path)) as other:
        return [
            row[3]
            for statement, parameters in asked
            if statement.startswith("SELECT")
            for row in other.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


T = "tnt_1"


@pytest.mark.parametrize(
    "look",
    [
        lambda reader: reader.receipt(T, "rcp_1"),
        lambda reader: reader.receipt_at(T, 5),
        lambda reader: reader.receipt_by_claim(T, "clm_1"),
        lambda reader: reader.receipts(T, Filter(after=5)),
        lambda reader: reader.receipts(T, Filter(agent="a")),
        lambda reader: reader.receipts(T, Filter(session_id="s")),
        lambda reader: reader.receipts(T, Filter(kind="denied")),
        lambda reader: reader.receipts(T, Filter(newest_first=True)),
        lambda reader: reader.tree_size(T),
        lambda reader: reader.is_revoked(T, ["agent:x"]),
        lambda reader: reader.revoked_since(T, "agent:x"),
        lambda reader: reader.token("hash"),
        lambda reader: reader.key(T, "k"),
        lambda reader: reader.epoch(T, "dsp_1"),
        lambda reader: reader.instances(T, live=True),
        lambda reader: reader.instances(T, dispatch_id="dsp_1"),
        lambda reader: reader.running_spans(T, "a", 5),
        lambda reader: reader.sessions(T, instance_id="i", open_only=True),
        lambda reader: reader.decisions(T, "s"),
        lambda reader: reader.denial(T, "i", "a", "r"),
        lambda reader: reader.checkpoint(T, 5),
        lambda reader: reader.version_by_hash(T, "h"),
        lambda reader: reader.interventions_since(T, "a", 5),
    ],
)
def test_no_query_reads_a_whole_table(plane: Plane, acme: Tenancy, look: Callable[[Any], Any]) -> None:
    found = plans(plane, look)
    assert found
    assert not [line for line in found if line.startswith("SCAN")]


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_iterating_crosses_pages(
    plane: Plane, acme: Tenancy, monkeypatch: pytest.MonkeyPatch, extra: int
) -> None:
    monkeypatch.setattr(module, "_PAGE", 10)
    jobs = [appender(acme, session_id=SESSION) for _ in range(20 + extra)]
    plane.write(lambda tx: [job(tx) for job in jobs])
    found = rows_of(acme, session_id=SESSION, limit=3, newest_first=True)
    assert [row.session_position for row in found] == list(range(20 + extra))


def test_nodes_between_the_stored_levels_are_computed(plane: Plane, acme: Tenancy) -> None:
    jobs = [appender(acme) for _ in range(600 - acme.size())]
    plane.write(lambda tx: [job(tx) for job in jobs])
    leaves = [row.leaf_hash for row in rows_of(acme)]
    with plane.store.read() as reader:
        assert reader.node(acme.tenant_id, 0, 7) == leaves[7]
        assert reader.node(acme.tenant_id, 1, 3) == node_hash(leaves[6], leaves[7])
        for level in range(9):
            pairs = [(reader.node(acme.tenant_id, level, index)) for index in range(512 >> level)]
            above = [reader.node(acme.tenant_id, level + 1, index) for index in range(512 >> (level + 1))]
            assert above == [node_hash(*pairs[at : at + 2]) for at in range(0, len(pairs), 2)]
        stored = reader._connection.exec_driver_sql("SELECT level, position FROM ledger_nodes").all()  # type: ignore[attr-defined]
    assert sorted(tuple(one) for one in stored) == [*((4, n) for n in range(32 + 5)), (8, 0), (8, 1)]


def test_a_lost_node_names_its_place(plane: Plane, acme: Tenancy) -> None:
    with plane.store.read() as reader, fails(StorageError, "ledger_damaged"):
        reader.node(acme.tenant_id, 8, 0)
    with (
        plane.store.read() as reader,
        pytest.raises(StorageError, match=r"level 0 between 4 and 8 are missing\. Fix: Run"),
    ):
        reader.node(acme.tenant_id, 2, 1)


def test_another_tenants_hashes_are_not_counted(plane: Plane, acme: Tenancy) -> None:
    globex = plane.tenant("globex")
    for _ in range(5):
        append(globex)
    with plane.store.read() as reader, fails(StorageError, "ledger_damaged"):
        reader.node(acme.tenant_id, 2, 1)


def test_a_store_names_the_table_that_is_broken(plane: Plane, acme: Tenancy) -> None:
    assert plane.read(lambda reader: reader.storage_faults()) == []
    with closing(sqlite3.connect(plane.path)) as other:
        root = other.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'revocations_by_entry'"
        ).fetchone()[0]
        size = other.execute("PRAGMA page_size").fetchone()[0]
    plane.store.close()
    with plane.path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(bytes(size))
    plane.store = type(plane.store)(plane.path, plane.keyring, plane.clock)
    found = plane.read(lambda reader: reader.storage_faults())
    assert len(found) == 1
    assert found[0].startswith("table revocations: ")
