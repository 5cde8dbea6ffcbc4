from __future__ import annotations

import pytest

from dragons.authority.lease import LEASE, Lease
from dragons.authority.revocation import Target
from dragons.control.denials import Refused
from dragons.control.issue import Draft, Fitting, Grant, Place, Wish, draft, fit, issue, lease_row
from dragons.control.rows import LeaseRow
from dragons.core.clock import format_time
from dragons.core.ids import DISPATCH, new_id, uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import is_signed_by, parse_envelope
from dragons.core.vocabulary import Kind, OrganismState, Reason
from dragons.identity.manifest import Manifest
from dragons.identity.tokens import thumbprint, verify_token
from tests.support.expect import is_refused
from tests.support.plane import Agent, Plane, Tenancy, make_manifest

T0 = 1_800_000_000_000


def wish_of(tenancy: Tenancy, manifest: Manifest | None = None, **changes: object) -> Wish:
    fields: dict[str, object] = {
        "tenant_id": tenancy.tenant_id,
        "instance_id": uuid7_hex(tenancy.now_ms),
        "instance_key": LocalSigner.generate(KeyRole.INSTANCE).public_key,
        "manifest": manifest or make_manifest(),
        "scope": (),
        "delegate_scope": (),
        "ttl_seconds": 900,
    }
    return Wish(**{**fields, **changes})  # type: ignore[arg-type]


def place_of(**changes: object) -> Place:
    return Place(new_id(DISPATCH, T0), 1)._replace(**changes)


def fitted(tenancy: Tenancy, wish: Wish) -> Fitting | Refused:
    return tenancy.plane.read(lambda reader: fit(reader, wish, tenancy.now_ms))


def drafted(tenancy: Tenancy, wish: Wish, place: Place | None = None) -> Draft | Refused:
    fitting = fitted(tenancy, wish)
    assert isinstance(fitting, Fitting), fitting
    at = place or place_of()
    return tenancy.plane.read(lambda reader: draft(reader, wish, fitting, at, tenancy.now_ms))


def granted(tenancy: Tenancy, wish: Wish) -> Grant:
    made = drafted(tenancy, wish)
    assert isinstance(made, Draft), made
    return tenancy.plane.write(lambda tx: issue(tx, tenancy.issuer, made))


# --- which dock fits ------------------------------------------------------------------------------


def test_the_newest_dock_that_fits_is_taken(plane: Plane, acme: Tenancy) -> None:
    acme.ready()
    docks = []
    for scope in (["read:payments"], ["send:email"]):
        plane.clock.advance(1)
        docks.append(acme.dock("reconciler", scope))
    for scope, dock_id in ((("read:payments",), docks[0]), (("send:email",), docks[1]), ((), docks[1])):
        found = fitted(acme, wish_of(acme, scope=scope))
        assert isinstance(found, Fitting)
        assert (found.dock.dock_id, found.version.version) == (dock_id, 1)
        assert found.dock_envelope.payload_digest() in {
            header.statement_hash for header in acme.receipts(Kind.AGENT_DOCKED)
        }


def test_the_scope_is_sorted_and_within_dock_and_manifest(acme: Tenancy) -> None:
    manifest = make_manifest(capabilities=["read:payments", "send:email"])
    acme.publish()
    acme.register(manifest)
    acme.activate(manifest)
    acme.dock("reconciler", ["read:payments", "send:email", "write:ledger"])
    for scope, expected in (
        ((), ("read:payments", "send:email")),
        (("send:email", "read:payments"), ("read:payments", "send:email")),
        (("send:email",), ("send:email",)),
    ):
        found = fitted(acme, wish_of(acme, manifest, scope=scope))
        assert isinstance(found, Fitting)
        assert found.scope == expected
    assert is_refused(
        fitted(acme, wish_of(acme, manifest, scope=("write:ledger",))),
        Reason.CAPABILITY_NOT_DECLARED,
        "write:ledger",
    )


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"scope": ("pay:supplier",)}, Reason.CAPABILITY_NOT_DOCKED, "pay:supplier"),
        ({"delegate_scope": ("write:ledger",)}, Reason.CAPABILITY_NOT_DOCKED, "write:ledger"),
        ({"ttl_seconds": 601}, Reason.TTL_EXCEEDED, "600 s"),
        ({"manifest": make_manifest("stranger")}, Reason.MANIFEST_UNRECORDED, "no manifest of stranger"),
        ({"manifest": make_manifest(code=b"2")}, Reason.MANIFEST_UNRECORDED, "differs from reconciler@v1"),
    ],
)
def test_what_does_not_fit_says_what(acme: Tenancy, changes: dict, reason: Reason, detail: str) -> None:
    acme.ready(ttl_seconds_max=600, delegate=["send:email"])
    fields = {"ttl_seconds": 600, **changes}
    assert is_refused(fitted(acme, wish_of(acme, **fields)), reason, detail)
    assert isinstance(fitted(acme, wish_of(acme, ttl_seconds=600, delegate_scope=("send:email",))), Fitting)


