from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragons.authority.revocation import Target
from dragons.control.organism import advance, arm, axes_of, look_again, organism_of, settle
from dragons.control.rows import InstanceRow, TimerRow
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, NotFoundError
from dragons.core.hashing import sha256_hex
from dragons.core.ids import LEASE, new_id
from dragons.core.vocabulary import Kind, OrganismState
from dragons.evidence.receipt import Abandonment, Transition
from dragons.liveness.heartbeat import Progress
from dragons.liveness.organism import Act, Ended, Event, Operated, Replaced, Revoked, Tick, Trigger
from tests.support.expect import fails
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, make_manifest

S = OrganismState
MINUTE_MS = 60_000
DONE, CRASH = Ended(failed=False, detail="done"), Ended(failed=True, detail="exit status 1")


@pytest.fixture
def agent(acme: Tenancy) -> Agent:
    """An instance that no dispatch supervises."""
    return acme.started(acme.ready(ttl_seconds_max=7_200), ttl_seconds=7_200)


@pytest.fixture
def supervised(acme: Tenancy) -> Agent:
    """The first instance of a dispatch."""
    manifest = acme.ready()
    return acme.started(manifest, dispatch_id=acme.dispatch(ttl_seconds=7_200), ttl_seconds=3_600)


def happen(tenancy: Tenancy, agent: Agent, event: Event) -> InstanceRow:
    row = tenancy.instance(agent)
    return tenancy.plane.write(lambda tx: advance(tx, tenancy.issuer, row, event))


def transitions(tenancy: Tenancy) -> list[Transition]:
    return tenancy.statements(Kind.STATE_CHANGED, Transition)


def timer(tenancy: Tenancy, agent: Agent) -> int | None:
    """When the instance is looked at next."""
    rows = tenancy.plane.read(lambda reader: reader.timers_due(tenancy.tenant_id, 2**62, 100))
    return next((row.due_ms for row in rows if row.key == agent.instance_id), None)


def revoked(tenancy: Tenancy, agent: Agent) -> bool:
    entries = [f"lease:{agent.lease.lease_id}"]
    return tenancy.plane.read(lambda reader: reader.is_revoked(tenancy.tenant_id, entries)) is not None


