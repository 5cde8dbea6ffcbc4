"""What is written together is there together; what failed is not there; who fails, fails alone."""

from __future__ import annotations

import threading

import pytest
from msgspec.structs import replace

from dragons.control.ports import Transaction
from dragons.control.rows import RevocationRow
from dragons.core import ids
from dragons.core.errors import ConflictError, StorageError
from dragons.core.ids import new_id
from dragons.core.keys import KeyRole, LocalSigner
from tests.support.appending import append, appender, assert_chained, settle, writer_held
from tests.support.expect import fails
from tests.support.plane import WAIT_SECONDS, Plane, Tenancy

SESSION = new_id(ids.SESSION, 1)


class BrokenError(Exception):
    """A use case that fails for a reason of its own."""


def broken(tenancy: Tenancy, *, writes: bool = True):
    """A job that fails, after it has written to everything that the store remembers."""

    def run(tx: Transaction) -> None:
        if writes:
            tenant = tx.tenant(tenancy.tenant_id)
            assert tenant is not None
            tx.put_tenant(replace(tenant, name="spoiled"))
            row = tx.key(tenancy.tenant_id, tenancy.operator.key_id)
            assert row is not None
            tx.put_key(replace(row, roles=("spoiled",)))
            tx.put_epoch(tenancy.tenant_id, "dsp_spoiled", 1, expected=0)
            ordinal = tx.revocation_count(tenancy.tenant_id)
            tx.put_revocation(RevocationRow(tenancy.tenant_id, ordinal, "agent:spoiled", 1))
            assert tx.is_revoked(tenancy.tenant_id, ["agent:spoiled"])
            appender(tenancy, "spoiled", agent="spoiled@v1", session_id=SESSION)(tx)
        raise BrokenError

    return run


def assert_unspoiled(tenancy: Tenancy) -> None:
    """Nothing of `broken` is there, neither for a reader nor for the writer, which remembers rows."""

    def look(reader):
        tenant_id = tenancy.tenant_id
        assert reader.tenant(tenant_id).name != "spoiled"
        assert reader.key(tenant_id, tenancy.operator.key_id).roles != ("spoiled",)
        assert reader.epoch(tenant_id, "dsp_spoiled") == 0
        assert reader.is_revoked(tenant_id, ["agent:spoiled"]) is None
        assert reader.revocation_count(tenant_id) == 0
        return reader.tree_size(tenant_id)

    assert tenancy.plane.read(look) == tenancy.plane.write(look)
    assert all(one.agent != "spoiled@v1" for one in tenancy.receipts())


def test_a_job_that_fails_leaves_nothing(plane: Plane, acme: Tenancy) -> None:
    before = acme.size()
    with pytest.raises(BrokenError):
        plane.write(broken(acme))
    assert acme.size() == before
    assert_unspoiled(acme)
    appended = append(acme, agent="spoiled@v1", session_id=SESSION)
    assert appended.seq == before
    header = acme.receipts()[-1]
    assert (header.agent_seq, header.session_position) == (0, 0)
    assert_chained(acme)


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_job_that_fails_in_a_group_fails_alone(
    plane: Plane, acme: Tenancy, place: int, *, writes: bool
) -> None:
    before = acme.size()
    jobs = [appender(acme, f"job {number}") for number in range(6)]
    jobs.insert(place, broken(acme, writes=writes))
    with writer_held(acme):
        futures = [plane.store.write(job) for job in jobs]
    found = settle(futures)
    assert isinstance(found.pop(place), BrokenError)
    assert [one.seq for one in found] == list(range(before, before + 6))
    roots = assert_chained(acme)
    assert [one.chain_root for one in found] == roots[before:]
    assert_unspoiled(acme)


def test_every_second_job_may_fail(plane: Plane, acme: Tenancy) -> None:
    before = acme.size()
    with writer_held(acme):
        futures = [plane.store.write(appender(acme) if number % 2 else broken(acme)) for number in range(20)]
    found = settle(futures)
    assert sum(isinstance(one, BrokenError) for one in found) == 10
    assert [one.seq for one in found[1::2]] == list(range(before, before + 10))
    assert_unspoiled(acme)
    assert_chained(acme)


def test_jobs_are_done_in_the_order_in_which_they_came(plane: Plane, acme: Tenancy) -> None:
    before = acme.size()
    with writer_held(acme):
        futures = [plane.store.write(appender(acme, str(number))) for number in range(700)]
    assert [one.seq for one in settle(futures)] == list(range(before, before + 700))
    assert_chained(acme)


def test_a_job_sees_what_the_jobs_before_it_wrote(plane: Plane, acme: Tenancy) -> None:
    def count(tx: Transaction) -> int:
        before = tx.epoch(acme.tenant_id, "dsp_1")
        tx.put_epoch(acme.tenant_id, "dsp_1", before + 1, expected=before)
        return before

    with writer_held(acme):
        futures = [plane.store.write(count) for _ in range(10)]
    assert settle(futures) == list(range(10))


