from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import event

from dragons.adapters.sql import transaction
from dragons.adapters.sql.transaction import Cache, SqlTransaction
from dragons.control import rows
from dragons.core.clock import ManualClock
from dragons.core.errors import StorageError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind
from dragons.evidence.merkle import root_at
from dragons.evidence.receipt import ERASURE, Erasure
from tests.support.appending import append, appender, statement_of
from tests.support.expect import fails
from tests.support.plane import Plane, Tenancy

HOUR_MS = 3_600_000


def statements(plane: Plane, job: Any, kind: str = "INSERT") -> list[tuple[str, int]]:
    """What reaches the database while `job` runs: the statement's beginning, and how many rows it carries."""
    seen: list[tuple[str, int]] = []

    def note(_connection, _cursor, statement, parameters, _context, many):
        seen.append((" ".join(statement.split()[:3]), len(parameters) if many else 1))

    engine = plane.store._writing  # type: ignore[attr-defined]
    event.listen(engine, "before_cursor_execute", note)
    try:
        plane.write(job)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return [one for one in seen if one[0].startswith(kind)]


def test_receipts_reach_the_database_in_few_statements(plane: Plane, acme: Tenancy) -> None:
    jobs = [appender(acme) for _ in range(300)]
    found = [name for name, _ in statements(plane, lambda tx: [job(tx) for job in jobs])]
    assert set(found) == {"INSERT INTO receipts", "INSERT INTO ledger_nodes"}
    assert len(found) < 15
    assert acme.size() == 303


@pytest.mark.parametrize("more", [1, 4, 7, 60])
def test_the_present_root_costs_no_query_and_is_that_of_what_is_stored(
    plane: Plane, acme: Tenancy, more: int
) -> None:
    for _ in range(more):
        append(acme)
    size = acme.size()
    roots: list[bytes] = []

    def job(tx: SqlTransaction) -> None:
        tx.tree_size(acme.tenant_id)
        roots.append(root_at(size, lambda level, index: tx.node(acme.tenant_id, level, index)))

    assert statements(plane, job, "SELECT") == []
    stored = plane.read(
        lambda reader: root_at(size, lambda level, at: reader.node(acme.tenant_id, level, at))
    )
    assert roots == [stored]


def test_a_row_that_is_put_often_is_written_once(plane: Plane, acme: Tenancy) -> None:
    session = rows.SessionRow(acme.tenant_id, "s1", "i1", "reconciler", "lse_1", 5)

    def job(tx: SqlTransaction) -> None:
        for number in range(50):
            tx.put_session(replace(session, closed_ms=number))

    assert statements(plane, job) == [("INSERT INTO sessions", 1)]
    found = plane.read(lambda reader: reader.session(acme.tenant_id, "s1"))
    assert found == replace(session, closed_ms=49)


def test_a_job_that_only_reads_has_not_touched(plane: Plane, acme: Tenancy) -> None:
    def job(tx: SqlTransaction) -> list[bool]:
        tx.tenants(), tx.tree_size(acme.tenant_id), tx.epoch(acme.tenant_id, "dsp_1")
        tx.remember(("x",), 1, lambda: 1)
        before = tx.touched
        tx.put_epoch(acme.tenant_id, "dsp_1", 1, expected=0)
        return [before, tx.touched]

    assert plane.write(job) == [False, True]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "write",
    [
        lambda tx, acme: appender(acme)(tx),
        lambda tx, acme: tx.put_tenant(tx.tenant(acme.tenant_id)),
        lambda tx, acme: tx.put_revocation(rows.RevocationRow(acme.tenant_id, 0, "agent:x", 1)),
        lambda tx, acme: tx.put_checkpoint(acme.tenant_id, 1, "x"),
        lambda tx, acme: tx.drop_decision(acme.tenant_id, "d1"),
    ],
)
def test_every_way_to_write_touches(plane: Plane, acme: Tenancy, write: Any) -> None:
    def job(tx: SqlTransaction) -> bool:
        write(tx, acme)
        return tx.touched

    assert plane.write(job)  # type: ignore[arg-type]


# --- what is remembered ---------------------------------------------------------------------------


def test_a_full_memory_is_emptied_and_nothing_is_forgotten(
    plane: Plane, acme: Tenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "_CACHE_MAX", 3)
    made = [rows.SessionRow(acme.tenant_id, f"s{number}", "i1", "a", "l", number) for number in range(8)]
    for one in made:
        plane.write(lambda tx, one=one: tx.put_session(one))
        assert len(plane.store._writer._cache.rows) <= 5  # type: ignore[attr-defined]
    found = plane.write(lambda tx: [tx.session(acme.tenant_id, one.session_id) for one in made])
    assert found == made
    for number in range(8):
        plane.write(lambda tx, number=number: tx.remember((f"{number}",), 1_000, lambda: number))
    assert len(plane.store._writer._cache.figures) <= 5  # type: ignore[attr-defined]