def test_a_dock_has_room_for_so_many(acme: Tenancy) -> None:
    manifest = acme.ready(instances_max=2)
    first, second = acme.started(manifest), acme.started(manifest)
    assert is_refused(fitted(acme, wish_of(acme)), Reason.DOCK_INSTANCES_EXHAUSTED, "2 of 2")
    # The one that is replaced makes room.
    replaces = first.grant.instance.dispatch_id
    assert isinstance(fitted(acme, wish_of(acme, replaces=replaces)), Fitting)
    acme.release(second)
    assert isinstance(fitted(acme, wish_of(acme)), Fitting)


def test_a_full_dock_gives_way_to_an_older_one(plane: Plane, acme: Tenancy) -> None:
    acme.ready()
    plane.clock.advance(1)
    small = acme.dock("reconciler", ["read:payments"], instances_max=1)
    first, second = acme.started(make_manifest()), acme.started(make_manifest())
    assert first.lease.dock_id == small != second.lease.dock_id


def test_a_dock_that_ends_too_early_gives_way_to_an_older_one(plane: Plane, acme: Tenancy) -> None:
    acme.ready()
    plane.clock.advance(1)
    end_ms = acme.now_ms + 600_000
    short = acme.dock("reconciler", ["read:payments"], not_after=format_time(end_ms))
    for ttl_seconds, is_short in ((600, True), (601, False)):
        found = fitted(acme, wish_of(acme, ttl_seconds=ttl_seconds))
        assert isinstance(found, Fitting)
        assert (found.dock.dock_id == short) is is_short


def test_the_only_dock_says_that_it_ends_too_early(acme: Tenancy) -> None:
    end = format_time(acme.now_ms + 600_000)
    acme.ready(not_after=end)
    assert is_refused(fitted(acme, wish_of(acme, ttl_seconds=601)), Reason.DOCK_EXPIRED, end)


def test_a_dock_ends_to_the_millisecond(plane: Plane, acme: Tenancy) -> None:
    acme.ready(not_after=format_time(T0 + 1_000))
    assert isinstance(fitted(acme, wish_of(acme, ttl_seconds=1)), Fitting)
    plane.clock.advance(1)
    assert is_refused(fitted(acme, wish_of(acme, ttl_seconds=1)), Reason.DOCK_EXPIRED)
    plane.clock.advance(999)
    assert is_refused(fitted(acme, wish_of(acme, ttl_seconds=1)), Reason.DOCK_EXPIRED, "dck_")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Target.DOCK, Reason.REVOKED_DOCK),
        (Target.OPERATOR, Reason.REVOKED_OPERATOR),
        (Target.AGENT, Reason.REVOKED_AGENT),
    ],
)
def test_a_revoked_dock_says_what_ended_it(acme: Tenancy, kind: Target, reason: Reason) -> None:
    acme.publish()
    acme.register(make_manifest())
    acme.activate(make_manifest())
    second = acme.hire("operator")
    dock_id = acme.dock("reconciler", ["read:payments"], signer=second)
    target = {Target.DOCK: dock_id, Target.OPERATOR: second.key_id, Target.AGENT: "reconciler"}[kind]
    acme.revoke(kind, target)
    assert is_refused(fitted(acme, wish_of(acme)), reason, dock_id)


# --- the draft ------------------------------------------------------------------------------------


def test_a_draft_writes_nothing(acme: Tenancy) -> None:
    acme.ready()
    size = acme.size()
    wish = wish_of(acme)
    made = drafted(acme, wish)
    assert isinstance(made, Draft)
    assert acme.size() == size
    assert acme.plane.read(lambda reader: reader.instance(acme.tenant_id, wish.instance_id)) is None
    lease = made.lease
    assert (lease.issued_at, lease.not_before) == (acme.now, format_time(T0 - 10_000))
    assert (lease.expires_at, lease.depth, lease.serial) == (format_time(T0 + 900_000), 0, 0)
    assert made.path == (
        f"operator:{acme.operator.key_id}",
        f"dock:{lease.dock_id}",
        "agent:reconciler",
        "version:reconciler@v1",
        f"instance:{wish.instance_id}",
        f"lease:{lease.lease_id}",
    )


