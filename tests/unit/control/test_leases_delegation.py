from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragons.authority.lease import DEPTH_MAX, LEASE, Delegation, Lease
from dragons.authority.revocation import Target
from dragons.control.issue import Grant
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError
from dragons.core.ids import LEASE as LEASE_PREFIX
from dragons.core.ids import new_id, uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Kind, OrganismState, Reason
from tests.support.expect import fails, is_refused
from tests.support.plane import CAPABILITIES, Agent, Plane, Tenancy, assert_sound, make_manifest

T0 = 1_800_000_000_000
LEASE_MS = 900_000
NOTIFIER = make_manifest("notifier")
MAIL = ["send:email"]


@pytest.fixture
def parent(acme: Tenancy) -> Agent:
    """An instance that may read, write and hand on mail, beside an agent that may be its child."""
    acme.ready("notifier", ["read:payments", "send:email", "write:ledger"])
    return acme.started(acme.ready(delegate=MAIL), delegate_scope=tuple(MAIL))


def child_of(tenancy: Tenancy, parent: Agent, scope: list[str] = MAIL, **more: Any) -> Agent:
    found = tenancy.delegate(parent, NOTIFIER, scope, **more)
    assert isinstance(found, Agent), found
    return found


def body(agent: Agent) -> Lease:
    return agent.grant.statement.body(LEASE, Lease)


def test_a_child_holds_a_part_of_its_parents_lease(plane: Plane, acme: Tenancy, parent: Agent) -> None:
    child = child_of(acme, parent, ["read:payments", "send:email"])
    lease = body(child)
    assert (lease.scope, lease.delegate_scope) == (["read:payments", "send:email"], [])
    assert (lease.depth, lease.epoch, lease.serial) == (1, 1, 0)
    assert lease.parent_lease_id == parent.lease.lease_id
    assert lease.parent_hash == parent.grant.statement.payload_digest()
    assert (lease.agent, lease.instance_key) == ("notifier", child.signer.public_key.raw)
    assert lease.expires_at == format_time(T0 + 60_000)
    delegated, issued = acme.receipts()[-2:]
    assert (delegated.kind, issued.kind) == (Kind.LEASE_DELEGATED, Kind.LEASE_ISSUED)
    assert (delegated.instance_id, delegated.lease_ref) == (parent.instance_id, parent.lease.lease_id)
    assert lease.delegation_hash == delegated.statement_hash
    assert issued.instance_id == child.instance_id
    acme.open(child)
    acme.work(child, "send:email")
    assert_sound(plane, acme)


def test_a_child_may_be_renewed_but_not_beyond_the_delegation(
    plane: Plane, acme: Tenancy, parent: Agent
) -> None:
    child = child_of(acme, parent, ttl_seconds=600)
    plane.clock.advance(300_000)
    acme.renew(parent)
    found = acme.renew(child)
    assert isinstance(found, Grant)
    assert found.lease.expires_ms == T0 + 600_000
    after = body(child)
    assert (after.serial, after.parent_hash) == (1, first_hash(acme, parent))
    plane.clock.advance(300_000)
    assert is_refused(acme.renew(child), Reason.LEASE_EXPIRED)
    acme.sweep()
    assert_sound(plane, acme)


def first_hash(acme: Tenancy, parent: Agent) -> str:
    """The hash of the parent's statement that was the newest when its child was made."""
    issued = [
        header for header in acme.receipts(Kind.LEASE_ISSUED) if header.lease_ref == parent.lease.lease_id
    ]
    return issued[0].statement_hash


def test_a_child_goes_on_when_its_parent_gives_its_lease_back(
    plane: Plane, acme: Tenancy, parent: Agent
) -> None:
    child = child_of(acme, parent)
    acme.close(parent)
    acme.release(parent)
    acme.open(child)
    assert isinstance(acme.renew(child), Grant)
    acme.work(child, "send:email")
    assert_sound(plane, acme)