def test_clearing_forgets_what_was_read_and_keeps_the_lead() -> None:
    cache = Cache()
    cache.rows[1,], cache.revoked["t"], cache.figures["f",], cache.latest_ms, cache.lead_ms = (
        1,
        set(),
        (1, 1),
        5,
        7,
    )
    cache.clear()
    assert (cache.rows, cache.revoked, cache.figures, cache.books, cache.latest_ms) == ({}, {}, {}, {}, None)
    assert cache.lead_ms == 7


def test_what_another_process_wrote_is_read_anew(plane: Plane, acme: Tenancy) -> None:
    def name(tx: Any) -> tuple[Any, ...]:
        key = tx.key(acme.tenant_id, acme.operator.key_id)
        return key.subject, tx.is_revoked(acme.tenant_id, ["agent:x"]), tx.epoch(acme.tenant_id, "dsp_1")

    assert plane.write(name) == ("ada", None, 0)
    other = Plane(plane.path, plane.clock, plane.keyring)

    def change(tx: Any) -> None:
        tx.put_key(replace(tx.key(acme.tenant_id, acme.operator.key_id), subject="eve"))
        tx.put_revocation(rows.RevocationRow(acme.tenant_id, 0, "agent:x", 1))
        tx.put_epoch(acme.tenant_id, "dsp_1", 4, expected=0)

    other.write(change)
    assert plane.write(name) == ("eve", "agent:x", 4)
    other.store.close()


# --- time -----------------------------------------------------------------------------------------


def times(cache: Cache, plane: Plane, *moments: tuple[int, int]) -> list[int]:
    """The time of a job at each (wall, boot) moment."""

    def job(tx: SqlTransaction) -> list[int]:
        found = []
        for now_ms, boot_ms in moments:
            one = SqlTransaction(tx._connection, cache, plane.keyring)
            one.begin_job(now_ms, boot_ms)
            found.append(one.now_ms)
        return found

    return plane.write(job)  # type: ignore[arg-type]


def test_time_goes_on_from_the_newest_receipt(plane: Plane, acme: Tenancy) -> None:
    append(acme)
    last_ms = acme.now_ms
    moments = [
        (last_ms - HOUR_MS, 100),
        (last_ms - HOUR_MS + 40, 140),
        (last_ms + 10, 150),
        (last_ms + 90, 160),
    ]
    assert times(Cache(), plane, *moments) == [last_ms, last_ms + 40, last_ms + 50, last_ms + 90]


def test_without_receipts_the_clock_counts(tmp_path: Any) -> None:
    plane = Plane(tmp_path / "empty.db")
    assert times(Cache(), plane, (5, 100), (3, 101)) == [5, 3]
    plane.store.close()


def test_a_jump_that_no_receipt_saw_leaves_no_trace(plane: Plane, acme: Tenancy) -> None:
    append(acme)
    clock = plane.clock
    assert isinstance(clock, ManualClock)
    before_ms = clock.now_ms()
    clock.jump(HOUR_MS)
    assert plane.write(lambda tx: tx.now_ms) == before_ms + HOUR_MS
    clock.jump(-HOUR_MS)
    assert plane.write(lambda tx: tx.now_ms) == before_ms


# --- keys -----------------------------------------------------------------------------------------


def test_an_issuer_that_is_not_on_the_record_signs_nothing(plane: Plane, acme: Tenancy) -> None:
    stranger = LocalSigner.generate(KeyRole.ISSUER)
    body = Erasure(tenant_id=acme.tenant_id, receipts=[], reason="x", erased_at=acme.now)

    def job(*signers: LocalSigner):
        return lambda tx: tx.append(acme.tenant_id, Kind.ERASED, sign(ERASURE, body, *signers))

    with fails(StorageError, "signing_key_invalid"):
        plane.write(job(stranger))
    assert plane.write(job(acme.issuer)).seq == acme.size() - 1
    plane.clock.advance(2 * 366 * 24 * HOUR_MS)
    with fails(StorageError, "signing_key_invalid"):
        plane.write(job(acme.issuer))


def test_a_rotation_may_carry_the_signature_of_a_key_that_ended(plane: Plane, acme: Tenancy) -> None:
    statement = statement_of(acme)
    double = sign(ERASURE, Erasure(tenant_id=acme.tenant_id, receipts=[], reason="x", erased_at=acme.now),
                  LocalSigner.generate(KeyRole.ISSUER), acme.root)  # fmt: skip
    assert len(statement.signatures) == 1
    assert plane.write(lambda tx: tx.append(acme.tenant_id, Kind.ERASED, double)).seq == acme.size() - 1
