from __future__ import annotations

import msgspec
import pytest

from dragons.control.rows import ActivationRow, VersionRow
from dragons.control.versions import activate_version, active_version, next_version
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from dragons.core.hashing import sha256_hex
from dragons.core.ids import new_id
from dragons.core.statement import parse_envelope
from dragons.core.vocabulary import Kind
from dragons.identity.records import ACTIVATION, REGISTRATION, Activation, Registration
from tests.support.expect import fails
from tests.support.plane import Plane, Tenancy, assert_sound, make_manifest

T0 = 1_800_000_000_000


def active(tenancy: Tenancy, agent: str = "reconciler") -> VersionRow | None:
    return tenancy.plane.read(lambda reader: active_version(reader, tenancy.tenant_id, agent))


def following(tenancy: Tenancy, agent: str = "reconciler") -> int:
    return tenancy.plane.read(lambda reader: next_version(reader, tenancy.tenant_id, agent))


def history(tenancy: Tenancy) -> list[ActivationRow]:
    return tenancy.plane.read(lambda reader: list(reader.activations(tenancy.tenant_id, "reconciler")))


# --- registration ---------------------------------------------------------------------------------


def test_a_manifest_becomes_the_next_version(plane: Plane, acme: Tenancy) -> None:
    manifest = make_manifest()
    assert following(acme) == 1
    row, new = acme.register(manifest)
    assert new
    assert (row.agent, row.version, row.manifest_hash) == ("reconciler", 1, manifest.hash())
    assert (row.registered_ms, row.registered_by) == (acme.now_ms, acme.operator.key_id)
    assert parse_envelope(row.statement).body(REGISTRATION, Registration).manifest == manifest
    assert plane.read(lambda reader: reader.version(acme.tenant_id, "reconciler", 1)) == row
    (header,) = acme.receipts(Kind.MANIFEST_REGISTERED)
    assert (header.agent, header.manifest_hash) == ("reconciler@v1", manifest.hash())
    assert following(acme) == 2
    assert_sound(plane, acme)


def test_the_same_manifest_is_the_version_that_it_was(acme: Tenancy) -> None:
    first, _ = acme.register(make_manifest())
    acme.register(make_manifest(code=b"print(2)"), 2)
    size = acme.size()
    for number in (1, 2, 3):
        assert acme.register(make_manifest(), number) == (first, False)
    assert acme.size() == size
    assert following(acme) == 3


@pytest.mark.parametrize("number", [1, 3, 1_000_000])
def test_versions_have_no_gap_and_no_second_holder(acme: Tenancy, number: int) -> None:
    acme.register(make_manifest())
    size = acme.size()
    with fails(ConflictError, "version_conflict"):
        acme.register(make_manifest(code=b"print(2)"), number)
    assert (acme.size(), following(acme)) == (size, 2)


def test_each_agent_of_each_tenant_counts_its_own(acme: Tenancy, globex: Tenancy) -> None:
    acme.register(make_manifest())
    assert acme.register(make_manifest("notifier"))[0].version == 1
    assert globex.register(make_manifest())[0].version == 1
    assert (following(acme), following(acme, "notifier"), following(globex)) == (2, 2, 2)


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"version": 0}, InvalidInputError, "document_malformed"),
        ({"version": 1_000_001}, InvalidInputError, "document_malformed"),
        ({"manifest_hash": sha256_hex(b"another")}, InvalidInputError, "manifest_hash_wrong"),
        ({"registered_at": format_time(T0 - 600_001)}, InvalidInputError, "date_implausible"),
        ({"registered_at": format_time(T0 + 600_001)}, InvalidInputError, "date_implausible"),
        ({"registered_at": "2027-13-01T00:00:00.000Z"}, InvalidInputError, "time_malformed"),
        ({"tenant_id": new_id("tnt", 1)}, ForbiddenError, "tenant_mismatch"),
    ],
)
def test_what_is_no_registration_is_an_error(acme: Tenancy, changes: dict, error, code: str) -> None:
    size = acme.size()
    manifest = make_manifest()
    with fails(error, code):
        acme.register(manifest, **{"version": 1, **changes})
    assert acme.size() == size
    assert following(acme) == 1


def test_a_malformed_manifest_is_not_registered(acme: Tenancy) -> None:
    with fails(InvalidInputError, "manifest_empty"):
        acme.register(msgspec.structs.replace(make_manifest(), code=[]))
    assert not acme.receipts(Kind.MANIFEST_REGISTERED)