def test_many_threads_make_one_chain(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    before = {one.tenant_id: one.size() for one in (acme, globex)}
    told: dict[str, list[tuple[int, str]]] = {one.tenant_id: [] for one in (acme, globex)}

    def work(tenancy: Tenancy) -> None:
        for _ in range(15):
            appended = append(tenancy)
            told[tenancy.tenant_id].append((appended.seq, appended.chain_root))

    threads = [threading.Thread(target=work, args=(one,)) for one in (acme, globex) * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    for tenancy in (acme, globex):
        roots = assert_chained(tenancy)
        first = before[tenancy.tenant_id]
        assert sorted(told[tenancy.tenant_id]) == list(enumerate(roots))[first:]
        assert len(roots) == first + 90


def test_nothing_is_seen_before_it_is_committed(plane: Plane, acme: Tenancy) -> None:
    before = acme.size()

    def job(tx: Transaction) -> tuple[int, int]:
        appender(acme)(tx)
        return tx.tree_size(acme.tenant_id), acme.size()

    assert plane.write(job) == (before + 1, before)
    assert acme.size() == before + 1


def test_a_reader_sees_one_moment(plane: Plane, acme: Tenancy) -> None:
    with plane.store.read() as reader:
        before = reader.tree_size(acme.tenant_id)
        append(acme)
        acme.publish()
        assert reader.tree_size(acme.tenant_id) == before
        assert reader.catalogue(acme.tenant_id) is None
    assert acme.size() == before + 2


def test_a_caller_that_gave_up_in_time_gets_nothing_written(plane: Plane, acme: Tenancy) -> None:
    before = acme.size()
    with writer_held(acme):
        futures = [plane.store.write(appender(acme)) for _ in range(3)]
        assert futures[1].cancel()
    assert [futures[place].result(WAIT_SECONDS).seq for place in (0, 2)] == [before, before + 1]
    assert acme.size() == before + 2


def test_closing_finishes_what_waits_and_takes_nothing_more(plane: Plane, acme: Tenancy) -> None:
    before = acme.size()
    with writer_held(acme):
        futures = [plane.store.write(appender(acme)) for _ in range(20)]
        closing = threading.Thread(target=plane.store.close)
        closing.start()
    assert [one.seq for one in settle(futures)] == list(range(before, before + 20))
    closing.join(WAIT_SECONDS)
    with fails(StorageError, "store_closed"):
        plane.store.write(appender(acme))
    plane.store.close()
    plane.reopen()
    assert acme.size() == before + 20


def test_an_epoch_moves_on_from_the_one_that_is_expected(plane: Plane, acme: Tenancy) -> None:
    def put(epoch: int, expected: int) -> None:
        plane.write(lambda tx: tx.put_epoch(acme.tenant_id, "dsp_1", epoch, expected=expected))

    put(1, 0)
    put(2, 1)
    for epoch, expected in ((2, 1), (1, 0), (5, 4)):
        with pytest.raises((ConflictError, StorageError)):
            put(epoch, expected)
    assert plane.read(lambda reader: reader.epoch(acme.tenant_id, "dsp_1")) == 2
    assert plane.read(lambda reader: reader.epoch(acme.tenant_id, "dsp_2")) == 0


def test_a_figure_is_remembered_for_its_time_and_not_after_a_failure(plane: Plane, acme: Tenancy) -> None:
    def remembered(value: int) -> int:
        return plane.write(lambda tx: tx.remember(("figure", acme.tenant_id), 1_000, lambda: value))

    assert remembered(1) == 1
    plane.clock.advance(999)
    assert remembered(2) == 1
    plane.clock.advance(1)
    assert remembered(3) == 3
    with pytest.raises(BrokenError):
        plane.write(broken(acme))
    assert remembered(4) == 4


def test_a_jobs_time_is_never_before_the_newest_receipt(plane: Plane, acme: Tenancy) -> None:
    append(acme)
    now_ms = plane.clock.now_ms()
    plane.clock.jump(-3_600_000)
    assert plane.write(lambda tx: tx.now_ms) == now_ms
    plane.clock.advance(1_000)
    assert plane.write(lambda tx: tx.now_ms) == now_ms + 1_000
    appended = append(acme)
    plane.reopen()
    assert plane.write(lambda tx: tx.now_ms) == now_ms + 1_000
    assert appended.issued_at == acme.receipts()[-1].issued_at


def test_a_key_that_does_not_hold_seals_nothing(plane: Plane, acme: Tenancy) -> None:
    before = acme.size()
    good = acme.ledger
    plane.keyring.put(acme.tenant_id, LocalSigner.generate(KeyRole.LEDGER))
    with fails(StorageError, "signing_key_invalid"):
        append(acme)
    plane.keyring.put(acme.tenant_id, good)
    append(acme)
    assert acme.size() == before + 1
    assert_chained(acme)