def test_a_revoked_parent_takes_its_children_along(plane: Plane, acme: Tenancy, parent: Agent) -> None:
    child = child_of(acme, parent)
    acme.revoke(Target.LEASE, parent.lease.lease_id)
    assert is_refused(acme.renew(child), Reason.REVOKED_PARENT)
    acme.sweep()
    assert_sound(plane, acme)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Target.INSTANCE, Reason.REVOKED_INSTANCE),
        (Target.VERSION, Reason.REVOKED_VERSION),
        (Target.AGENT, Reason.REVOKED_AGENT),
        (Target.DOCK, Reason.REVOKED_DOCK),
        (Target.OPERATOR, Reason.REVOKED_OPERATOR),
    ],
)
def test_what_ends_a_parent_ends_what_it_handed_on(
    plane: Plane, acme: Tenancy, parent: Agent, kind: Target, expected: Reason
) -> None:
    last = child_of(acme, child_of(acme, parent))
    lease = parent.lease
    target = {
        Target.INSTANCE: parent.instance_id,
        Target.VERSION: "reconciler@v1",
        Target.AGENT: lease.agent,
        Target.DOCK: lease.dock_id,
        Target.OPERATOR: body(parent).authorized_by,
    }[kind]
    acme.revoke(kind, target)
    assert is_refused(acme.renew(last), expected)
    assert is_refused(acme.delegate(last, NOTIFIER, MAIL), expected)
    acme.sweep()
    assert (
        plane.read(lambda reader: reader.instance(acme.tenant_id, last.instance_id)).state
        is OrganismState.STOPPED
    )
    assert_sound(plane, acme)


@pytest.mark.parametrize("lift", ["scope", "delegate"])
def test_a_chain_has_at_most_four_levels_below_the_first(
    plane: Plane, acme: Tenancy, parent: Agent, lift: str
) -> None:
    scope = ["read:payments"] if lift == "scope" else MAIL
    last = parent
    for depth in range(1, DEPTH_MAX + 1):
        last = child_of(acme, last, scope)
        assert last.lease.depth == depth
    assert is_refused(acme.delegate(last, NOTIFIER, scope), Reason.DELEGATION_TOO_DEEP, "at most 4")
    path = [entry for entry in last.lease.path if entry.startswith("lease:")]
    assert len(path) == DEPTH_MAX + 1
    acme.revoke(Target.LEASE, parent.lease.lease_id)
    assert is_refused(acme.renew(last), Reason.REVOKED_PARENT)
    acme.sweep()
    assert_sound(plane, acme)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "changes", "reason"),
    [
        (["pay:supplier"], {}, Reason.SCOPE_EXCEEDED),
        (["pay:supplier", "send:email"], {}, Reason.SCOPE_EXCEEDED),
        ([], {}, Reason.SCOPE_EXCEEDED),
        (["write:ledger"], {}, Reason.CAPABILITY_NOT_DELEGABLE),
        (MAIL, {"not_after": format_time(T0 + LEASE_MS + 1)}, Reason.TTL_EXCEEDED),
        (MAIL, {"not_after": format_time(T0)}, Reason.LEASE_EXPIRED),
        (MAIL, {"agent": "reconciler"}, Reason.MANIFEST_MISMATCH),
    ],
)
def test_a_wider_delegation_is_denied_on_the_record(
    plane: Plane, acme: Tenancy, parent: Agent, scope: list[str], changes: dict, reason: Reason
) -> None:
    assert is_refused(acme.delegate(parent, NOTIFIER, scope, **changes), reason)
    (denial,) = acme.denials()
    assert (denial.action, denial.reason, denial.instance_id) == ("delegate", reason, parent.instance_id)
    assert not acme.receipts(Kind.LEASE_DELEGATED)
    assert len(acme.receipts(Kind.LEASE_ISSUED)) == 1
    assert_sound(plane, acme)


@pytest.mark.parametrize(("away_ms", "ends_ms"), [(1, 1), (1_500, 1_000), (LEASE_MS, LEASE_MS)])
def test_a_child_ends_within_the_delegation(
    plane: Plane, acme: Tenancy, parent: Agent, away_ms: int, ends_ms: int
) -> None:
    child = child_of(acme, parent, not_after=format_time(T0 + away_ms))
    assert child.lease.expires_ms == T0 + ends_ms
    assert child.lease.not_after_ms == T0 + away_ms
    assert_sound(plane, acme)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda acme, parent: acme.revoke(Target.LEASE, parent.lease.lease_id), Reason.REVOKED_LEASE),
        (lambda acme, parent: acme.release(parent), Reason.LEASE_RELEASED),
        (lambda acme, parent: acme.intervene(parent.instance_id), Reason.ORGANISM_STOPPED),
        (lambda acme, parent: acme.plane.clock.advance(LEASE_MS), Reason.LEASE_EXPIRED),
    ],
)
def test_who_has_no_authority_hands_none_on(plane: Plane, acme: Tenancy, parent: Agent, end, reason) -> None:
    end(acme, parent)
    assert is_refused(acme.delegate(parent, NOTIFIER, MAIL), reason, parent.lease.lease_id)
    acme.sweep()
    assert_sound(plane, acme)


