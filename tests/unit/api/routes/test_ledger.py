"""The head of the ledger, its consistency and its examination over HTTP."""

from __future__ import annotations

import pytest

from dragons.core.errors import StorageError
from dragons.evidence.checkpoint import parse_note, verify_checkpoint
from dragons.evidence.merkle import verify_consistency
from tests.support.server import Plane, Tenant


def test_the_checkpoint_covers_the_head(plane: Plane) -> None:
    tenant = plane.tenant()
    shown = tenant.get("/v1/ledger")
    assert shown["tenant_id"] == tenant.tenant_id
    ledger = plane.backend.keyring.ledger(tenant.tenant_id).public_key
    checkpoint = verify_checkpoint(shown["checkpoint"], tenant.tenant_id, [ledger])
    assert checkpoint is not None
    assert (checkpoint.size, checkpoint.root.hex()) == (shown["size"], shown["root"])
    newest = tenant.get("/v1/receipts?newest=true&limit=1")["receipts"][0]
    assert newest["chain_root"] == shown["chain_root"]
    assert shown["revocations"] == 0


def test_a_head_that_is_covered_is_shown_without_a_write(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = plane.tenant()
    before = tenant.get("/v1/ledger")

    def refuse(*_: object) -> None:
        raise StorageError("storage_read_only", "No.")

    with monkeypatch.context() as patched:
        patched.setattr(plane.backend.store, "write", refuse)
        assert tenant.get("/v1/ledger") == before
    tenant.post("/v1/catalogue", tenant.catalogue(1))
    after = tenant.get("/v1/ledger")
    assert after["size"] == before["size"] + 1
    assert parse_note(after["checkpoint"]).checkpoint.size == after["size"]


def test_a_later_log_begins_with_the_earlier(plane: Plane) -> None:
    tenant = plane.tenant()
    before = tenant.get("/v1/ledger")
    tenant.launch().open()
    after = tenant.get("/v1/ledger")
    shown = tenant.get(f"/v1/ledger/consistency?first={before['size']}&second={after['size']}")
    proof = [bytes.fromhex(one) for one in shown["proof"]]
    roots = [parse_note(one["checkpoint"]).checkpoint.root for one in (before, after)]
    assert verify_consistency(before["size"], after["size"], roots[0], roots[1], proof)
    assert not verify_consistency(before["size"], after["size"], roots[1], roots[0], proof)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("first=2&second=1", 422, "consistency_range"),
        ("first=1&second=1000000", 404, "receipts_missing"),
        ("first=0&second=1", 422, "request_invalid"),
        ("first=1", 422, "request_invalid"),
    ],
)
def test_ranges_without_a_proof(tenant: Tenant, query: str, status: int, code: str) -> None:
    reply = tenant.send("GET", f"/v1/ledger/consistency?{query}")
    assert (reply.status, reply.code) == (status, code)


def test_a_sound_ledger_is_found_sound(tenant: Tenant) -> None:
    size = tenant.get("/v1/ledger")["size"]
    assert tenant.post("/v1/ledger/fsck", {}) == {"receipts": size, "sound": True, "damage": []}
