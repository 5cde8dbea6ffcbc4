"""A store that can't write: 503 with the remedy, nothing acknowledged, and all is well when it can again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragons.api.access import ACCESS
from dragons.core.vocabulary import Role
from tests.support.requests import REQUESTS, STREAMS, World
from tests.support.server import Instance, Plane, serving

Fault = Callable[[Plane], Callable[[], None]]


def pragma(plane: Plane) -> Callable[[str], Any]:
    """Runs a PRAGMA on the connection that writes, while nobody writes; its value, when it has one."""
    connection = plane.backend.store.write(
        lambda tx: tx._connection.connection.driver_connection  # type: ignore[attr-defined]
    ).result(10)

    def run(statement: str) -> Any:
        row = connection.execute(statement).fetchone()
        return None if row is None else row[0]

    return run


def full(plane: Plane) -> Callable[[], None]:
    """SQLite itself says that the disk is full: no page may be added."""
    run = pragma(plane)
    run(f"PRAGMA max_page_count={run('PRAGMA page_count')}")
    return lambda: run("PRAGMA max_page_count=1000000000")


def read_only(plane: Plane) -> Callable[[], None]:
    """SQLite itself says that the database is read-only, even to a transaction that only begins."""
    run = pragma(plane)
    run("PRAGMA query_only=ON")
    return lambda: run("PRAGMA query_only=OFF")


def fill(instance: Instance, session: str) -> tuple[int, Any]:
    """Append until it fails; how many receipts were acknowledged, and the failure."""
    acknowledged = 0
    for _ in range(200):
        reply = instance.send("POST", "/v1/receipts", instance.claims(session, 50))
        if reply.status != 200:
            return acknowledged, reply
        acknowledged += sum("receipt" in one for one in reply.json["results"])
    pytest.fail("it never failed")


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (full, "storage_full", "Free space"),
        (read_only, "storage_read_only", "Make the home writable"),
    ],
)
def test_a_store_that_cannot_write(tmp_path: Path, fault: Fault, code: str, words: str) -> None:
    with serving(tmp_path) as plane:
        tenant = plane.tenant()
        instance = tenant.launch()
        session = instance.open()
        before = tenant.get(f"/v1/sessions/{session}")["receipts"]
        repair = fault(plane)
        acknowledged, reply = fill(instance, session)
        assert (reply.status, reply.code) == (503, code)
        assert words in reply.json["fix"]
        assert reply.headers["retry-after"] == "1"
        assert str(tmp_path) not in reply.content.decode()
        # What can be read is still there, and exactly what was acknowledged.
        assert tenant.get(f"/v1/sessions/{session}")["receipts"] == before + acknowledged
        assert plane.send("GET", "/livez").status == 200
        if fault is read_only:
            reply = plane.send("GET", "/readyz")
            assert (reply.status, reply.code) == (503, code)
        repair()
        plane.clock.advance(1_001)
        assert plane.send("GET", "/readyz").status == 200
        assert len(instance.work(session, 3)) == 3
        assert tenant.get(f"/v1/sessions/{session}")["receipts"] == before + acknowledged + 3
        assert tenant.post("/v1/ledger/fsck", {})["sound"]


# Requests with a body that change nothing.
ONLY_READING = {"ping", "packs.export", "ledger.fsck"}


def test_every_write_says_so_and_none_is_acknowledged(tmp_path: Path) -> None:
    with serving(tmp_path) as plane:
        world = World.of(plane.tenant())
        requests = {name: make(world) for name, make in REQUESTS.items()}
        before = world.tenant.get("/v1/ledger"), world.tenant.get("/v1/tokens")
        repair = read_only(plane)
        found: dict[str, tuple[int, str]] = {}
        for name, request in requests.items():
            role = min(ACCESS[name] - {Role.KEYHOLDER}).value
            if name not in STREAMS | {"readyz"}:
                reply = world.send(name, "admin" if role == "anyone" else role, request)
                found[name] = (200, "") if reply.status == 200 else (reply.status, reply.code)
        writing = {name for name, one in requests.items() if one.method != "GET"} - ONLY_READING
        assert {name for name, reply in found.items() if reply == (503, "storage_read_only")} == writing
        assert {name for name, reply in found.items() if reply == (200, "")} == set(found) - writing
        repair()
        assert (world.tenant.get("/v1/ledger"), world.tenant.get("/v1/tokens")) == before