def test_an_auditor_registers_and_activates_nothing(acme: Tenancy) -> None:
    auditor, manifest = acme.hire("auditor"), make_manifest()
    with fails(ForbiddenError, "signer_not_valid"):
        acme.register(manifest, signer=auditor)
    acme.register(manifest)
    with fails(ForbiddenError, "signer_not_valid"):
        acme.activate(manifest, signer=auditor)
    assert active(acme) is None


# --- activation -----------------------------------------------------------------------------------


def test_an_activation_says_who_when_and_why(plane: Plane, acme: Tenancy) -> None:
    manifest, second = make_manifest(), acme.hire("operator")
    acme.register(manifest)
    assert active(acme) is None
    plane.clock.advance(1_000)
    acme.activate(manifest, signer=second, reason="it is ready")
    row = history(acme)[0]
    assert (row.ordinal, row.version, row.manifest_hash) == (0, 1, manifest.hash())
    assert (row.activated_ms, row.activated_by, row.reason) == (acme.now_ms, second.key_id, "it is ready")
    (header,) = acme.receipts(Kind.VERSION_ACTIVATED)
    assert (header.agent, header.manifest_hash) == ("reconciler@v1", manifest.hash())
    assert acme.statements(Kind.VERSION_ACTIVATED, Activation)[0].reason == "it is ready"
    assert_sound(plane, acme)


def test_a_rollback_is_one_more_activation(plane: Plane, acme: Tenancy) -> None:
    first, second = make_manifest(), make_manifest(code=b"print(2)")
    acme.register(first)
    acme.register(second, 2)
    numbers = []
    for ordinal, (manifest, version) in enumerate([(first, 1), (second, 2), (first, 1)]):
        acme.activate(manifest, version, ordinal)
        found = active(acme)
        assert found is not None
        numbers.append(found.version)
    assert numbers == [1, 2, 1] == [row.version for row in history(acme)]
    assert_sound(plane, acme)


@pytest.mark.parametrize("ordinal", [0, 2])
def test_an_activation_is_the_next_or_a_conflict(acme: Tenancy, ordinal: int) -> None:
    manifest = make_manifest()
    acme.register(manifest)
    acme.activate(manifest)
    with fails(ConflictError, "version_conflict"):
        acme.activate(manifest, 1, ordinal)
    assert len(history(acme)) == len(acme.receipts(Kind.VERSION_ACTIVATED)) == 1


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"version": 2}, NotFoundError, "version_missing"),
        ({"agent": "notifier"}, NotFoundError, "version_missing"),
        ({"manifest_hash": sha256_hex(b"another")}, NotFoundError, "version_missing"),
        ({"activated_at": format_time(T0 - 600_001)}, InvalidInputError, "date_implausible"),
        ({"activated_at": format_time(T0 + 600_001)}, InvalidInputError, "date_implausible"),
        ({"tenant_id": new_id("tnt", 1)}, ForbiddenError, "tenant_mismatch"),
    ],
)
def test_what_is_no_activation_is_an_error(acme: Tenancy, changes: dict, error, code: str) -> None:
    manifest = make_manifest()
    acme.register(manifest)
    size = acme.size()
    body = Activation(
        tenant_id=acme.tenant_id,
        agent="reconciler",
        version=1,
        manifest_hash=manifest.hash(),
        ordinal=0,
        activated_at=acme.now,
    )
    with fails(error, code):
        acme.do(activate_version, acme.signed(ACTIVATION, body, None, changes))
    assert acme.size() == size
    assert active(acme) is None


def test_another_tenants_version_can_not_be_activated(acme: Tenancy, globex: Tenancy) -> None:
    acme.register(make_manifest())
    with fails(NotFoundError, "version_missing"):
        globex.activate(make_manifest())
    acme.activate(make_manifest())
    assert active(globex) is None


@pytest.mark.parametrize(("since_ms", "stays"), [(0, False), (1, True)])
def test_what_a_compromised_key_activated_counts_no_more(
    plane: Plane, acme: Tenancy, since_ms: int, *, stays: bool
) -> None:
    first, second, thief = make_manifest(), make_manifest(code=b"print(2)"), acme.hire("operator")
    acme.register(first)
    acme.activate(first)
    acme.register(second, 2)
    plane.clock.advance(1_000)
    acme.activate(second, 2, 1, signer=thief)
    activated_ms = acme.now_ms
    plane.clock.advance(1_000)
    acme.revoke_key(thief.key_id, compromised_since=format_time(activated_ms + since_ms))
    found = active(acme)
    # The activation before it doesn't come back by itself: nobody said that it should.
    assert (found is not None) is stays
    acme.activate(first, 1, 2)
    found = active(acme)
    assert found is not None
    assert found.version == 1
