"""The ledger in a store: append-only, its head recovered from the data alone, its tree as RFC 6962 has it."""

from __future__ import annotations

from hashlib import sha256

import pytest

from dragons.control.fsck import fsck
from dragons.core import ids
from dragons.core.errors import StorageError
from dragons.core.ids import new_id
from dragons.evidence.merkle import (
    consistency_proof,
    inclusion_proof,
    root_at,
    verify_consistency,
    verify_inclusion,
)
from tests.contract.conftest import Adapter
from tests.support.appending import append, appender, assert_chained, rows_of
from tests.support.expect import fails
from tests.support.plane import Plane, Tenancy

SESSION = new_id(ids.SESSION, 1)
APPEND_ONLY = [
    "receipts", "ledger_nodes", "checkpoints", "revocations", "activations", "versions", "catalogues",
]  # fmt: skip
COLUMN = {"receipts": "kind", "ledger_nodes": "hash", "checkpoints": "note", "revocations": "entry"}


def plain_root(leaves: list[bytes]) -> bytes:
    """The tree hash, word for word as RFC 6962 §2.1 defines it over leaf hashes."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + plain_root(leaves[:half]) + plain_root(leaves[half:])).digest()


def append_many(tenancy: Tenancy, count: int, **about: str) -> None:
    jobs = [appender(tenancy, **about) for _ in range(count)]
    tenancy.plane.write(lambda tx: [job(tx) for job in jobs])


@pytest.fixture
def full(acme: Tenancy) -> Tenancy:
    """A tenant with a row in every table that only grows."""
    manifest = acme.ready()
    acme.revoke("agent", manifest.agent)
    append_many(acme, 256)
    acme.sweep()
    return acme


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_nobody_changes_or_removes_what_was_written(
    adapter: Adapter, plane: Plane, full: Tenancy, table: str
) -> None:
    column = COLUMN.get(table, "statement" if table != "activations" else "reason")
    for statement in (
        f"UPDATE {table} SET {column} = 'x'",  # noqa: S608 - names of the case table
        f"UPDATE {table} SET tenant_id = 'x'",  # noqa: S608
        f"DELETE FROM {table}",  # noqa: S608
    ):
        with pytest.raises(Exception, match="append-only"):
            adapter.run_sql(plane.path, statement)
    assert_chained(full)


def test_the_triggers_come_back_when_the_store_is_opened(
    adapter: Adapter, plane: Plane, full: Tenancy
) -> None:
    adapter.run_sql(plane.path, "DROP TRIGGER receipts_no_delete")
    plane.reopen()
    with pytest.raises(Exception, match="append-only"):
        adapter.run_sql(plane.path, "DELETE FROM receipts")
    assert_chained(full)


def test_the_head_is_recovered_from_the_data(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    told = []
    for count in (1, 40, 214, 1, 1, 300):
        append_many(acme, count, agent="reconciler@v1", session_id=SESSION)
        told.append(append(acme, agent="reconciler@v1", session_id=SESSION))
        append(globex)
        plane.reopen()
    for tenancy in (acme, globex):
        assert_chained(tenancy)
    roots = assert_chained(acme)
    assert [roots[one.seq] for one in told] == [one.chain_root for one in told]
    rows = rows_of(acme, agent="reconciler")
    assert [row.agent_seq for row in rows] == [row.session_position for row in rows] == list(range(len(rows)))


def test_the_numbers_of_revocations_go_on_after_a_restart(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready()
    acme.revoke("version", f"{manifest.agent}@v1")
    plane.reopen()
    acme.revoke("agent", manifest.agent)
    numbers = [header.revocation_seq for header in acme.receipts() if isinstance(header.revocation_seq, int)]
    assert numbers == [0, 1]
    assert_chained(acme)


def test_the_tree_is_that_of_the_leaves(plane: Plane, acme: Tenancy) -> None:
    append_many(acme, 600 - acme.size())
    leaves = [row.leaf_hash for row in rows_of(acme)]
    with plane.store.read() as reader:

        def node(level: int, index: int) -> bytes:
            return reader.node(acme.tenant_id, level, index)

        for size in (1, 2, 3, 7, 255, 256, 257, 511, 512, 513, 599, 600):
            assert root_at(size, node) == plain_root(leaves[:size])
        root = plain_root(leaves)
        for index in (0, 1, 255, 256, 511, 512, 599):
            path = inclusion_proof(index, 600, node)
            assert verify_inclusion(index, 600, leaves[index], path, root)
        for first in (1, 255, 256, 300, 512, 599):
            proof = consistency_proof(first, 600, node)
            assert verify_consistency(first, 600, plain_root(leaves[:first]), root, proof)


def test_the_tree_is_read_within_the_transaction_too(plane: Plane, acme: Tenancy) -> None:
    jobs = [appender(acme) for _ in range(300)]
    plane.write(lambda tx: [job(tx) for job in jobs[:100]])

    def job(tx) -> tuple[int, bytes]:
        for one in jobs[100:]:
            one(tx)
        size = tx.tree_size(acme.tenant_id)
        return size, root_at(size, lambda level, index: tx.node(acme.tenant_id, level, index))

    size, root = plane.write(job)
    leaves = [row.leaf_hash for row in rows_of(acme)]
    assert (size, root) == (len(leaves), plain_root(leaves))


@pytest.mark.parametrize("where", [(0, 500), (8, 1), (3, 60), (16, 0), (56, 0)])
def test_a_node_that_is_not_complete_is_not_made_up(
    plane: Plane, full: Tenancy, where: tuple[int, int]
) -> None:
    with plane.store.read() as reader, fails(StorageError, "ledger_damaged"):
        reader.node(full.tenant_id, *where)


def test_checkpoints_are_found_by_size(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    for size, note in ((3, "three"), (10, "ten"), (3, "another three")):
        plane.write(lambda tx, size=size, note=note: tx.put_checkpoint(acme.tenant_id, size, note))

    def note(at_most: int | None) -> str | None:
        return plane.read(lambda reader: reader.checkpoint(acme.tenant_id, at_most))

    assert [note(one) for one in (None, 11, 10, 9, 3, 2)] == ["ten", "ten", "ten", "three", "three", None]
    assert plane.read(lambda reader: reader.checkpoint_sizes(acme.tenant_id)) == [3, 10]
    assert plane.read(lambda reader: reader.checkpoint(globex.tenant_id)) is None


def test_a_ledger_that_ends_before_its_checkpoint_is_not_written_on(
    adapter: Adapter, plane: Plane, acme: Tenancy, globex: Tenancy
) -> None:
    append_many(acme, 5)
    acme.sweep()
    adapter.run_sql(plane.path, "DROP TRIGGER receipts_no_delete")
    adapter.run_sql(plane.path, f"DELETE FROM receipts WHERE seq > 5 AND tenant_id = '{acme.tenant_id}'")  # noqa: S608
    plane.reopen()
    for _ in range(2):
        with fails(StorageError, "ledger_truncated"):
            append(acme)
    append(globex)
    assert plane.read(lambda reader: fsck(reader, acme.tenant_id)).damage
    assert_chained(globex)


def test_a_ledger_with_a_hole_is_not_written_on(adapter: Adapter, plane: Plane, acme: Tenancy) -> None:
    append_many(acme, 5)
    adapter.run_sql(plane.path, "DROP TRIGGER receipts_no_delete")
    adapter.run_sql(plane.path, "DELETE FROM receipts WHERE seq = 2")
    plane.reopen()
    with fails(StorageError, "ledger_damaged"):
        append(acme)
    assert [row.seq for row in rows_of(acme)][:3] == [0, 1, 3]


def test_a_place_that_somebody_took_is_not_given_twice(plane: Plane, acme: Tenancy) -> None:
    """Another process that appends between two of our transactions."""
    append(acme)
    other = Plane(plane.path, plane.clock, plane.keyring, open_store=plane.open_store)
    there = Tenancy(other, acme.tenant_id, acme.root, acme.operator)
    seqs = [append(one, agent="reconciler@v1").seq for one in (acme, there, there, acme, there, acme)]
    assert seqs == list(range(seqs[0], seqs[0] + 6))
    assert [row.agent_seq for row in rows_of(acme, agent="reconciler")] == list(range(6))
    there.ready()
    there.revoke("agent", "reconciler")
    found = plane.write(lambda tx: tx.is_revoked(acme.tenant_id, ["agent:reconciler"]))
    assert found == "agent:reconciler"
    other.store.close()
    assert_chained(acme)


def test_a_sound_store_has_no_faults(plane: Plane, full: Tenancy) -> None:
    assert plane.read(lambda reader: reader.storage_faults()) == []
    assert plane.write(lambda tx: tx.storage_faults()) == []
