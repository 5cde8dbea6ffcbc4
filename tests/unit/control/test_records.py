from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragons.control.ports import Filter
from dragons.control.records import record_of
from dragons.control.rows import ReceiptRow
from dragons.core.canonical import decode
from dragons.core.keys import KeyRole
from dragons.core.vocabulary import Kind
from dragons.evidence.merkle import leaf_hash
from dragons.evidence.receipt import RECEIPT, Header, Record
from dragons.identity.records import KEY, Key
from tests.support.plane import Plane, Tenancy


def rows_of(tenancy: Tenancy, kind: Kind | None = None) -> list[ReceiptRow]:
    wanted = Filter(kind=None if kind is None else kind.value)
    return tenancy.plane.read(lambda reader: list(reader.iter_receipts(tenancy.tenant_id, wanted)))


def test_a_stored_receipt_is_the_leaf_that_was_hashed(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    acme.work(agent)
    acme.close(agent)
    rows = rows_of(acme)
    assert {Kind.TENANT_CREATED, Kind.WORK, Kind.SESSION_CLOSED} <= {Kind(row.kind) for row in rows}
    for row in rows:
        leaf = record_of(row).leaf()
        assert leaf_hash(leaf) == row.leaf_hash
        assert decode(Record, leaf) == record_of(row)


def test_the_header_is_signed_by_the_ledger_key_of_its_row(acme: Tenancy) -> None:
    old = acme.rotate(KeyRole.LEDGER)
    acme.publish()
    keys = {one.key_id: one.public_key for one in (old, acme.ledger)}
    used = set()
    for row in rows_of(acme):
        header = record_of(row).header
        (signature,) = header.signatures
        assert keys[signature.keyid].verify(signature.sig, header.pae())
        assert header.body(RECEIPT, Header).seq == row.seq
        used.add(signature.keyid)
    assert used == set(keys)


def test_a_statement_keeps_every_signature(acme: Tenancy) -> None:
    old = acme.rotate(KeyRole.ISSUER)
    statement = record_of(rows_of(acme, Kind.KEY_REGISTERED)[-1]).statement
    assert [one.keyid for one in statement.signatures] == [acme.root.key_id, old.key_id]
    keys = (acme.root.public_key, old.public_key)
    for signature, key in zip(statement.signatures, keys, strict=True):
        assert key.verify(signature.sig, statement.pae())
    assert statement.body(KEY, Key).replaces == old.key_id


@pytest.mark.parametrize(
    "damage",
    [
        {"header": b"{}"},
        {"header_signature": bytes(64)},
        {"ledger_key_id": "lgk_" + "0" * 32},
        {"statement": b"{}"},
        {"statement_type": "application/vnd.dragons.claim+json"},
        {"statement_signatures": b"[]"},
    ],
)
def test_every_part_of_a_row_is_in_the_leaf(acme: Tenancy, damage: dict) -> None:
    row = rows_of(acme)[-1]
    changed = record_of(replace(row, **damage)).leaf()
    assert leaf_hash(changed) != row.leaf_hash
