from __future__ import annotations

import msgspec
import pytest

from dragons.authority.revocation import Target
from dragons.control.append import ClaimReceipt
from dragons.control.denials import Refused
from dragons.core.clock import format_time, parse_time
from dragons.core.errors import ConflictError, InvalidInputError, NotFoundError
from dragons.core.ids import DISPATCH, new_id, uuid7_hex
from dragons.core.vocabulary import Kind, OrganismState, Reason
from tests.support.expect import fails, is_refused
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, make_manifest

HOUR_MS = 3_600_000


def test_a_measured_agent_becomes_an_instance_with_a_lease(plane: Plane, acme: Tenancy) -> None:
    agent = acme.launch(acme.ready())
    assert isinstance(agent, Agent)
    row = acme.instance(agent)
    assert (row.agent, row.version, row.epoch, row.state) == ("reconciler", 1, 1, OrganismState.RUNNING)
    assert row.public_key == agent.signer.public_key.raw
    assert agent.lease.scope == ("read:payments", "write:ledger")
    assert agent.lease.expires_ms == plane.clock.now_ms() + 900_000
    issued = acme.receipts(Kind.LEASE_ISSUED)[0]
    assert (issued.lease_ref, issued.instance_id) == (agent.lease.lease_id, agent.instance_id)
    assert_sound(plane, acme)


def test_the_scope_is_what_was_asked_for(acme: Tenancy) -> None:
    manifest = acme.ready(delegate=["send:email"])
    agent = acme.launch(manifest, scope=("write:ledger",), delegate_scope=("send:email",), ttl_seconds=60)
    assert isinstance(agent, Agent)
    assert (agent.lease.scope, agent.lease.delegate_scope) == (("write:ledger",), ("send:email",))
    assert agent.lease.expires_ms == acme.now_ms + 60_000


def test_without_a_wish_it_is_what_manifest_and_dock_have_in_common(acme: Tenancy) -> None:
    acme.publish()
    manifest = make_manifest(capabilities=["read:payments", "send:email"])
    acme.register(manifest)
    acme.activate(manifest)
    acme.dock("reconciler", ["read:payments", "write:ledger"])
    agent = acme.launch(manifest)
    assert isinstance(agent, Agent)
    assert agent.lease.scope == ("read:payments",)


# --- the manifest ---------------------------------------------------------------------------------


def test_an_unrecorded_manifest_names_what_differs(plane: Plane, acme: Tenancy) -> None:
    acme.ready()
    found = acme.launch(make_manifest(code=b"print(2)"))
    assert is_refused(found, Reason.MANIFEST_UNRECORDED, "it differs from reconciler@v1: changed agent.py")
    found = acme.launch(make_manifest(entrypoint=["sh"]))
    assert is_refused(found, Reason.MANIFEST_UNRECORDED, "the entrypoint")
    assert is_refused(acme.launch(make_manifest("stranger")), Reason.MANIFEST_UNRECORDED, "no manifest")
    assert not acme.receipts(Kind.LEASE_ISSUED)
    assert [one.agent for one in acme.receipts(Kind.DENIED)] == ["reconciler", "stranger"]
    assert_sound(plane, acme)


def test_only_the_active_version_runs(plane: Plane, acme: Tenancy) -> None:
    manifest = make_manifest()
    acme.publish()
    acme.register(manifest)
    assert is_refused(acme.launch(manifest), Reason.VERSION_INACTIVE, "no version is")
    acme.activate(manifest)
    acme.dock("reconciler", ["read:payments"])
    second = make_manifest(code=b"print(2)")
    acme.register(second, 2)
    assert is_refused(acme.launch(second), Reason.VERSION_INACTIVE, "reconciler@v1 is")
    acme.activate(second, 2, 1)
    assert isinstance(acme.launch(second), Agent)
    assert is_refused(acme.launch(manifest), Reason.VERSION_INACTIVE)
    # A rollback is one more activation.
    acme.activate(manifest, 1, 2)
    assert isinstance(acme.launch(manifest), Agent)
    assert_sound(plane, acme)


def test_what_the_manifest_does_not_declare_is_not_leased(acme: Tenancy) -> None:
    acme.publish()
    manifest = make_manifest(capabilities=["read:payments"])
    acme.register(manifest)
    acme.activate(manifest)
    acme.dock("reconciler", ["read:payments", "write:ledger"], delegate=["send:email"])
    for wish in ({"scope": ("write:ledger",)}, {"delegate_scope": ("send:email",)}):
        assert is_refused(acme.launch(manifest, **wish), Reason.CAPABILITY_NOT_DECLARED)


