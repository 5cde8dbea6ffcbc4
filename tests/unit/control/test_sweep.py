from __future__ import annotations

from dataclasses import replace

import pytest

from dragons.authority.revocation import Target
from dragons.control.authorize import Authorized
from dragons.control.sweep import Swept, checkpoint
from dragons.core.keys import KeyRole
from dragons.core.vocabulary import Kind, OrganismState, Reason
from dragons.evidence.checkpoint import verify_checkpoint
from dragons.evidence.receipt import Abandonment, Denial, Transition
from dragons.liveness.organism import LivenessPolicy
from tests.support.expect import is_refused
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, make_manifest

S = OrganismState
MINUTE_MS = 60_000
LEASE_MS = 15 * MINUTE_MS
DAY_SECONDS = 24 * 3600


@pytest.fixture
def agent(acme: Tenancy) -> Agent:
    """An instance with a lease of 15 minutes and a session."""
    return acme.started(acme.ready(scope=["pay:supplier", "read:payments"], ttl_seconds_max=DAY_SECONDS))


@pytest.fixture
def lasting(acme: Tenancy) -> Agent:
    """An instance with a lease of a day and a session."""
    return acme.started(acme.ready(ttl_seconds_max=DAY_SECONDS), ttl_seconds=DAY_SECONDS)


def state(tenancy: Tenancy, agent: Agent) -> OrganismState:
    return tenancy.instance(agent).state


def changes(tenancy: Tenancy) -> list[tuple[OrganismState, OrganismState]]:
    return [(body.before, body.after) for body in tenancy.statements(Kind.STATE_CHANGED, Transition)]


def test_a_second_sweep_finds_nothing_to_do(plane: Plane, acme: Tenancy, lasting: Agent) -> None:
    assert acme.sweep() == Swept(transitions=0, denials=0, checkpoint=True)
    size = acme.size()
    assert acme.sweep() == Swept(0, 0, checkpoint=False)
    assert (acme.size(), state(acme, lasting)) == (size, S.RUNNING)
    assert acme.session(lasting.session_id).closed_ms is None
    assert_sound(plane, acme)


# --- silence --------------------------------------------------------------------------------------


def test_silence_degrades_and_then_calls_for_healing(plane: Plane, acme: Tenancy, lasting: Agent) -> None:
    plane.clock.advance(30 * MINUTE_MS - 1)
    assert acme.sweep().transitions == 0
    plane.clock.advance(1)
    assert acme.sweep().transitions == 1
    assert state(acme, lasting) is S.DEGRADED
    assert isinstance(acme.authorize(lasting, "read:payments"), Authorized)
    plane.clock.advance(30 * MINUTE_MS - 1)
    assert acme.sweep().transitions == 0
    plane.clock.advance(1)
    assert acme.sweep().transitions == 1
    assert is_refused(acme.authorize(lasting, "read:payments"), Reason.ORGANISM_AUTOHEALING)
    assert changes(acme) == [(S.RUNNING, S.DEGRADED), (S.DEGRADED, S.AUTOHEALING)]
    assert_sound(plane, acme)


def test_no_state_is_left_out_when_sweeps_were(plane: Plane, acme: Tenancy, lasting: Agent) -> None:
    plane.clock.advance(3 * 60 * MINUTE_MS)
    acme.sweep()
    assert state(acme, lasting) is S.DEGRADED
    acme.sweep()
    assert changes(acme) == [(S.RUNNING, S.DEGRADED), (S.DEGRADED, S.AUTOHEALING)]
    assert_sound(plane, acme)


def test_a_heartbeat_counts_as_a_signal(plane: Plane, acme: Tenancy, lasting: Agent) -> None:
    plane.clock.advance(20 * MINUTE_MS)
    acme.beat(lasting, 1)
    plane.clock.advance(30 * MINUTE_MS - 1)
    assert acme.sweep().transitions == 0
    plane.clock.advance(1)
    acme.sweep()
    assert state(acme, lasting) is S.DEGRADED
    acme.beat(lasting, 2)
    acme.sweep()
    assert state(acme, lasting) is S.RUNNING
    assert_sound(plane, acme)


def test_the_policy_is_an_argument(plane: Plane, acme: Tenancy, lasting: Agent) -> None:
    plane.clock.advance(1_000)
    policy = LivenessPolicy(degrade_after_ms=1_000, autoheal_after_ms=2_000)
    assert acme.sweep(policy).transitions == 1
    assert state(acme, lasting) is S.DEGRADED


# --- the lease's end ------------------------------------------------------------------------------


