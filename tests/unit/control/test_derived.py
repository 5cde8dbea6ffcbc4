from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from dragons.authority.revocation import Target
from dragons.control.derived import Derived
from dragons.control.ports import Filter, Transaction
from dragons.core.canonical import decode
from dragons.core.keys import KeyRole
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import Header
from tests.support.plane import Plane, Tenancy, make_manifest


def noted(acme: Tenancy, *, without: Kind | None = None) -> Derived:
    """What the tenant's receipts say, except those of one kind."""
    derived = Derived()
    for row in acme.plane.read(lambda reader: list(reader.iter_receipts(acme.tenant_id, Filter()))):
        if row.kind != (None if without is None else without.value):
            derived.note(row, decode(Header, row.header))
    return derived


def differences(acme: Tenancy, derived: Derived) -> list[str]:
    return acme.plane.read(lambda reader: list(derived.differences(reader, acme.tenant_id)))


@pytest.fixture
def busy(acme: Tenancy) -> Tenancy:
    """A tenant with every kind of key, and something revoked in every way."""
    acme.started(acme.ready())
    acme.rotate(KeyRole.LEDGER)
    acme.revoke_key(acme.rotate(KeyRole.ISSUER).key_id)
    acme.revoke_key(acme.hire("operator").key_id)
    acme.revoke(Target.DOCK, acme.dock("reconciler", ["send:email"]))
    return acme


def test_the_store_follows_from_its_receipts(busy: Tenancy, globex: Tenancy) -> None:
    assert differences(busy, noted(busy)) == []
    assert differences(globex, noted(globex)) == []


@pytest.mark.parametrize("how", ["order", "release"])
def test_leases_that_ended_with_a_key_follow_too(plane: Plane, acme: Tenancy, how: str) -> None:
    """So that nobody with the database can revive what a thief ordered."""
    acme.ready()
    second, since = acme.hire("operator"), acme.now
    dispatch = acme.dispatch(signer=second if how == "order" else None)
    agent = acme.started(make_manifest(), dispatch_id=dispatch)
    if how == "release":
        acme.intervene(agent.instance_id, "quarantine")
        acme.intervene(agent.instance_id, "release", signer=second)
        plane.clock.advance(6_000)
        agent = acme.started(make_manifest(), dispatch_id=dispatch)
    over = acme.started(make_manifest(), dispatch_id=acme.dispatch(signer=second))
    acme.release(over, outcome="completed")
    plane.clock.advance(1)
    acme.revoke_key(second.key_id, compromised_since=since)
    derived = noted(acme)
    assert f"lease:{agent.lease.lease_id}" in derived.revoked
    assert f"lease:{over.lease.lease_id}" not in derived.revoked
    assert differences(acme, derived) == []


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (Kind.TENANT_CREATED, "the key lgk_"),
        (Kind.KEY_REGISTERED, "no receipt registered it"),
        (Kind.KEY_REVOKED, "is not as its receipts say"),
        (Kind.LEASE_ISSUED, "no receipt leased to it"),
        (Kind.SESSION_OPENED, "no receipt opened it"),
    ],
)
def test_a_row_without_its_receipt_is_named(busy: Tenancy, kind: Kind, line: str) -> None:
    assert any(line in one for one in differences(busy, noted(busy, without=kind)))


def test_revocations_that_no_receipt_made_deny_more_and_are_no_damage(busy: Tenancy) -> None:
    assert differences(busy, noted(busy, without=Kind.REVOKED)) == []


def change_key(**changes: Any) -> Callable[[Transaction, Tenancy], None]:
    def run(tx: Transaction, acme: Tenancy) -> None:
        row = tx.key(acme.tenant_id, acme.operator.key_id)
        assert row is not None
        tx.put_key(replace(row, **changes))

    return run


@pytest.mark.parametrize(
    "changes",
    [
        {"public_key": bytes(32)},
        {"roles": ("operator",)},
        {"role": "issuer"},
        {"not_after_ms": 253_402_300_799_999},
        {"revoked_ms": 1, "compromised_ms": 1},
        {"subject": "eve"},
    ],
)
def test_a_key_that_was_changed_is_named(plane: Plane, acme: Tenancy, changes: dict[str, Any]) -> None:
    plane.write(lambda tx: change_key(**changes)(tx, acme))
    expected = f"the key {acme.operator.key_id} is not as its receipts say"
    assert differences(acme, noted(acme)) == [expected]


def test_a_statement_that_is_unreadable_is_not_this_files_finding(plane: Plane, acme: Tenancy) -> None:
    row = plane.read(lambda reader: reader.receipt_at(acme.tenant_id, 1))
    assert row is not None
    derived = Derived()
    derived.note(replace(row, statement=b"{}"), decode(Header, row.header))
    assert derived == Derived()