# --- the dock's ceiling ---------------------------------------------------------------------------


def test_without_a_dock_nothing_runs(acme: Tenancy) -> None:
    acme.publish()
    acme.register(make_manifest())
    acme.activate(make_manifest())
    assert is_refused(acme.launch(make_manifest()), Reason.DOCK_MISSING)


def test_the_dock_is_a_ceiling(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready(ttl_seconds_max=600, instances_max=2)
    assert is_refused(acme.launch(manifest), Reason.TTL_EXCEEDED, "600 s")
    wish = {"ttl_seconds": 600}
    found = acme.launch(manifest, scope=("pay:supplier",), **wish)
    assert is_refused(found, Reason.CAPABILITY_NOT_DOCKED, "pay:supplier")
    found = acme.launch(manifest, delegate_scope=("send:email",), **wish)
    assert is_refused(found, Reason.CAPABILITY_NOT_DOCKED, "send:email")
    agents = [acme.started(manifest, **wish) for _ in range(2)]
    assert is_refused(acme.launch(manifest, **wish), Reason.DOCK_INSTANCES_EXHAUSTED, "2 of 2")
    acme.release(agents[0])
    assert isinstance(acme.launch(manifest, **wish), Agent)
    assert_sound(plane, acme)


def test_a_lease_does_not_outlive_its_dock(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready(not_after=format_time(acme.now_ms + 600_000))
    assert is_refused(acme.launch(manifest), Reason.DOCK_EXPIRED)
    agent = acme.launch(manifest, ttl_seconds=600)
    assert isinstance(agent, Agent)
    plane.clock.advance(600_000)
    assert is_refused(acme.launch(manifest, ttl_seconds=1), Reason.DOCK_EXPIRED)
    acme.sweep()
    assert_sound(plane, acme)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Target.DOCK, Reason.REVOKED_DOCK),
        (Target.AGENT, Reason.REVOKED_AGENT),
        (Target.VERSION, Reason.REVOKED_VERSION),
        (Target.OPERATOR, Reason.REVOKED_OPERATOR),
    ],
)
def test_what_was_revoked_runs_no_more(plane: Plane, acme: Tenancy, kind: Target, reason: Reason) -> None:
    manifest = acme.ready()
    agent = acme.started(manifest)
    targets = {
        Target.DOCK: agent.lease.dock_id,
        Target.AGENT: "reconciler",
        Target.VERSION: "reconciler@v1",
        Target.OPERATOR: acme.operator.key_id,
    }
    acme.revoke(kind, targets[kind])
    assert is_refused(acme.launch(manifest), reason)
    assert acme.denials()[0].action == "launch"
    acme.sweep()
    assert_sound(plane, acme)


def test_a_second_dock_can_allow_what_the_first_does_not(acme: Tenancy) -> None:
    manifest = acme.ready()
    old = acme.dock("reconciler", ["send:email"])
    agent = acme.launch(manifest, scope=("send:email",))
    assert isinstance(agent, Agent)
    assert agent.lease.dock_id == old
    acme.revoke(Target.DOCK, old)
    assert is_refused(acme.launch(manifest, scope=("send:email",)), Reason.CAPABILITY_NOT_DOCKED)
    assert isinstance(acme.launch(manifest), Agent)


# --- input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"instance_id": "x" * 32}, "id_malformed"),
        ({"instance_key": bytes(32)}, "key_low_order"),
        ({"instance_key": b"short"}, "key_malformed"),
        ({"ttl_seconds": 0}, "ttl_invalid"),
        ({"ttl_seconds": 7 * 24 * 3600 + 1}, "ttl_invalid"),
        ({"scope": ("READ:payments",)}, "capability_malformed"),
        ({"dispatch_id": "dsp_x"}, "id_malformed"),
    ],
)
def test_malformed_wishes_are_errors(acme: Tenancy, wish: dict[str, object], code: str) -> None:
    manifest = acme.ready()
    with fails(InvalidInputError, code):
        acme.launch(manifest, **wish)


def test_a_malformed_manifest_is_an_error(acme: Tenancy) -> None:
    acme.ready()
    with fails(InvalidInputError, "manifest_empty"):
        acme.launch(msgspec.structs.replace(make_manifest(), code=[]))


def test_an_instance_is_launched_once(acme: Tenancy) -> None:
    manifest = acme.ready()
    agent = acme.started(manifest)
    with fails(ConflictError, "instance_exists"):
        acme.launch(manifest, instance_id=agent.instance_id)


