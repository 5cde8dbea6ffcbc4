"""Writes that a disk acknowledged and lost: what opens is a beginning of the ledger, or damage that is named."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dragons.control.fsck import fsck
from dragons.core.errors import StorageError
from dragons.core.hashing import sha256_hex
from dragons.evidence.checkpoint import parse_note
from dragons.evidence.merkle import consistency_proof, root_at, verify_consistency
from tests.support.plane import Plane, Tenancy, assert_sound

RECEIPTS = 40
PAGE_BYTES = 8192


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Tenancy]:
    """A ledger that lies in the write-ahead log but for its first receipts."""
    plane = Plane(tmp_path / "control.db")
    acme = plane.tenant()
    manifest = acme.ready()
    plane.reopen()
    agent = acme.started(manifest)
    for _ in range(RECEIPTS):
        acme.work(agent)
    acme.sweep()
    yield acme
    plane.store.close()


def chain_of(acme: Tenancy) -> list[str]:
    with acme.plane.store.read() as reader:
        return [sha256_hex(reader.receipt_at(acme.tenant_id, seq).header) for seq in range(acme.size())]


def copy_of(acme: Tenancy, folder: Path) -> Path:
    """The files as they lie on the disk now. No `-shm`: a machine that lost power has none."""
    folder.mkdir()
    for end in ("", "-wal"):
        shutil.copyfile(f"{acme.plane.path}{end}", folder / f"control.db{end}")
    return folder / "control.db"


@contextmanager
def opened(acme: Tenancy, path: Path) -> Iterator[Tenancy]:
    """The tenant over another copy of its files."""
    plane = Plane(path, acme.plane.clock, acme.plane.keyring)
    try:
        yield replace(acme, plane=plane)
    finally:
        plane.store.close()


def assert_beginning(acme: Tenancy, chain: list[str]) -> None:
    """What is there is sound and the beginning of `chain`; new receipts continue it."""
    found = chain_of(acme)
    assert found == chain[: len(found)]
    assert_sound(acme.plane, acme)
    agent = acme.started(acme.ready("notifier"))
    acme.work(agent)
    assert chain_of(acme)[: len(found)] == found
    assert_sound(acme.plane, acme)


@pytest.mark.parametrize("seed", range(12))
def test_a_log_that_was_cut_leaves_a_beginning(acme: Tenancy, tmp_path: Path, seed: int) -> None:
    chain = chain_of(acme)
    path = copy_of(acme, tmp_path / "cut")
    log = Path(f"{path}-wal")
    data = log.read_bytes()
    # Before the last commits: a cut into the sweep's own would lose a checkpoint, but no receipt.
    place = random.Random(seed).randrange(len(data) * 3 // 4)
    log.write_bytes(data[:place])
    with opened(acme, path) as cut:
        assert cut.size() < len(chain)
        assert_beginning(cut, chain)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("torn", ["garbage", "zeros", "half"])
def test_a_page_of_the_log_that_was_torn_leaves_a_beginning(
    acme: Tenancy, tmp_path: Path, seed: int, torn: str
) -> None:
    chain = chain_of(acme)
    path = copy_of(acme, tmp_path / "torn")
    log = Path(f"{path}-wal")
    data, chance = bytearray(log.read_bytes()), random.Random(seed)
    # The last page, or one before it: writes reach a disk in any order.
    at = len(data) - PAGE_BYTES * chance.choice([1, 1, 2, 5, 20])
    length = PAGE_BYTES // 2 if torn == "half" else PAGE_BYTES
    data[at : at + length] = bytes(length) if torn == "zeros" else chance.randbytes(length)
    log.write_bytes(data)
    with opened(acme, path) as cut:
        assert_beginning(cut, chain)


def test_a_log_that_is_gone_leaves_the_beginning_that_was_in_the_database(
    acme: Tenancy, tmp_path: Path
) -> None:
    chain = chain_of(acme)
    path = copy_of(acme, tmp_path / "gone")
    Path(f"{path}-wal").unlink()
    with opened(acme, path) as cut:
        assert 0 < cut.size() < len(chain)
        assert_beginning(cut, chain)


@pytest.mark.parametrize("seed", range(25))
def test_a_broken_page_of_the_database_is_named_or_was_not_used(
    acme: Tenancy, tmp_path: Path, seed: int
) -> None:
    acme.plane.reopen()  # everything is in the database now
    chain = chain_of(acme)
    path = copy_of(acme, tmp_path / "broken")
    data, chance = bytearray(path.read_bytes()), random.Random(seed)
    page = chance.randrange(len(data) // PAGE_BYTES)
    data[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = (
        chance.randbytes(PAGE_BYTES) if seed % 2 else bytes(PAGE_BYTES)
    )
    path.write_bytes(data)
    damage = damage_of(acme, path)
    if not damage:
        with opened(acme, path) as broken:
            assert chain_of(broken) == chain
            assert_sound(broken.plane, broken)
    assert all(line.startswith(("the database itself: ", "storage_damaged: ")) for line in damage), damage


def damage_of(acme: Tenancy, path: Path) -> list[str]:
    """What fsck finds, or why the store did not even open."""
    try:
        with opened(acme, path) as broken:
            return broken.plane.read(lambda reader: fsck(reader, acme.tenant_id)).damage
    except StorageError as error:
        return [f"{error.code}: {error}"]


def test_a_ledger_that_lost_its_end_does_not_know_it_but_whoever_kept_a_checkpoint_does(
    acme: Tenancy, tmp_path: Path
) -> None:
    path = copy_of(acme, tmp_path / "lost")
    kept = acme.plane.read(lambda reader: reader.checkpoint(acme.tenant_id))
    signed = parse_note(kept).checkpoint
    Path(f"{path}-wal").unlink()
    with opened(acme, path) as lost:
        assert lost.size() < signed.size
        agent = lost.started(lost.ready("notifier"))
        while lost.size() < signed.size + 3:
            lost.work(agent)
        assert_sound(lost.plane, lost)
        with lost.plane.store.read() as reader:
            size = reader.tree_size(acme.tenant_id)

            def node(level: int, index: int) -> bytes:
                return reader.node(acme.tenant_id, level, index)

            proof = consistency_proof(signed.size, size, node)
            assert not verify_consistency(signed.size, size, signed.root, root_at(size, node), proof)
            row = reader.receipt_at(acme.tenant_id, signed.size - 1)
        # A receipt that somebody kept contradicts as well: its place is another's now.
        assert sha256_hex(row.header) != chain_of(acme)[signed.size - 1]


def test_a_checkpoint_that_was_not_lost_forbids_to_write_on(acme: Tenancy) -> None:
    connection = acme.plane.store._writing.raw_connection()
    connection.execute("DROP TRIGGER receipts_no_delete")
    connection.execute("DELETE FROM receipts WHERE seq >= ?", (acme.size() - 2,))
    connection.close()
    acme.plane.reopen()
    with pytest.raises(StorageError) as caught:
        acme.revoke("agent", "reconciler")
    assert caught.value.code == "ledger_truncated"
    assert "backup" in caught.value.fix
    found = acme.plane.read(lambda reader: fsck(reader, acme.tenant_id))
    assert any("checkpoint" in line for line in found.damage)
