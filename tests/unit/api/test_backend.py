"""The backend reads and writes without blocking the loop, rings after commits, and knows a broken store."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from dragons.api.backend import Backend, sign_checkpoint
from dragons.compose import Names, add_tenant, build_backend
from dragons.control.ports import Transaction
from dragons.control.records import record_of
from dragons.core.clock import ManualClock
from dragons.core.errors import StorageError
from dragons.core.vocabulary import Kind
from dragons.evidence.checkpoint import parse_note
from dragons.settings import Settings


def own(home: Path, clock: ManualClock | None = None) -> Backend:
    return build_backend(Settings(home=home), clock or ManualClock())


def test_reads_and_writes_are_done_elsewhere(tmp_path: Path) -> None:
    async def main() -> None:
        backend = own(tmp_path)
        here = threading.get_ident()
        for job in (backend.read, backend.write, backend.work):
            assert await job(lambda _: threading.get_ident()) != here
        assert backend.read_now(lambda _: threading.get_ident()) == here
        backend.close()

    asyncio.run(main())


def test_only_a_commit_rings(tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise StorageError("x", "y")

    async def main() -> None:
        backend = own(tmp_path)
        event = backend.bell.join()
        await backend.read(lambda _: None)
        with pytest.raises(StorageError):
            await backend.write(fail)
        assert not event.is_set()
        await backend.write(lambda _: None)
        assert event.is_set()
        backend.close()

    asyncio.run(main())


def test_long_work_does_not_hold_up_reads(tmp_path: Path) -> None:
    async def main() -> None:
        backend = own(tmp_path)
        held = threading.Event()
        long = [asyncio.ensure_future(backend.work(lambda _: held.wait(20))) for _ in range(10)]
        assert await asyncio.wait_for(backend.read(lambda _: 1), 10) == 1
        held.set()
        assert all(await asyncio.gather(*long))
        backend.close()

    asyncio.run(main())


def test_readiness_is_asked_of_the_store_once_a_second(tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        backend = own(tmp_path, clock)
        writes = 0
        real = backend.store.write

        def counted(job: object) -> object:
            nonlocal writes
            writes += 1
            return real(job)  # type: ignore[arg-type]

        backend.store.write = counted  # type: ignore[method-assign, assignment]
        await asyncio.gather(*(backend.check_writable() for _ in range(50)))
        assert writes == 1
        clock.advance(1_000)
        await backend.check_writable()
        assert writes == 2
        backend.close()

    asyncio.run(main())


def test_a_closed_store_is_not_writable(tmp_path: Path) -> None:
    async def main() -> None:
        backend = own(tmp_path)
        backend.store.close()
        with pytest.raises(StorageError):
            await backend.check_writable()
        backend.close()

    asyncio.run(main())


def test_a_checkpoint_covers_everything(tmp_path: Path) -> None:
    async def main() -> None:
        backend = own(tmp_path)
        tenant_id = add_tenant(backend.settings, backend.store, Names("acme", "Ada"), backend.clock).tenant_id
        await backend.write(lambda tx: record(tx, tenant_id))
        await sign_checkpoint(backend, tenant_id)
        note = await backend.read(lambda reader: reader.checkpoint(tenant_id))
        assert parse_note(str(note)).checkpoint.size == 4
        backend.close()

    asyncio.run(main())


def record(tx: Transaction, tenant_id: str) -> None:
    """One more receipt; what it says does not matter here."""
    last = tx.receipt_at(tenant_id, 2)
    assert last is not None
    tx.append(tenant_id, Kind.KEY_REGISTERED, record_of(last).statement)
