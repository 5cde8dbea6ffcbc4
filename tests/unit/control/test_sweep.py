from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragons.authority.revocation import Target
from dragons.control.authorize import Authorized
from dragons.control.rows import TimerRow
from dragons.control.sweep import TIMERS_MAX, Swept, checkpoint
from dragons.core.keys import KeyRole
from dragons.core.vocabulary import Kind, OrganismState, Reason
from dragons.evidence.checkpoint import verify_checkpoint
from dragons.evidence.receipt import Abandonment, Denial, Transition
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


def timers(tenancy: Tenancy) -> list[TimerRow]:
    return list(tenancy.plane.read(lambda reader: reader.timers_due(tenancy.tenant_id, 2**62, 1000)))


def test_a_second_sweep_finds_nothing_to_do(plane: Plane, acme: Tenancy, lasting: Agent) -> None:
    assert acme.sweep() == Swept(timers=0, denials=0, checkpoint=True, more=False)
    size = acme.size()
    assert acme.sweep() == Swept(0, 0, checkpoint=False, more=False)
    assert (acme.size(), state(acme, lasting)) == (size, S.RUNNING)
    assert acme.session(lasting.session_id).closed_ms is None
    assert_sound(plane, acme)


# --- silence --------------------------------------------------------------------------------------


def test_silence_degrades_and_then_calls_for_healing(plane: Plane, acme: Tenancy, lasting: Agent) -> None:
    plane.clock.advance(30 * MINUTE_MS - 1)
    assert acme.sweep().timers == 0
    plane.clock.advance(1)
    assert acme.sweep().timers == 1
    assert state(acme, lasting) is S.DEGRADED
    assert isinstance(acme.authorize(lasting, "read:payments"), Authorized)
    plane.clock.advance(30 * MINUTE_MS - 1)
    assert acme.sweep().timers == 0
    plane.clock.advance(1)
    assert acme.sweep().timers == 1
    # Nothing can start it again: a person has to look.
    assert is_refused(acme.renew(lasting), Reason.REVOKED_LEASE)
    assert changes(acme) == [
        (S.RUNNING, S.DEGRADED), (S.DEGRADED, S.AUTOHEALING), (S.AUTOHEALING, S.QUARANTINED),
    ]  # fmt: skip
    assert timers(acme) == []
    assert_sound(plane, acme)


def test_no_state_is_left_out_when_sweeps_were(plane: Plane, acme: Tenancy, lasting: Agent) -> None:
    plane.clock.advance(3 * 60 * MINUTE_MS)
    acme.sweep()
    assert state(acme, lasting) is S.DEGRADED
    acme.sweep()
    assert changes(acme)[:2] == [(S.RUNNING, S.DEGRADED), (S.DEGRADED, S.AUTOHEALING)]
    assert_sound(plane, acme)


def test_a_heartbeat_counts_as_a_pulse_and_work_as_progress(
    plane: Plane, acme: Tenancy, lasting: Agent
) -> None:
    plane.clock.advance(20 * MINUTE_MS)
    acme.beat(lasting, 1)
    acme.work(lasting)
    plane.clock.advance(30 * MINUTE_MS - 1)
    acme.sweep()
    assert state(acme, lasting) is S.RUNNING
    plane.clock.advance(1)
    acme.sweep()
    assert state(acme, lasting) is S.DEGRADED
    acme.work(lasting, likeness="1" * 64)
    acme.beat(lasting, 2)
    assert state(acme, lasting) is S.RUNNING
    assert_sound(plane, acme)


def test_the_policy_counts_from_its_publication_on(plane: Plane, acme: Tenancy, lasting: Agent) -> None:
    plane.clock.advance(MINUTE_MS)
    acme.publish_policy(degrade_after_seconds=60, autoheal_after_seconds=120)
    assert acme.sweep().timers == 1
    assert state(acme, lasting) is S.DEGRADED


def test_time_in_which_nobody_swept_is_nobodys_silence(plane: Plane, acme: Tenancy, lasting: Agent) -> None:
    acme.sweep(outage_after_ms=30_000)
    plane.clock.advance(29 * MINUTE_MS)
    acme.sweep(outage_after_ms=30_000)
    plane.clock.advance(30 * MINUTE_MS - 1)
    acme.sweep(outage_after_ms=30 * MINUTE_MS)
    assert state(acme, lasting) is S.RUNNING
    outages = plane.read(lambda reader: reader.outages(acme.tenant_id, 0))
    assert [(row.until_ms - row.from_ms) for row in outages] == [29 * MINUTE_MS]
    plane.clock.advance(1)
    acme.sweep(outage_after_ms=30_000)
    assert state(acme, lasting) is S.DEGRADED