def test_a_move_is_on_the_record_with_its_axes(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    seen = Progress(sequence=4, digest=sha256_hex(b"a"), source="files")
    acme.beat(agent, 3, progress=seen)
    seen_at = acme.now
    plane.clock.advance(30 * MINUTE_MS)
    after = happen(acme, agent, Tick())
    assert after == acme.instance(agent)
    assert (after.state, after.state_reason) == (S.DEGRADED, "no heartbeat for 30 min")
    assert (after.state_since_ms, after.halted_ms, after.stopped_ms) == (acme.now_ms, None, None)
    (body,) = transitions(acme)
    assert (body.before, body.after, body.trigger) == (S.RUNNING, S.DEGRADED, Trigger.STALLED)
    assert (body.at, body.dispatch_id, body.incident_id) == (acme.now, after.dispatch_id, after.incident_id)
    axes = body.axes
    assert (axes.pulse_at, axes.beat_sequence) == (seen_at, 3)
    assert (axes.progress_at, axes.progress_sequence, axes.progress_source) == (seen_at, 4, "files")
    assert (axes.progress_digest, axes.policy_version) == (seen.digest, 0)
    assert axes.lease_expires_at == format_time(agent.lease.expires_ms)
    (header,) = acme.receipts(Kind.STATE_CHANGED)
    assert (header.instance_id, header.organism_state) == (agent.instance_id, S.DEGRADED)
    assert_sound(plane, acme)


def test_axes_that_are_not_known_are_left_out(acme: Tenancy, agent: Agent) -> None:
    row = acme.instance(agent)
    axes = acme.plane.read(lambda reader: axes_of(reader, row, 7))
    assert axes.policy_version == 7
    assert not isinstance(axes.pulse_at, str)
    assert not isinstance(axes.progress_at, str)


def test_what_changes_nothing_writes_no_receipt(acme: Tenancy, agent: Agent) -> None:
    size = acme.size()
    assert happen(acme, agent, Tick()) == acme.instance(agent)
    assert acme.size() == size


@pytest.mark.parametrize("act", [Act.RELEASE, Act.REDISPATCH])
def test_an_act_that_does_not_fit_is_a_conflict_and_changes_nothing(
    acme: Tenancy, agent: Agent, act: Act
) -> None:
    row, size = acme.instance(agent), acme.size()
    with fails(ConflictError, "organism_running"):
        happen(acme, agent, Operated(act, "test"))
    assert (acme.size(), acme.instance(agent)) == (size, row)


def test_an_instance_without_its_lease_changes_nothing(acme: Tenancy, agent: Agent) -> None:
    row = replace(acme.instance(agent), lease_id=new_id(LEASE, 1))
    size = acme.size()
    with fails(NotFoundError, "lease_missing"):
        acme.plane.write(lambda tx: advance(tx, acme.issuer, row, DONE))
    # Nothing of a job that fails remains.
    assert (acme.size(), acme.instance(agent).state) == (size, S.RUNNING)


# --- losing authority -----------------------------------------------------------------------------


def test_only_lost_authority_ends_sessions(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    first = agent.session_id
    acme.open(agent)
    acme.open(agent)
    acme.close(agent)
    plane.clock.advance(30 * MINUTE_MS)
    happen(acme, agent, Tick())
    assert acme.session(first).closed_ms is None
    happen(acme, agent, Ended(failed=False, detail="no more"))
    rows = plane.read(lambda reader: reader.sessions(acme.tenant_id, instance_id=agent.instance_id))
    assert sorted(row.outcome for row in rows) == ["abandoned", "abandoned", "completed"]
    kinds = [header.kind for header in acme.receipts()][-3:]
    assert kinds == [Kind.STATE_CHANGED, Kind.SESSION_CLOSED, Kind.SESSION_CLOSED]
    assert {header.organism_state for header in acme.receipts()[-3:]} == {S.STOPPED}
    assert_sound(plane, acme)


def test_other_instances_keep_their_sessions(acme: Tenancy, agent: Agent) -> None:
    other = acme.started(make_manifest())
    happen(acme, agent, Operated(Act.STOP, "test"))
    assert acme.session(other.session_id).closed_ms is None


def test_a_long_reason_is_cut_in_documents_only(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    reason = "é" * 600
    happen(acme, agent, Ended(failed=False, detail=reason))
    assert transitions(acme)[0].reason == reason[:500]
    assert acme.statements(Kind.SESSION_CLOSED, Abandonment)[0].why == reason[:500]
    assert acme.instance(agent).state_reason == reason
    assert_sound(plane, acme)


def test_it_is_remembered_when_authority_was_lost_first(
    plane: Plane, acme: Tenancy, supervised: Agent
) -> None:
    happen(acme, supervised, CRASH)
    row, halted_ms = acme.instance(supervised), acme.now_ms
    assert (row.halted_ms, row.stopped_ms, row.dead, row.fenced) == (halted_ms, None, 1, 1)
    (moved,) = acme.receipts(Kind.STATE_CHANGED)
    assert row.halted_seq == moved.seq
    plane.clock.advance(1_000)
    happen(acme, supervised, Replaced(2))
    row = acme.instance(supervised)
    assert (row.halted_ms, row.halted_seq, row.stopped_ms) == (halted_ms, moved.seq, acme.now_ms)


def test_a_healed_instance_loses_its_lease_on_the_record_once(
    plane: Plane, acme: Tenancy, supervised: Agent
) -> None:
    happen(acme, supervised, CRASH)
    assert revoked(acme, supervised)
    happen(acme, supervised, Operated(Act.QUARANTINE, "test"))
    assert len(acme.receipts(Kind.REVOKED)) == 1
    acme.sweep()
    assert acme.instance(supervised).state is S.QUARANTINED


def test_what_was_delegated_ends_with_the_lease(plane: Plane, acme: Tenancy) -> None:
    acme.ready("notifier", ["send:email"])
    manifest = acme.ready(delegate=["send:email"])
    dispatch_id = acme.dispatch(scope=["read:payments", "send:email"])
    parent = acme.started(
        manifest, dispatch_id=dispatch_id, scope=("read:payments",), delegate_scope=("send:email",)
    )
    child = acme.delegate(parent, make_manifest("notifier"), ["send:email"])
    assert isinstance(child, Agent)
    happen(acme, parent, CRASH)
    acme.sweep()
    assert acme.instance(child).state is S.STOPPED
    assert_sound(plane, acme)


# --- commands for a dispatch ----------------------------------------------------------------------


def test_healing_orders_stop_and_start_and_remembers_the_restart(
    plane: Plane, acme: Tenancy, supervised: Agent
) -> None:
    plane.clock.advance(30 * MINUTE_MS)
    happen(acme, supervised, Tick())
    plane.clock.advance(29 * MINUTE_MS)
    happen(acme, supervised, Operated(Act.REDISPATCH, "test"))
    orders = plane.read(lambda reader: list(reader.orders(acme.tenant_id)))
    assert [(one.kind, one.instance_id) for one in orders] == [("stop", supervised.instance_id)]
    assert timer(acme, supervised) == acme.now_ms + 6_000
    plane.clock.advance(6_000)
    row = acme.instance(supervised)
    plane.write(lambda tx: settle(tx, acme.issuer, row))
    orders = plane.read(lambda reader: list(reader.orders(acme.tenant_id)))
    assert [(one.kind, one.epoch) for one in orders] == [("stop", 1), ("start", 2)]
    dispatch = plane.read(lambda reader: reader.dispatch(acme.tenant_id, row.dispatch_id))
    assert dispatch is not None
    assert dispatch.restarts == (acme.now_ms,)
    assert timer(acme, supervised) is None
    assert acme.instance(supervised).fenced == 1


def test_a_quarantine_takes_back_the_start_that_was_ordered(
    plane: Plane, acme: Tenancy, supervised: Agent
) -> None:
    happen(acme, supervised, CRASH)
    happen(acme, supervised, Operated(Act.QUARANTINE, "test"))
    assert plane.read(lambda reader: list(reader.orders(acme.tenant_id))) == []
    (dispatch,) = plane.read(lambda reader: list(reader.dispatches(acme.tenant_id)))
    assert dispatch.state == "held"
    happen(acme, supervised, Operated(Act.RELEASE, "test"))
    (dispatch,) = plane.read(lambda reader: list(reader.dispatches(acme.tenant_id)))
    assert (dispatch.state, dispatch.restarts) == ("open", (acme.now_ms,))
    (order,) = plane.read(lambda reader: list(reader.orders(acme.tenant_id)))
    assert (order.kind, order.epoch, order.due_ms) == ("start", 2, acme.now_ms)


def test_an_unsupervised_stall_tells_a_person(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    for _ in range(2):
        plane.clock.advance(30 * MINUTE_MS - 1_000)
        acme.beat(agent, 1 + acme.instance(agent).beat_sequence)
        plane.clock.advance(1_000)
        happen(acme, agent, Tick())
    assert acme.instance(agent).state is S.QUARANTINED
    messages = plane.read(lambda reader: list(reader.messages(acme.tenant_id)))
    assert sorted(one.topic for one in messages) == ["autohealing", "degraded", "quarantined"]
    assert {one.incident_id for one in messages} == {acme.instance(agent).incident_id}


# --- looking again --------------------------------------------------------------------------------


def test_a_launch_sets_the_timer_and_moves_set_it_again(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    start_ms = acme.now_ms
    assert timer(acme, agent) == start_ms + 30 * MINUTE_MS
    acme.plane.write(lambda tx: tx.drop_timer(acme.tenant_id, "organism", agent.instance_id))
    row = acme.instance(agent)
    acme.plane.write(lambda tx: arm(tx, row))
    assert timer(acme, agent) == start_ms + 30 * MINUTE_MS
    # A beat leaves the timer as it is: it comes too early, and is set again then.
    plane.clock.advance(MINUTE_MS)
    acme.beat(agent, 1)
    assert timer(acme, agent) == start_ms + 30 * MINUTE_MS
    happen(acme, agent, DONE)
    assert timer(acme, agent) is None


def test_a_renewal_sets_the_timer_again(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready(ttl_seconds_max=36_000), ttl_seconds=50 * 60)
    acme.publish_policy(lease_grace_seconds=3_600)
    start_ms = acme.now_ms
    for minutes in (30, 21):
        plane.clock.advance(minutes * MINUTE_MS)
        acme.sweep()
    assert acme.instance(agent).state is S.DEGRADED
    acme.renew(agent)
    assert timer(acme, agent) == start_ms + 60 * MINUTE_MS


def test_a_revocation_is_looked_at_soon_and_stops(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    other = acme.started(make_manifest())
    name = f"instance:{agent.instance_id}"
    acme.plane.write(lambda tx: look_again(tx, acme.tenant_id, [name]))
    assert timer(acme, agent) == acme.now_ms
    assert timer(acme, other) != acme.now_ms
    acme.revoke(Target.INSTANCE, agent.instance_id)
    row = acme.instance(agent)
    after = acme.plane.write(lambda tx: settle(tx, acme.issuer, row))
    assert (after.state, after.state_reason) == (S.STOPPED, f"revoked: {name}")


@pytest.mark.parametrize("held", [S.AUTOHEALING, S.QUARANTINED])
def test_a_revocation_changes_nothing_where_there_is_no_authority(
    acme: Tenancy, agent: Agent, held: S
) -> None:
    row = replace(acme.instance(agent), state=held)
    acme.plane.write(lambda tx: tx.put_instance(row))
    acme.revoke(Target.INSTANCE, agent.instance_id)
    after = acme.plane.write(lambda tx: settle(tx, acme.issuer, replace(row, fenced=1)))
    assert after.state is held


def test_rows_become_an_organism(acme: Tenancy, supervised: Agent) -> None:
    row = replace(acme.instance(supervised), pulse_ms=acme.now_ms + 5, owed_ms=acme.now_ms + 9, dead=1)
    dispatch = acme.plane.read(lambda reader: reader.dispatch(acme.tenant_id, row.dispatch_id))
    assert dispatch is not None
    made = organism_of(row, supervised.lease, replace(dispatch, restarts=(1, 2)))
    assert (made.pulse_ms, made.progress_ms, made.owed_ms) == (acme.now_ms + 5, acme.now_ms, acme.now_ms + 9)
    assert (made.lease_expires_ms, made.supervised, made.restarts) == (
        supervised.lease.expires_ms, True, (1, 2),
    )  # fmt: skip
    assert (made.dead, made.fenced) == (True, False)
    assert not organism_of(row, supervised.lease, replace(dispatch, ended_ms=1)).supervised
    assert not organism_of(row, supervised.lease, None).supervised


def test_a_revocation_seen_by_the_rules_cancels_the_dispatch(acme: Tenancy, supervised: Agent) -> None:
    happen(acme, supervised, Revoked("dock:x"))
    (dispatch,) = acme.plane.read(lambda reader: list(reader.dispatches(acme.tenant_id)))
    assert (dispatch.state, dispatch.ended_ms) == ("cancelled", acme.now_ms)


def test_a_timer_is_of_its_instance_only(acme: Tenancy, agent: Agent) -> None:
    rows = acme.plane.read(lambda reader: reader.timers_due(acme.tenant_id, 2**62, 100))
    assert list(rows) == [
        TimerRow(acme.tenant_id, "organism", agent.instance_id, acme.now_ms + 30 * MINUTE_MS)
    ]