def test_tenants_do_not_share_agents(acme: Tenancy, globex: Tenancy) -> None:
    manifest = acme.ready()
    globex.publish()
    assert is_refused(globex.launch(manifest), Reason.MANIFEST_UNRECORDED)
    instance_id = uuid7_hex(acme.now_ms)
    acme.launch(manifest, instance_id=instance_id)
    globex.register(manifest)
    globex.activate(manifest)
    globex.dock("reconciler", ["read:payments"])
    found = globex.launch(manifest, instance_id=instance_id)
    assert isinstance(found, Agent)


# --- the same dispatch again ----------------------------------------------------------------------


def dispatch_of(agent: Agent) -> str:
    return agent.grant.instance.dispatch_id


def test_a_relaunch_fences_the_old_instance_off(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready()
    old = acme.started(manifest)
    before = acme.claim(old)
    plane.clock.advance(1_000)
    new = acme.started(manifest, dispatch_id=dispatch_of(old))
    assert (new.lease.epoch, dispatch_of(new)) == (2, dispatch_of(old))
    assert acme.instance(old).state is OrganismState.STOPPED
    assert acme.session(old.session_id).outcome == "abandoned"
    assert is_refused(acme.renew(old), Reason.ORGANISM_STOPPED)
    assert is_refused(acme.authorize(old, "read:payments"), Reason.SESSION_CLOSED)
    assert acme.beat(old, 1).refused == {0: "organism_stopped"}
    after = acme.work(old)
    assert is_refused(after, Reason.ORGANISM_STOPPED)
    assert acme.denials()[-1].instance_id == old.instance_id
    late = acme.append(old, before)
    assert isinstance(late, ClaimReceipt)
    assert late.late
    assert isinstance(acme.work(new), ClaimReceipt)
    assert_sound(plane, acme)


def test_a_relaunch_takes_the_place_of_the_old_instance_in_the_dock(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready(instances_max=1)
    old = acme.started(manifest)
    assert is_refused(acme.launch(manifest), Reason.DOCK_INSTANCES_EXHAUSTED)
    assert isinstance(acme.launch(manifest, dispatch_id=dispatch_of(old)), Agent)
    assert_sound(plane, acme)


@pytest.mark.parametrize("case", ["scope", "ttl", "dock ends", "version revoked"])
def test_a_refused_relaunch_leaves_the_old_instance_at_work(plane: Plane, acme: Tenancy, case: str) -> None:
    manifest = acme.ready(not_after=format_time(acme.now_ms + HOUR_MS))
    old = acme.started(manifest)
    wish: dict[str, object] = {"dispatch_id": dispatch_of(old)}
    if case == "scope":
        wish["scope"] = ("pay:supplier",)
    elif case == "ttl":
        wish["ttl_seconds"] = 3_601
    elif case == "dock ends":
        wish["ttl_seconds"] = 3_600
        plane.clock.advance(1_000)
    else:
        acme.revoke(Target.VERSION, "reconciler@v1")
    assert isinstance(acme.launch(manifest, **wish), Refused)
    assert acme.instance(old).state is OrganismState.RUNNING
    epoch = plane.read(lambda reader: reader.epoch(acme.tenant_id, dispatch_of(old)))
    assert epoch == 1
    if case != "version revoked":
        assert isinstance(acme.work(old), ClaimReceipt)
    assert_sound(plane, acme)


def test_a_dispatch_is_of_one_agent_in_one_tenant(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    old = acme.started(acme.ready())
    other, theirs = acme.ready("notifier"), globex.ready()
    for attempt in (
        lambda: acme.launch(other, dispatch_id=dispatch_of(old)),
        lambda: globex.launch(theirs, dispatch_id=dispatch_of(old)),
        lambda: acme.launch(other, dispatch_id=new_id(DISPATCH, 1)),
    ):
        with fails(NotFoundError, "dispatch_missing"):
            attempt()
    assert isinstance(acme.work(old), ClaimReceipt)
    assert_sound(plane, acme)


def test_a_stopped_instance_is_replaced_as_well(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready()
    old = acme.started(manifest)
    plane.clock.advance(2 * HOUR_MS)
    acme.sweep()
    new = acme.started(manifest, dispatch_id=dispatch_of(old))
    assert new.lease.epoch == 2
    third = acme.started(manifest, dispatch_id=dispatch_of(old))
    assert third.lease.epoch == 3
    assert acme.instance(new).state is OrganismState.STOPPED
    assert_sound(plane, acme)


def test_a_lease_is_backdated_a_little(acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    assert agent.lease.not_before_ms == parse_time(acme.now) - 10_000