def test_a_child_has_a_manifest_a_version_and_a_dock_of_its_own(acme: Tenancy, parent: Agent) -> None:
    found = acme.delegate(parent, make_manifest("notifier", code=b"print(2)"), MAIL)
    assert is_refused(found, Reason.MANIFEST_UNRECORDED)
    other = make_manifest("mailer", capabilities=["read:payments"])
    assert is_refused(acme.delegate(parent, other, MAIL), Reason.MANIFEST_UNRECORDED)
    acme.register(other)
    assert is_refused(acme.delegate(parent, other, MAIL), Reason.VERSION_INACTIVE)
    acme.activate(other)
    assert is_refused(acme.delegate(parent, other, MAIL), Reason.CAPABILITY_NOT_DECLARED)
    assert is_refused(acme.delegate(parent, other, ["read:payments"]), Reason.DOCK_MISSING)
    mail_only = acme.dock("mailer", ["send:email"])
    assert is_refused(acme.delegate(parent, other, ["read:payments"]), Reason.CAPABILITY_NOT_DOCKED)
    acme.revoke(Target.DOCK, mail_only)
    acme.dock("mailer", ["read:payments"], ttl_seconds_max=59)
    assert is_refused(acme.delegate(parent, other, ["read:payments"]), Reason.TTL_EXCEEDED)
    assert isinstance(acme.delegate(parent, other, ["read:payments"], ttl_seconds=59), Agent)
    assert {denial.action for denial in acme.denials()} == {"delegate"}


def test_what_left_the_catalogue_is_not_handed_on(acme: Tenancy, parent: Agent) -> None:
    mail = msgspec.structs.replace(CAPABILITIES["send:email"], delegable=False)
    acme.publish(2, {**CAPABILITIES, "send:email": mail})
    assert is_refused(acme.delegate(parent, NOTIFIER, MAIL), Reason.CAPABILITY_NOT_DELEGABLE, "send:email")
    rest = {name: entry for name, entry in CAPABILITIES.items() if name != "send:email"}
    acme.publish(3, rest)
    assert is_refused(acme.delegate(parent, NOTIFIER, MAIL), Reason.CAPABILITY_NOT_DELEGABLE, "send:email")


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"parent_lease_id": new_id(LEASE_PREFIX, 1)}, ForbiddenError, "lease_missing"),
        ({"parent_instance_id": uuid7_hex(1)}, ForbiddenError, "lease_missing"),
        ({"tenant_id": new_id("tnt", 1)}, ForbiddenError, "tenant_mismatch"),
        ({"instance_id": "f" * 32}, InvalidInputError, "id_malformed"),
        ({"instance_key": bytes(32)}, InvalidInputError, "key_low_order"),
        ({"not_after": "2027-02-30T00:00:00.000Z"}, InvalidInputError, "time_malformed"),
        ({"created_at": format_time(T0 - 600_001)}, InvalidInputError, "date_implausible"),
        ({"created_at": format_time(T0 + 600_001)}, InvalidInputError, "date_implausible"),
    ],
)
def test_what_is_no_delegation_is_an_error(
    acme: Tenancy, parent: Agent, changes: dict[str, Any], error, code: str
) -> None:
    size = acme.size()
    with fails(error, code):
        acme.delegate(parent, NOTIFIER, MAIL, **changes)
    assert acme.size() == size


def test_a_scope_names_each_capability_once(acme: Tenancy, parent: Agent) -> None:
    with fails(InvalidInputError, "scope_unsorted"):
        acme.delegate(parent, NOTIFIER, MAIL * 2)


def test_a_child_is_a_new_instance(acme: Tenancy, parent: Agent) -> None:
    with fails(ConflictError, "instance_exists"):
        acme.delegate(parent, NOTIFIER, MAIL, instance_id=parent.instance_id)


def test_a_malformed_manifest_is_an_error(acme: Tenancy, parent: Agent) -> None:
    with fails(InvalidInputError, "manifest_empty"):
        acme.delegate(parent, msgspec.structs.replace(NOTIFIER, code=[]), MAIL)


def test_only_the_parents_key_delegates(acme: Tenancy, parent: Agent) -> None:
    parent.signer = LocalSigner.generate(KeyRole.INSTANCE)
    with fails(ForbiddenError, "signature_invalid"):
        acme.delegate(parent, NOTIFIER, MAIL)
    assert not acme.statements(Kind.LEASE_DELEGATED, Delegation)
