"""What a transaction wrote it reads back, each tenant reads its own, and lists come in pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from dragons.control import rows
from dragons.control.ports import Filter, Reader, Transaction
from dragons.core import ids
from dragons.core.ids import new_id
from dragons.core.vocabulary import Kind, OrganismState
from tests.support.appending import append, appender, rows_of
from tests.support.plane import Plane, Tenancy

T = "tnt_1"
SESSIONS = [new_id(ids.SESSION, number) for number in range(5)]
INSTANCE = rows.InstanceRow(
    T, "i1", "reconciler", 1, "ab", b"key", "dck_1", "dsp_1", 1, "lse_1", OrganismState.RUNNING, "new", 5, 5,
    last_beat=b"{}",
)  # fmt: skip
LEASE = rows.LeaseRow(
    T, "lse_1", "i1", "reconciler", "dck_1", 0, 1, 0, b"{}", ("read:a", "write:b"), (), ("agent:x",), 5, 4, 9,
    not_after_ms=8,
)  # fmt: skip
DENIAL = rows.DenialRow(T, "i1", "reconciler@v1", "i1", "read:a", "lease_expired", "it ended", 2, 5, 6)
Look = Callable[[Reader, str], Any]

# Every kind of row: the row, how it is put, how it is found again, and what is found where it is not.
ROWS: list[tuple[Any, str, Look, Any]] = [
    (rows.KeyRow(T, "k1", "operator", b"key", "Ada", ("admin", "x"), 1, 9, 2), "put_key",
     lambda reader, t: reader.key(t, "k1"), None),
    (rows.TokenRow("t1", T, "hash", "k1", "admin", "", 1, 9), "put_token",
     lambda reader, t: next((one for one in reader.tokens(t) if one.token_id == "t1"), None), None),
    (rows.CatalogueRow(T, 1, b"{}", 5), "put_catalogue", lambda reader, t: reader.catalogue(t), None),
    (rows.VersionRow(T, "reconciler", 1, "ab", b"{}", 5, "k1"), "put_version",
     lambda reader, t: reader.version(t, "reconciler", 1), None),
    (rows.VersionRow(T, "reconciler", 1, "ab", b"{}", 5, "k1"), "put_version",
     lambda reader, t: reader.version_by_hash(t, "ab"), None),
    (rows.VersionRow(T, "reconciler", 1, "ab", b"{}", 5, "k1"), "put_version",
     lambda reader, t: next(iter(reader.versions(t, "reconciler")), None), None),
    (rows.ActivationRow(T, "reconciler", 0, 1, "ab", 5, "k1", ""), "put_activation",
     lambda reader, t: next(iter(reader.activations(t, "reconciler")), None), None),
    (rows.DockRow(T, "dck_1", "reconciler", b"{}", 5), "put_dock", lambda reader, t: reader.dock(t, "dck_1"), None),
    (rows.DockRow(T, "dck_1", "reconciler", b"{}", 5), "put_dock",
     lambda reader, t: next(iter(reader.docks(t, "reconciler")), None), None),
    (INSTANCE, "put_instance", lambda reader, t: reader.instance(t, "i1"), None),
    (INSTANCE, "put_instance",
     lambda reader, t: next(iter(reader.instances(t, agent="reconciler", live=True, dispatch_id="dsp_1")), None), None),
    (LEASE, "put_lease", lambda reader, t: reader.lease(t, "lse_1"), None),
    (LEASE, "put_lease", lambda reader, t: next(iter(reader.leases(t, agent="reconciler")), None), None),
    (rows.SessionRow(T, "s1", "i1", "reconciler", "lse_1", 5), "put_session",
     lambda reader, t: reader.session(t, "s1"), None),
    (rows.SessionRow(T, "s1", "i1", "reconciler", "lse_1", 5), "put_session",
     lambda reader, t: next(iter(reader.sessions(t, instance_id="i1", open_only=True)), None), None),
    (rows.RevocationRow(T, 0, "agent:x", 5), "put_revocation",
     lambda reader, t: next(iter(reader.revocations(t)), None), None),
    (rows.DecisionRow(T, "d1", "s1", "i1", "read:a", 5), "put_decision",
     lambda reader, t: next(iter(reader.decisions(t, "s1")), None), None),
    (DENIAL, "put_denial", lambda reader, t: reader.denial(t, "i1", "read:a", "lease_expired"), None),
    (DENIAL, "put_denial", lambda reader, t: next(iter(reader.denials(t)), None), None),
]  # fmt: skip


@pytest.mark.parametrize(("row", "put", "find", "absent"), ROWS)
def test_a_row_is_read_back_by_its_own_tenant_only(
    plane: Plane, acme: Tenancy, globex: Tenancy, row: Any, put: str, find: Look, absent: object
) -> None:
    mine = replace(row, tenant_id=acme.tenant_id)

    def job(tx: Transaction) -> tuple[object, object, object]:
        before = find(tx, acme.tenant_id)
        getattr(tx, put)(mine)
        return before, find(tx, acme.tenant_id), find(tx, globex.tenant_id)

    assert plane.write(job) == (absent, mine, absent)
    for look in (plane.read, plane.write):
        assert look(lambda reader: find(reader, acme.tenant_id)) == mine
        assert look(lambda reader: find(reader, globex.tenant_id)) == absent
    plane.reopen()
    assert plane.write(lambda tx: find(tx, acme.tenant_id)) == mine


def test_a_row_that_is_put_again_takes_the_place_of_the_old(plane: Plane, acme: Tenancy) -> None:
    mine = replace(INSTANCE, tenant_id=acme.tenant_id)

    def job(tx: Transaction) -> list[rows.InstanceRow]:
        for number in range(3):
            tx.put_instance(replace(mine, beats=number))
        tx.put_instance(replace(mine, state=OrganismState.STOPPED, stopped_ms=9))
        return list(tx.instances(acme.tenant_id))

    stopped = replace(mine, state=OrganismState.STOPPED, stopped_ms=9)
    assert plane.write(job) == [stopped]
    assert plane.read(lambda reader: reader.instance(acme.tenant_id, "i1")) == stopped
    assert plane.read(lambda reader: reader.instances(acme.tenant_id, live=True)) == []
    assert plane.read(lambda reader: reader.running_spans(acme.tenant_id, "reconciler", 8)) == [(5, 9)]
    assert plane.read(lambda reader: reader.running_spans(acme.tenant_id, "reconciler", 9)) == []


def test_what_is_dropped_is_gone_at_once(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    decision = rows.DecisionRow(acme.tenant_id, "d1", "s1", "i1", "read:a", 5)
    denials = [replace(DENIAL, tenant_id=one.tenant_id) for one in (acme, globex)]

    def put(tx: Transaction) -> None:
        tx.put_decision(decision)
        for one in denials:
            tx.put_denial(one)

    def drop(tx: Transaction) -> tuple[object, object]:
        tx.drop_decision(acme.tenant_id, "d1")
        tx.drop_denial(denials[0])
        return tx.decisions(acme.tenant_id, "s1"), tx.denial(acme.tenant_id, "i1", "read:a", "lease_expired")

    plane.write(put)
    assert plane.write(drop) == ([], None)
    assert plane.read(lambda reader: reader.denials(globex.tenant_id)) == denials[1:]


def test_revocations_are_found_by_any_of_several_entries(
    plane: Plane, acme: Tenancy, globex: Tenancy
) -> None:
    def job(tx: Transaction) -> None:
        for ordinal, entry in enumerate(["agent:a", "dock:b", "agent:a"]):
            tx.put_revocation(rows.RevocationRow(acme.tenant_id, ordinal, entry, 10 - ordinal))

    plane.write(job)
    for look in (plane.read, plane.write):

        def found(tenancy: Tenancy, *entries: str) -> str | None:
            return look(lambda reader: reader.is_revoked(tenancy.tenant_id, entries))  # noqa: B023

        assert found(acme, "lease:x", "dock:b", "agent:a") == "dock:b"
        assert found(acme, "lease:x") is None
        assert found(acme) is None
        assert found(globex, "dock:b", "agent:a") is None
    assert plane.read(lambda reader: reader.revoked_since(acme.tenant_id, "agent:a")) == 8
    assert plane.read(lambda reader: reader.revocation_count(acme.tenant_id)) == 3
    assert [one.ordinal for one in plane.read(lambda r: r.revocations(acme.tenant_id, 1))] == [1, 2]


def test_the_newest_catalogue_counts(plane: Plane, acme: Tenancy) -> None:
    for version in (1, 2, 10):
        row = rows.CatalogueRow(acme.tenant_id, version, b"{}", version)
        plane.write(lambda tx, row=row: tx.put_catalogue(row))
        assert plane.read(lambda reader: reader.catalogue(acme.tenant_id)) == row
        assert plane.write(lambda tx: tx.catalogue(acme.tenant_id)) == row


# --- receipts -------------------------------------------------------------------------------------


def test_a_receipt_is_read_back_in_its_transaction(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    def job(tx: Transaction):
        appended = appender(acme, claim_id="clm_1", agent="reconciler@v1")(tx)
        find = [
            lambda t: tx.receipt(t, appended.receipt_id),
            lambda t: tx.receipt_at(t, appended.seq),
            lambda t: tx.receipt_by_claim(t, "clm_1"),
            lambda t: next(iter(tx.receipts(t, Filter(agent="reconciler"))), None),
        ]
        return appended, [[one(tenancy.tenant_id) for one in find] for tenancy in (acme, globex)]

    size = globex.size()
    while acme.size() < size:
        append(acme)
    appended, (mine, theirs) = plane.write(job)
    assert [one.receipt_id for one in mine] == [appended.receipt_id] * 4
    assert theirs == [None] * 4
    assert globex.size() == size


def test_a_claim_id_is_a_tenants_own(acme: Tenancy, globex: Tenancy) -> None:
    found = [append(one, claim_id="clm_1").receipt_id for one in (acme, globex)]
    for tenancy, receipt_id in zip((acme, globex), found, strict=True):
        row = tenancy.plane.read(lambda r, t=tenancy: r.receipt_by_claim(t.tenant_id, "clm_1"))
        assert row.receipt_id == receipt_id


@pytest.fixture
def many(plane: Plane, acme: Tenancy) -> tuple[Tenancy, int]:
    """More receipts than one page of any reader, a second apart after the first thousand; and where they begin."""
    first = acme.size()
    jobs = [
        appender(acme, kind=Kind.DENIED if number % 3 else Kind.INTERVENTION, agent=f"agent-{number % 2}@v1",
                 session_id=SESSIONS[number % 5])
        for number in range(1_100)
    ]  # fmt: skip
    plane.write(lambda tx: [job(tx) for job in jobs[:1_000]])
    plane.clock.advance(1_000)
    plane.write(lambda tx: [job(tx) for job in jobs[1_000:]])
    return acme, first


def test_receipts_come_in_pages(many: tuple[Tenancy, int]) -> None:
    acme, _ = many
    size = acme.size()
    assert [row.seq for row in rows_of(acme)] == list(range(size))
    assert [row.seq for row in rows_of(acme, after=size - 4)] == [size - 3, size - 2, size - 1]

    def page(**wanted: Any) -> list[int]:
        found = acme.plane.read(lambda reader: reader.receipts(acme.tenant_id, Filter(**wanted)))
        return [row.seq for row in found]

    assert page() == list(range(100))
    assert page(after=5, limit=3) == [6, 7, 8]
    assert page(after=size - 1) == []
    assert page(newest_first=True, limit=3) == [size - 1, size - 2, size - 3]
    assert page(newest_first=True, after=10, limit=3) == [9, 8, 7]
    assert page(newest_first=True, after=1) == [0]
    assert page(newest_first=True, after=0) == []


def test_receipts_are_found_by_agent_session_kind_and_time(many: tuple[Tenancy, int]) -> None:
    acme, first = many
    place = {row.seq: row.seq - first for row in rows_of(acme)}

    def found(**wanted: Any) -> list[int]:
        return [place[row.seq] for row in rows_of(acme, **wanted)]

    assert found(agent="agent-1") == list(range(1, 1_100, 2))
    assert found(session_id=SESSIONS[2]) == list(range(2, 1_100, 5))
    assert found(kind="intervention") == list(range(0, 1_100, 3))
    assert found(agent="agent-0", session_id=SESSIONS[0], kind="intervention") == list(range(0, 1_100, 30))
    later_ms = acme.now_ms
    assert found(since_ms=later_ms) == list(range(1_000, 1_100))
    assert found(until_ms=later_ms, agent="agent-0") == list(range(0, 1_000, 2))
    assert found(agent="nobody") == []
    counts = [
        (row.agent_seq, row.session_position)
        for row in rows_of(acme, agent="agent-1", session_id=SESSIONS[1])
    ]
    assert counts[:3] == [(0, 0), (5, 2), (10, 4)]


def test_interventions_are_counted(many: tuple[Tenancy, int]) -> None:
    acme, _ = many

    def count(since_ms: int) -> int:
        return acme.plane.read(lambda r: r.interventions_since(acme.tenant_id, "agent-0", since_ms))

    assert count(0) == len(range(0, 1_100, 6))
    assert count(acme.now_ms) == len(range(1_002, 1_100, 6))
    assert count(acme.now_ms + 1) == 0


def test_tenants_are_listed(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    found = plane.read(lambda reader: reader.tenants())
    assert {row.tenant_id for row in found} == {acme.tenant_id, globex.tenant_id}
    assert plane.read(lambda reader: reader.tenant("tnt_none")) is None
    acme.ready()
    assert plane.read(lambda reader: reader.agents(acme.tenant_id)) == ["reconciler"]
    assert plane.read(lambda reader: reader.agents(globex.tenant_id)) == []
