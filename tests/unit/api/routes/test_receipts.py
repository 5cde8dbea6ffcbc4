"""Appending and reading over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragons.core.canonical import encode
from dragons.core.hashing import sha256_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import envelope_json, sign
from dragons.evidence.checkpoint import parse_note
from dragons.evidence.merkle import leaf_hash, verify_inclusion
from dragons.evidence.receipt import CLAIM, Claim, Record
from dragons.wire.base import BATCH_MAX
from tests.support.server import Instance, Plane, Tenant


def append(instance: Instance, *claims: Any) -> list[dict[str, Any]]:
    body = {"claims": [envelope_json(one) for one in claims]}
    found: list[dict[str, Any]] = instance.post("/v1/receipts", body)["results"]
    return found


def test_a_batch_is_appended_in_order(tenant: Tenant, instance: Instance) -> None:
    session = instance.open()
    claims = [instance.claim(session) for _ in range(BATCH_MAX)]
    results = append(instance, *claims)
    seqs = [one["receipt"]["seq"] for one in results]
    assert seqs == list(range(seqs[0], seqs[0] + BATCH_MAX))
    assert [one["claim_id"] for one in results] == [one.body(CLAIM, Claim).claim_id for one in claims]
    again = append(instance, *claims)
    assert [one["receipt"] for one in again] == [one["receipt"] for one in results]
    assert tenant.get(f"/v1/sessions/{session}")["receipts"] == BATCH_MAX + 1


def test_each_claim_is_answered_for_itself(tenant: Tenant, instance: Instance) -> None:
    session = instance.open()
    good = instance.claim(session)
    forged = sign(CLAIM, good.body(CLAIM, Claim), LocalSigner.generate(KeyRole.INSTANCE))
    results = append(
        instance,
        instance.claim(session),
        instance.claim(tenant.name("ses")),
        instance.claim(session, action="fly:rocket"),
        instance.claim(session, action="pay:invoice"),
        instance.claim(session, epoch=9),
        instance.claim(session, started_at=tenant.now(60_000), ended_at=tenant.now(60_000)),
        forged,
        good,
    )
    assert [one.get("code", "") for one in results] == [
        "", "session_missing", "capability_not_leased", "online_check_required", "epoch_stale",
        "time_implausible", "signature_invalid", "",
    ]  # fmt: skip
    assert all(("receipt" in one) == ("code" not in one) for one in results)


@pytest.mark.parametrize("count", [0, BATCH_MAX + 1])
def test_a_batch_has_its_bounds(instance: Instance, count: int) -> None:
    claim = envelope_json(instance.claim(instance.tenant.name("ses")))
    reply = instance.send("POST", "/v1/receipts", {"claims": [claim] * count})
    assert (reply.status, reply.code) == (422, "request_invalid")


def test_a_claim_id_names_one_claim(tenant: Tenant, instance: Instance) -> None:
    session, name = instance.open(), tenant.name("clm")
    results = append(
        instance, instance.claim(session, claim_id=name), instance.claim(session, claim_id=name, elapsed_ms=7)
    )
    assert [one.get("code") for one in results] == [None, "claim_reused"]


def test_pages_cover_everything_once(plane: Plane) -> None:
    tenant = plane.tenant()
    instance = tenant.launch()
    session = instance.open()
    instance.work(session, 20)
    size = tenant.get("/v1/ledger")["size"]
    for newest in ("", "&newest=true"):
        after, seen = -1, []
        while True:
            page = tenant.get(f"/v1/receipts?limit=7&after={after}{newest}")
            seen += [one["seq"] for one in page["receipts"]]
            after = page["next_after"]
            if after < 0:
                break
        assert sorted(seen) == list(range(size))
        assert seen == sorted(seen, reverse=bool(newest))


def test_filters(tenant: Tenant, instance: Instance) -> None:
    session = instance.open()
    instance.work(session, 2)
    own = tenant.get(f"/v1/receipts?session_id={session}")["receipts"]
    assert [one["kind"] for one in own] == ["session.opened", "work", "work"]
    kinds = {one["kind"] for one in tenant.get("/v1/receipts?kind=work")["receipts"]}
    assert kinds == {"work"}
    assert tenant.get("/v1/receipts?agent=other")["receipts"] == []
    assert all(
        one["header"]["agent"] == "reconciler@v1"
        for one in tenant.get("/v1/receipts?agent=reconciler&kind=work")["receipts"]
    )


def test_a_receipt_proves_itself(plane: Plane) -> None:
    tenant = plane.tenant()
    instance = tenant.launch()
    results = instance.work(instance.open(), 5)
    for result in results:
        shown = tenant.get(f"/v1/receipts/{result['receipt']['receipt_id']}")
        record = msgspec.convert(shown["record"], Record)
        assert sha256_hex(record.header.payload) == result["receipt"]["chain_root"]
        assert encode(record) == record.leaf()
        assert leaf_hash(record.leaf()).hex() == shown["proof"]["leaf_hash"]
        checkpoint = parse_note(shown["proof"]["checkpoint"]).checkpoint
        assert verify_inclusion(
            result["receipt"]["seq"],
            checkpoint.size,
            leaf_hash(record.leaf()),
            [bytes.fromhex(one) for one in shown["proof"]["path"]],
            checkpoint.root,
        )
        assert shown["statement"]["claim_id"] == result["claim_id"]


def test_an_unknown_receipt(tenant: Tenant) -> None:
    reply = tenant.send("GET", f"/v1/receipts/{tenant.name('rcp')}")
    assert (reply.status, reply.code) == (404, "receipt_missing")
