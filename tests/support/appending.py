"""Receipts at the level of the store: appended as they are, without a use case that judges them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from dragons.control.fsck import fsck
from dragons.control.ports import Appended, Filter, Transaction
from dragons.control.rows import ReceiptRow
from dragons.core.hashing import ZERO, sha256_hex
from dragons.core.statement import Envelope, sign
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import ERASURE, Erasure
from tests.support.plane import WAIT_SECONDS, Tenancy


def statement_of(tenancy: Tenancy, words: str = "test") -> Envelope:
    body = Erasure(tenant_id=tenancy.tenant_id, receipts=[], reason=words, erased_at=tenancy.now)
    return sign(ERASURE, body, tenancy.operator)


def appender(
    tenancy: Tenancy, words: str = "test", kind: Kind = Kind.ERASED, claim_id: str | None = None, **about: Any
) -> Callable[[Transaction], Appended]:
    """A job that appends one receipt; `words` are in its statement."""
    statement = statement_of(tenancy, words)
    return lambda tx: tx.append(tenancy.tenant_id, kind, statement, about, claim_id=claim_id)  # type: ignore[arg-type]


def append(tenancy: Tenancy, words: str = "test", **more: Any) -> Appended:
    """Append one receipt and wait until it is durable."""
    return tenancy.plane.write(appender(tenancy, words, **more))


def rows_of(tenancy: Tenancy, **wanted: Any) -> list[ReceiptRow]:
    return tenancy.plane.read(lambda reader: list(reader.iter_receipts(tenancy.tenant_id, Filter(**wanted))))


def assert_chained(tenancy: Tenancy) -> list[str]:
    """The store is sound, places have no gap, each header names the one before; the roots, oldest first."""
    assert not tenancy.plane.read(lambda reader: fsck(reader, tenancy.tenant_id)).damage
    rows = rows_of(tenancy)
    roots = [sha256_hex(row.header) for row in rows]
    assert [row.seq for row in rows] == list(range(len(rows)))
    for row, parent in zip(rows, [ZERO, *roots[:-1]], strict=True):
        assert f'"parent_root":"{parent}"'.encode() in row.header
    return roots


@contextmanager
def writer_held(tenancy: Tenancy) -> Iterator[None]:
    """While this lasts the writer is busy with one job, so that what is submitted waits and becomes a group."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        begun.set()
        assert go_on.wait(WAIT_SECONDS)

    held = tenancy.plane.store.write(hold)
    assert begun.wait(WAIT_SECONDS)
    try:
        yield
    finally:
        go_on.set()
        held.result(WAIT_SECONDS)


def settle(futures: list[Future[Any]]) -> list[Any]:
    """The result of each, or the error that it ended with."""
    return [one.exception(WAIT_SECONDS) or one.result(WAIT_SECONDS) for one in futures]
