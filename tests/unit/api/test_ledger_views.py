"""The ledger on the wire, at its edges."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragons.api import ledger_views
from dragons.compose import Names, add_tenant, build_store
from dragons.control.ports import Filter
from dragons.control.records import record_of
from dragons.core.clock import ManualClock
from dragons.core.errors import NotFoundError
from dragons.core.hashing import sha256_hex
from dragons.core.vocabulary import Kind
from dragons.settings import Settings


def test_pages_end(tmp_path: Path) -> None:
    clock, settings = ManualClock(), Settings(home=tmp_path)
    store = build_store(settings, clock)
    tenant_id = add_tenant(settings, store, Names("acme", "Ada"), clock).tenant_id
    with store.read() as reader:
        for limit, after in ((1, 0), (2, 1), (3, 2), (4, -1)):
            page = ledger_views.receipts(reader, tenant_id, Filter(limit=limit))
            assert (len(page.receipts), page.next_after) == (min(limit, 3), after)
        assert ledger_views.receipts(reader, tenant_id, Filter(after=2)).receipts == []
        first = ledger_views.receipts(reader, tenant_id, Filter(limit=1)).receipts[0]
        assert (first.kind, first.header["seq"]) == ("tenant.created", 0)
    store.close()


def test_a_receipt_without_a_checkpoint_has_no_proof_yet(tmp_path: Path) -> None:
    clock, settings = ManualClock(), Settings(home=tmp_path)
    store = build_store(settings, clock)
    tenant_id = add_tenant(settings, store, Names("acme", "Ada"), clock).tenant_id

    def again(tx: object) -> str:
        last = tx.receipt_at(tenant_id, 2)  # type: ignore[attr-defined]
        return tx.append(tenant_id, Kind.KEY_REGISTERED, record_of(last).statement).receipt_id  # type: ignore[attr-defined]

    receipt_id = store.write(again).result()
    with store.read() as reader:
        assert ledger_views.receipt_detail(reader, tenant_id, receipt_id) is None
        first = reader.receipt_at(tenant_id, 0)
        assert first is not None
        shown = ledger_views.receipt_detail(reader, tenant_id, first.receipt_id)
        assert shown is not None
        assert shown.view.chain_root == sha256_hex(first.header)
        for look in (ledger_views.receipt_detail, ledger_views.session):
            with pytest.raises(NotFoundError):
                look(reader, tenant_id, "x")
        assert ledger_views.sessions(reader, tenant_id, None, open_only=False).sessions == []
    store.close()


def test_a_ledger_of_nobody(tmp_path: Path) -> None:
    store = build_store(Settings(home=tmp_path), ManualClock())
    with store.read() as reader:
        shown = ledger_views.ledger(reader, "tnt_none")
    assert (shown.size, shown.checkpoint, shown.chain_root) == (0, "", "0" * 64)
    assert shown.root == sha256_hex(b"")
    store.close()
