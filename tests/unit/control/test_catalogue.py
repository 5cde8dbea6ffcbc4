from __future__ import annotations

from dragons.authority.catalogue import Entry
from dragons.control.catalogue import current_catalogue, risks
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError
from dragons.core.vocabulary import Kind, Risk
from tests.support.expect import fails
from tests.support.plane import CAPABILITIES, Plane, Tenancy, assert_sound


def test_versions_follow_each_other(plane: Plane, acme: Tenancy) -> None:
    for wrong in (0, 2):
        with fails(ConflictError, "version_conflict"):
            acme.publish(wrong)
    acme.publish(1)
    with fails(ConflictError, "version_conflict"):
        acme.publish(1)
    acme.publish(2, {"read:mail": Entry(description="Read mail.", risk=Risk.HIGH, delegable=False)})
    found = plane.read(lambda reader: current_catalogue(reader, acme.tenant_id))
    assert found is not None
    assert (found.version, list(found.capabilities)) == (2, ["read:mail"])
    assert plane.read(lambda reader: risks(reader, acme.tenant_id)) == {"read:mail": Risk.HIGH}
    assert len(acme.receipts(Kind.CATALOGUE_PUBLISHED)) == 2
    assert_sound(plane, acme)


def test_before_the_first_there_is_none(plane: Plane, acme: Tenancy) -> None:
    assert plane.read(lambda reader: current_catalogue(reader, acme.tenant_id)) is None
    assert plane.read(lambda reader: risks(reader, acme.tenant_id)) == {}


def test_the_risks_are_those_of_the_entries(plane: Plane, acme: Tenancy) -> None:
    acme.publish()
    found = plane.read(lambda reader: risks(reader, acme.tenant_id))
    assert found == {name: one.risk for name, one in CAPABILITIES.items()}
    # Decisions in a transaction see a version that was published a moment before.
    assert plane.write(lambda tx: risks(tx, acme.tenant_id)) == found


def test_an_old_statement_can_not_be_published_late(plane: Plane, acme: Tenancy) -> None:
    for offset in (-600_001, 600_001):
        with fails(InvalidInputError, "date_implausible"):
            acme.publish(published_at=format_time(plane.clock.now_ms() + offset))
    acme.publish(published_at=format_time(plane.clock.now_ms() - 600_000))


def test_tenants_have_their_own(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    acme.publish()
    assert plane.read(lambda reader: current_catalogue(reader, globex.tenant_id)) is None
    with fails(ForbiddenError, "tenant_mismatch"):
        globex.publish(tenant_id=acme.tenant_id)
    with fails(ForbiddenError, "signer_unknown"):
        globex.publish(signer=acme.operator)
    globex.publish(1)