# --- the lease's end ------------------------------------------------------------------------------


def test_an_expired_lease_degrades_and_its_cycles_stay_open(
    plane: Plane, acme: Tenancy, agent: Agent
) -> None:
    assert isinstance(acme.authorize(agent, "pay:supplier"), Authorized)
    plane.clock.advance(LEASE_MS - 1)
    assert acme.sweep().timers == 0
    plane.clock.advance(1)
    assert acme.sweep().timers == 1
    assert state(acme, agent) is S.DEGRADED
    # It may be renewed yet.
    assert acme.session(agent.session_id).closed_ms is None
    assert is_refused(acme.authorize(agent, "read:payments"), Reason.LEASE_EXPIRED)
    assert acme.sweep().timers == 0
    assert_sound(plane, acme)


@pytest.mark.parametrize(("grace_ms", "after"), [(-1, S.DEGRADED), (0, S.STOPPED)])
def test_an_expired_instance_stops_after_the_grace(
    plane: Plane, acme: Tenancy, agent: Agent, grace_ms: int, after: OrganismState
) -> None:
    assert isinstance(acme.authorize(agent, "pay:supplier"), Authorized)
    plane.clock.advance(LEASE_MS)
    acme.sweep()
    plane.clock.advance(5 * MINUTE_MS + grace_ms)
    acme.sweep()
    assert state(acme, agent) is after
    plane.clock.advance(1)
    acme.sweep()
    assert state(acme, agent) is S.STOPPED
    assert acme.session(agent.session_id).outcome == "abandoned"
    assert [header.kind for header in acme.receipts()][-3:] == [
        Kind.STATE_CHANGED, Kind.WORK, Kind.SESSION_CLOSED,
    ]  # fmt: skip
    why = acme.statements(Kind.SESSION_CLOSED, Abandonment)[0].why
    assert why == "the lease expired and was not renewed within 5 min"
    assert_sound(plane, acme)


# --- revocation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [S.RUNNING, S.DEGRADED])
def test_a_revoked_instance_stops(acme: Tenancy, agent: Agent, before: S) -> None:
    row = replace(acme.instance(agent), state=before)
    acme.plane.write(lambda tx: tx.put_instance(row))
    acme.revoke(Target.VERSION, "reconciler@v1")
    assert acme.sweep().timers == 1
    assert (state(acme, agent), acme.instance(agent).state_reason) == (
        S.STOPPED, "revoked: version:reconciler@v1",
    )  # fmt: skip
    assert acme.session(agent.session_id).outcome == "abandoned"
    assert acme.sweep().timers == 0


@pytest.mark.parametrize("held", [S.AUTOHEALING, S.QUARANTINED])
def test_what_has_no_authority_any_more_is_left_alone(acme: Tenancy, agent: Agent, held: S) -> None:
    row = replace(acme.instance(agent), state=held, fenced=1)
    acme.plane.write(lambda tx: tx.put_instance(row))
    acme.revoke(Target.VERSION, "reconciler@v1")
    acme.sweep()
    assert state(acme, agent) is held
    assert timers(acme) == []


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
    assert acme.sweep().timers == 2
    assert [state(acme, one) for one in (parent, child, other)] == [S.STOPPED, S.STOPPED, S.RUNNING]
    assert state(globex, theirs) is S.RUNNING
    assert_sound(plane, acme)
    assert_sound(plane, globex)


# --- timers ---------------------------------------------------------------------------------------


def test_a_timer_whose_subject_is_gone_is_dropped(acme: Tenancy) -> None:
    for kind in ("organism", "order", "unheard-of"):
        row = TimerRow(acme.tenant_id, kind, "nobody", 1)
        acme.plane.write(lambda tx, row=row: tx.put_timer(row))
    assert acme.sweep().timers == 3
    assert timers(acme) == []


def test_a_sweep_takes_a_bounded_number_and_says_that_more_is_left(acme: Tenancy) -> None:
    def fill(tx) -> None:
        for number in range(TIMERS_MAX + 1):
            tx.put_timer(TimerRow(acme.tenant_id, "order", f"{number}", number))

    acme.plane.write(fill)
    swept = acme.sweep()
    assert (swept.timers, swept.more) == (TIMERS_MAX, True)
    # The longest due first.
    assert [row.key for row in timers(acme)] == [f"{TIMERS_MAX}"]
    swept = acme.sweep()
    assert (swept.timers, swept.more) == (1, False)


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
