"""Whether what a key signed still counts. Whole stories are in tests/tamper/test_key_ends.py."""

from __future__ import annotations

import pytest

from dragons.authority.revocation import Target
from dragons.control.compromise import (
    is_spoiled,
    spoiled_dispatches,
    spoiled_leases,
    spoiled_releases,
    spoiled_versions,
)
from dragons.control.derived import Derived
from dragons.control.ports import Filter
from dragons.core.canonical import decode
from dragons.core.clock import format_time
from dragons.core.keys import LocalSigner
from dragons.evidence.receipt import Header
from tests.support.plane import Plane, Tenancy, make_manifest


@pytest.mark.parametrize(("offset_ms", "spoiled"), [(-1, False), (0, True), (1, True)])
def test_from_the_compromise_on(plane: Plane, acme: Tenancy, offset_ms: int, *, spoiled: bool) -> None:
    second, since_ms = acme.hire("operator"), acme.now_ms
    assert not plane.read(lambda reader: is_spoiled(reader, acme.tenant_id, second.key_id, since_ms))
    plane.clock.advance(1_000)
    acme.revoke_key(second.key_id, compromised_since=format_time(since_ms))
    at_ms = since_ms + offset_ms
    found = plane.read(lambda reader: is_spoiled(reader, acme.tenant_id, second.key_id, at_ms))
    assert found is spoiled


def test_a_key_that_nobody_knows_spoils(plane: Plane, acme: Tenancy) -> None:
    assert plane.read(lambda reader: is_spoiled(reader, acme.tenant_id, "opk_" + "0" * 32, 0))


def test_the_versions_of_one_key_since_then(plane: Plane, acme: Tenancy) -> None:
    second = acme.hire("operator")
    acme.register(make_manifest("early"), signer=second)
    plane.clock.advance(1)
    since_ms = acme.now_ms
    acme.register(make_manifest("honest"))
    for agent in ("evil", "worse"):
        acme.register(make_manifest(agent), signer=second)
    acme.revoke(Target.VERSION, "worse@v1")
    found = plane.read(lambda reader: list(spoiled_versions(reader, acme.tenant_id, second.key_id, since_ms)))
    assert found == ["version:evil@v1"]


def test_the_dispatches_that_go_on_by_one_key_since_then(plane: Plane, acme: Tenancy) -> None:
    acme.ready()
    second = acme.hire("operator")
    acme.dispatch(signer=second)
    plane.clock.advance(1)
    since_ms = acme.now_ms
    acme.dispatch()
    ordered = acme.dispatch(signer=second)
    over = acme.started(make_manifest(), dispatch_id=acme.dispatch(signer=second))
    acme.release(over, outcome="completed")
    honest = acme.dispatch()
    let_go = acme.started(make_manifest(), dispatch_id=honest)
    acme.intervene(let_go.instance_id, "quarantine", signer=second)

    def found() -> list[str]:
        return plane.read(lambda reader: spoiled_dispatches(reader, acme.tenant_id, second.key_id, since_ms))

    assert found() == [ordered]
    acme.intervene(let_go.instance_id, "release", signer=second)
    assert found() == [ordered, honest]


def test_the_leases_of_dispatches(plane: Plane, acme: Tenancy) -> None:
    acme.ready()
    ordered = acme.dispatch()
    first = acme.started(make_manifest(), dispatch_id=ordered)
    acme.release(first, outcome="failed")
    plane.clock.advance(60_000)
    second = acme.started(make_manifest(), dispatch_id=ordered)
    acme.started(make_manifest())
    found = plane.read(lambda reader: list(spoiled_leases(reader, acme.tenant_id, [ordered])))
    # The first one was withdrawn when it was healed.
    assert found == [f"lease:{second.lease.lease_id}"]


def test_the_last_one_to_release_an_agent(plane: Plane, acme: Tenancy) -> None:
    for agent in ("early", "stolen", "honest"):
        acme.ready(agent)
    second = acme.hire("operator")

    def released(agent: str, *signers: LocalSigner | None) -> None:
        for signer in signers:
            acme.intervene_agent(agent, "quarantine")
            acme.intervene_agent(agent, "release", signer=signer)

    released("early", second)
    plane.clock.advance(1)
    since_ms = acme.now_ms
    released("stolen", None, second)
    released("honest", second, None)
    found = plane.read(lambda reader: spoiled_releases(reader, acme.tenant_id, second.key_id, since_ms))
    assert found == ["stolen"]


def test_they_are_entries_of_the_feed(plane: Plane, acme: Tenancy) -> None:
    second, since = acme.hire("operator"), acme.now
    acme.register(make_manifest("evil"), signer=second)
    acme.revoke_key(second.key_id, compromised_since=since)
    acme.revoke(Target.OPERATOR, acme.operator.key_id)
    rows = plane.read(lambda reader: reader.revocations(acme.tenant_id))
    assert [(row.ordinal, row.entry) for row in rows] == [
        (0, f"operator:{second.key_id}"),
        (1, "version:evil@v1"),
        (2, f"operator:{acme.operator.key_id}"),
    ]


def test_the_ledger_tells_them_too(plane: Plane, acme: Tenancy) -> None:
    """So that nobody with the database can take the end of a thief's version away unseen."""
    second = acme.hire("operator")
    acme.register(make_manifest("early"), signer=second)
    plane.clock.advance(1)
    since = acme.now
    for agent, signer in (("evil", second), ("honest", acme.operator)):
        acme.register(make_manifest(agent), signer=signer)
    acme.revoke_key(second.key_id, compromised_since=since)
    found = Derived()
    for row in plane.read(lambda reader: list(reader.iter_receipts(acme.tenant_id, Filter()))):
        found.note(row, decode(Header, row.header))
    assert set(found.revoked) == {f"operator:{second.key_id}", "version:evil@v1"}
    assert plane.read(lambda reader: list(found.differences(reader, acme.tenant_id))) == []