def test_the_leases_end_closes_every_cycle_at_once(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    assert isinstance(acme.authorize(agent, "pay:supplier"), Authorized)
    plane.clock.advance(LEASE_MS - 1)
    assert acme.sweep().transitions == 0
    assert acme.session(agent.session_id).closed_ms is None
    plane.clock.advance(1)
    assert acme.sweep().transitions == 1
    assert state(acme, agent) is S.DEGRADED
    assert acme.session(agent.session_id).outcome == "abandoned"
    assert [header.kind for header in acme.receipts()][-3:] == [
        Kind.STATE_CHANGED, Kind.WORK, Kind.SESSION_CLOSED,
    ]  # fmt: skip
    why = acme.statements(Kind.SESSION_CLOSED, Abandonment)[0].why
    assert why == "the lease ended before the session did"
    assert acme.sweep().transitions == 0
    assert_sound(plane, acme)


@pytest.mark.parametrize(("grace_ms", "after"), [(-1, S.DEGRADED), (0, S.STOPPED)])
def test_an_expired_instance_stops_after_the_grace(
    plane: Plane, acme: Tenancy, agent: Agent, grace_ms: int, after: OrganismState
) -> None:
    plane.clock.advance(LEASE_MS + 5 * MINUTE_MS + grace_ms)
    acme.sweep()
    assert state(acme, agent) is after
    assert acme.session(agent.session_id).outcome == "abandoned"
    plane.clock.advance(1)
    acme.sweep()
    assert state(acme, agent) is S.STOPPED
    assert len(acme.receipts(Kind.SESSION_CLOSED)) == 1
    assert_sound(plane, acme)


@pytest.mark.parametrize("held", [S.AUTOHEALING, S.QUARANTINED])
def test_a_held_instance_stays_but_its_sessions_end(
    plane: Plane, acme: Tenancy, agent: Agent, held: OrganismState
) -> None:
    row = replace(acme.instance(agent), state=held)
    plane.write(lambda tx: tx.put_instance(row))
    plane.clock.advance(LEASE_MS - 1)
    acme.sweep()
    assert acme.session(agent.session_id).closed_ms is None
    plane.clock.advance(1)
    assert acme.sweep().transitions == 0
    assert (state(acme, agent), acme.session(agent.session_id).outcome) == (held, "abandoned")
    plane.clock.advance(60 * MINUTE_MS)
    acme.sweep()
    assert state(acme, agent) is held
    assert len(acme.receipts(Kind.SESSION_CLOSED)) == 1


# --- revocation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [S.RUNNING, S.DEGRADED, S.AUTOHEALING, S.QUARANTINED])
def test_a_revoked_instance_stops_whatever_it_was(acme: Tenancy, agent: Agent, before: S) -> None:
    row = replace(acme.instance(agent), state=before)
    acme.plane.write(lambda tx: tx.put_instance(row))
    acme.revoke(Target.VERSION, "reconciler@v1")
    assert acme.sweep().transitions == 1
    assert (state(acme, agent), acme.instance(agent).state_reason) == (
        S.STOPPED, "revoked: version:reconciler@v1",
    )  # fmt: skip
    assert acme.session(agent.session_id).outcome == "abandoned"
    assert acme.sweep().transitions == 0


def test_a_revocation_stops_what_is_beneath_it_and_nothing_else(
    plane: Plane, acme: Tenancy, globex: Tenancy
) -> None:
    acme.ready("notifier", ["send:email"])
    parent = acme.started(acme.ready(delegate=["send:email"]), delegate_scope=("send:email",))
    child = acme.delegate(parent, make_manifest("notifier"), ["send:email"])
    other, theirs = acme.started(make_manifest()), globex.started(globex.ready())
    assert isinstance(child, Agent)
    acme.revoke(Target.LEASE, parent.lease.lease_id)
    globex.sweep()
    assert state(acme, parent) is S.RUNNING
    assert acme.sweep().transitions == 2
    assert [state(acme, one) for one in (parent, child, other)] == [S.STOPPED, S.STOPPED, S.RUNNING]
    assert state(globex, theirs) is S.RUNNING
    assert_sound(plane, acme)
    assert_sound(plane, globex)


# --- denials and checkpoints ----------------------------------------------------------------------


def test_counted_denials_become_a_receipt_after_a_minute(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    for _ in range(4):
        is_refused(acme.authorize(agent, "write:ledger"), Reason.CAPABILITY_NOT_LEASED)
    plane.clock.advance(MINUTE_MS - 1)
    assert acme.sweep().denials == 0
    plane.clock.advance(1)
    assert acme.sweep().denials == 1
    assert [body.count for body in acme.statements(Kind.DENIED, Denial)] == [1, 3]
    assert acme.sweep().denials == 0
    assert_sound(plane, acme)


def test_a_checkpoint_is_over_what_the_sweep_wrote(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    plane.clock.advance(LEASE_MS)
    assert acme.sweep().checkpoint
    note = plane.read(lambda reader: reader.checkpoint(acme.tenant_id))
    assert note is not None
    found = verify_checkpoint(note, acme.tenant_id, [acme.ledger.public_key])
    assert found is not None
    assert found.size == acme.size()
    assert_sound(plane, acme)


def test_a_checkpoint_is_signed_when_the_log_has_grown(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    def sign_one(tenancy: Tenancy) -> bool:
        return plane.write(lambda tx: checkpoint(tx, tenancy.ledger, tenancy.tenant_id))

    assert [sign_one(acme), sign_one(acme)] == [True, False]
    first = acme.size()
    acme.publish()
    assert [sign_one(acme), sign_one(acme)] == [True, False]
    sizes = plane.read(lambda reader: reader.checkpoint_sizes(acme.tenant_id))
    assert list(sizes) == [first, first + 1]
    assert sign_one(globex)


def test_an_empty_log_has_no_checkpoint(plane: Plane, acme: Tenancy) -> None:
    nobody = "tnt_" + "0" * 32
    plane.keyring.keys[nobody, KeyRole.LEDGER] = acme.ledger
    assert not plane.write(lambda tx: checkpoint(tx, acme.ledger, nobody))
    assert plane.read(lambda reader: reader.checkpoint(nobody)) is None
