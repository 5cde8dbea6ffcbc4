from __future__ import annotations

import pytest

from dragons.authority.dock import Dock
from dragons.authority.revocation import Target
from dragons.control.docks import dock_of, dock_revoked, dock_status
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from dragons.core.ids import LEASE, new_id
from dragons.core.vocabulary import Kind
from tests.support.expect import fails
from tests.support.plane import Plane, Tenancy, assert_sound, make_manifest


@pytest.fixture
def known(acme: Tenancy) -> Tenancy:
    """A tenant with a catalogue and a version of one agent."""
    acme.publish()
    acme.register(make_manifest())
    return acme


def status(tenancy: Tenancy, dock_id: str) -> str:
    def look(reader):
        return dock_status(reader, reader.dock(tenancy.tenant_id, dock_id), tenancy.now_ms)

    return tenancy.plane.read(look)


def test_a_dock_is_recorded_as_it_was_signed(plane: Plane, known: Tenancy) -> None:
    dock_id = known.dock("reconciler", ["read:payments"], delegate=["send:email"], instances_max=3)
    row = plane.read(lambda reader: reader.dock(known.tenant_id, dock_id))
    assert row is not None
    body, envelope = dock_of(row)
    assert (body.scope, body.delegate_scope, body.instances_max) == (["read:payments"], ["send:email"], 3)
    assert known.receipts(Kind.AGENT_DOCKED)[0].statement_hash == envelope.payload_digest()
    assert known.statements(Kind.AGENT_DOCKED, Dock) == [body]
    assert status(known, dock_id) == "valid"
    assert_sound(plane, known)


@pytest.mark.parametrize(
    ("agent", "scope", "changes", "error", "code"),
    [
        ("nobody", ["read:payments"], {}, NotFoundError, "agent_missing"),
        ("reconciler", ["read:mail"], {}, InvalidInputError, "capability_unknown"),
        ("reconciler", [], {"delegate_scope": ["read:mail"]}, InvalidInputError, "capability_unknown"),
        ("reconciler", [], {}, InvalidInputError, "dock_empty"),
        (
            "reconciler",
            [],
            {"delegate_scope": ["send:email", "read:payments"]},
            InvalidInputError,
            "scope_unsorted",
        ),
        ("reconciler", ["read:payments"], {"dock_id": new_id(LEASE, 1)}, InvalidInputError, "id_malformed"),
        (
            "reconciler",
            ["read:payments"],
            {"operator": "opk_" + "0" * 32},
            InvalidInputError,
            "operator_mismatch",
        ),
        (
            "reconciler",
            ["read:payments"],
            {"created_at": format_time(1_800_000_000_000 - 600_001)},
            InvalidInputError,
            "date_implausible",
        ),
        (
            "reconciler",
            ["read:payments"],
            {"not_after": "2027-02-30T00:00:00.000Z"},
            InvalidInputError,
            "time_malformed",
        ),
        ("reconciler", ["read:payments"], {"tenant_id": new_id("tnt", 1)}, ForbiddenError, "tenant_mismatch"),
    ],
)
def test_what_is_no_dock_is_an_error(known: Tenancy, agent, scope, changes, error, code) -> None:
    size = known.size()
    with fails(error, code):
        known.dock(agent, scope, **changes)
    assert known.size() == size


def test_a_dock_is_recorded_once(known: Tenancy) -> None:
    dock_id = known.dock("reconciler", ["read:payments"])
    with fails(ConflictError, "dock_exists"):
        known.dock("reconciler", ["send:email"], dock_id=dock_id)


def test_a_dock_ends_when_it_says(plane: Plane, known: Tenancy) -> None:
    end_ms = plane.clock.now_ms() + 5_000
    dock_id = known.dock("reconciler", ["read:payments"], not_after=format_time(end_ms))
    plane.clock.advance(4_999)
    assert status(known, dock_id) == "valid"
    plane.clock.advance(1)
    assert status(known, dock_id) == "expired"


@pytest.mark.parametrize("kind", [Target.DOCK, Target.AGENT, Target.OPERATOR])
def test_what_a_dock_rests_on_can_be_revoked(plane: Plane, known: Tenancy, kind: Target) -> None:
    dock_id = known.dock("reconciler", ["read:payments"])
    target = {Target.DOCK: dock_id, Target.AGENT: "reconciler", Target.OPERATOR: known.operator.key_id}[kind]
    known.revoke(kind, target)
    assert status(known, dock_id) == "revoked"

    def look(reader):
        body, _ = dock_of(reader.dock(known.tenant_id, dock_id))
        return dock_revoked(reader, known.tenant_id, body)

    assert plane.read(look) == f"{kind}:{target}"
    assert_sound(plane, known)


def test_the_dock_of_another_tenant_is_none(plane: Plane, known: Tenancy, globex: Tenancy) -> None:
    dock_id = known.dock("reconciler", ["read:payments"])
    assert plane.read(lambda reader: reader.dock(globex.tenant_id, dock_id)) is None
    # The other tenant may use the same name for its own.
    globex.publish()
    globex.register(make_manifest())
    assert globex.dock("reconciler", ["read:payments"], dock_id=dock_id) == dock_id
    with fails(ForbiddenError, "signer_unknown"):
        globex.dock("reconciler", ["read:payments"], signer=known.operator)