def parent_of(tenancy: Tenancy, ttl_seconds: int = 600) -> tuple[Agent, LeaseRow]:
    agent = tenancy.launch(make_manifest(), ttl_seconds=ttl_seconds)
    assert isinstance(agent, Agent)
    return agent, agent.lease


@pytest.mark.parametrize(
    ("ttl_seconds", "not_after_ms", "ends_ms"),
    [(300, None, 300_000), (300, 299_999, 299_999), (700, None, 600_000), (700, 650_000, 600_000)],
)
def test_a_child_ends_with_the_earliest_limit(
    acme: Tenancy, ttl_seconds: int, not_after_ms: int | None, ends_ms: int
) -> None:
    acme.ready()
    _, parent = parent_of(acme)
    limit = None if not_after_ms is None else T0 + not_after_ms
    place = place_of(parent=parent, delegation_hash="0" * 64, not_after_ms=limit)
    made = drafted(acme, wish_of(acme, ttl_seconds=ttl_seconds), place)
    assert isinstance(made, Draft)
    assert made.lease.expires_at == format_time(T0 + ends_ms)
    assert (made.lease.depth, made.lease.parent_lease_id) == (1, parent.lease_id)
    assert made.lease.parent_hash == parse_envelope(parent.statement).payload_digest()
    assert made.path[-1] == f"lease:{parent.lease_id}"


def test_under_an_ended_parent_there_is_nothing_left(plane: Plane, acme: Tenancy) -> None:
    acme.ready()
    _, parent = parent_of(acme)
    plane.clock.advance(600_000)
    found = drafted(acme, wish_of(acme), place_of(parent=parent, delegation_hash="0" * 64))
    assert is_refused(found, Reason.TTL_EXCEEDED)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Target.VERSION, Reason.REVOKED_VERSION), (Target.LEASE, Reason.REVOKED_PARENT)],
)
def test_a_revoked_path_is_no_draft(acme: Tenancy, kind: Target, reason: Reason) -> None:
    acme.ready()
    _, parent = parent_of(acme)
    target = {Target.VERSION: "reconciler@v1", Target.LEASE: parent.lease_id}[kind]
    acme.revoke(kind, target)
    found = drafted(acme, wish_of(acme), place_of(parent=parent, delegation_hash="0" * 64))
    assert is_refused(found, reason, f"{kind}:{target}")


# --- issuing --------------------------------------------------------------------------------------


def test_a_grant_is_what_its_holder_needs(plane: Plane, acme: Tenancy) -> None:
    acme.ready()
    wish = wish_of(acme)
    grant = granted(acme, wish)
    lease = grant.statement.body(LEASE, Lease)
    assert is_signed_by(grant.statement, acme.issuer.key_id, acme.issuer.public_key)
    assert lease.dock_hash == grant.dock.payload_digest()
    assert grant.instance == plane.read(lambda reader: reader.instance(acme.tenant_id, wish.instance_id))
    assert (grant.instance.state, grant.instance.started_ms) == (OrganismState.RUNNING, T0)
    assert grant.lease == plane.read(lambda reader: reader.lease(acme.tenant_id, lease.lease_id))
    header = acme.receipts()[-1]
    assert (header.kind, header.statement_hash) == (Kind.LEASE_ISSUED, grant.statement.payload_digest())
    assert (header.instance_id, header.lease_ref, header.epoch) == (wish.instance_id, lease.lease_id, 1)


def test_the_token_is_bound_to_the_instances_key(acme: Tenancy) -> None:
    acme.ready()
    wish = wish_of(acme)
    grant = granted(acme, wish)
    claims, key_id = verify_token(grant.token, {acme.issuer.key_id: acme.issuer.public_key})
    assert key_id == acme.issuer.key_id
    assert (claims.tenant_id, claims.sub, claims.agent) == (acme.tenant_id, wish.instance_id, "reconciler@v1")
    assert (claims.lease_id, claims.epoch) == (grant.lease.lease_id, 1)
    assert (claims.iat, claims.exp) == (T0 // 1000, T0 // 1000 + 900)
    assert claims.cnf.jkt == thumbprint(wish.instance_key)


def test_a_row_follows_from_the_statement(acme: Tenancy) -> None:
    acme.ready()
    row = granted(acme, wish_of(acme)).lease
    lease = parse_envelope(row.statement).body(LEASE, Lease)
    assert lease_row(lease, row.statement, ()) == row
    assert lease_row(lease, b"", ("lease:lse_a", "lease:lse_b")).path[-2:] == ("lease:lse_a", "lease:lse_b")
    assert lease_row(lease, b"", ("lse_a",), path=("agent:x",)).path == ("agent:x",)
