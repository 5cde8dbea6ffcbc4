from __future__ import annotations

from dataclasses import replace

import pytest

from dragons.control.authorize import Authorized
from dragons.control.organism import abandon, abandon_actions, change_state
from dragons.control.rows import InstanceRow
from dragons.core.errors import ConflictError, NotFoundError
from dragons.core.ids import LEASE, new_id
from dragons.core.vocabulary import Kind, OrganismState, Outcome
from dragons.evidence.receipt import Abandonment, Transition
from dragons.liveness.organism import TRANSITIONS
from tests.support.expect import fails
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, make_manifest

S = OrganismState
EVERY_PAIR = [(before, after) for before in S for after in S]
LEGAL = [pair for pair in EVERY_PAIR if pair[1] in TRANSITIONS[pair[0]]]
ILLEGAL = [pair for pair in EVERY_PAIR if pair[1] not in TRANSITIONS[pair[0]]]


@pytest.fixture
def agent(acme: Tenancy) -> Agent:
    return acme.started(acme.ready(scope=["pay:supplier", "read:payments"]))


def put(tenancy: Tenancy, agent: Agent, **changes: object) -> InstanceRow:
    row = replace(tenancy.instance(agent), **changes)
    tenancy.plane.write(lambda tx: tx.put_instance(row))
    return row


def change(tenancy: Tenancy, row: InstanceRow, after: OrganismState, reason: str = "test") -> InstanceRow:
    return tenancy.plane.write(lambda tx: change_state(tx, tenancy.issuer, row, after, reason))


@pytest.mark.parametrize(("before", "after"), LEGAL)
def test_a_change_along_the_table_is_on_the_record(
    plane: Plane, acme: Tenancy, agent: Agent, before: OrganismState, after: OrganismState
) -> None:
    row = put(acme, agent, state=before)
    plane.clock.advance(1_000)
    changed = change(acme, row, after, "because")
    assert changed == acme.instance(agent)
    assert (changed.state, changed.state_reason, changed.state_since_ms) == (after, "because", acme.now_ms)
    assert changed.stopped_ms == (acme.now_ms if after is S.STOPPED else None)
    (body,) = acme.statements(Kind.STATE_CHANGED, Transition)
    assert (body.before, body.after, body.reason, body.at) == (before, after, "because", acme.now)
    (header,) = acme.receipts(Kind.STATE_CHANGED)
    assert (header.instance_id, header.organism_state, header.lease_ref) == (
        agent.instance_id, after, agent.lease.lease_id,
    )  # fmt: skip


@pytest.mark.parametrize(("before", "after"), ILLEGAL)
def test_a_change_beside_the_table_is_a_conflict(
    acme: Tenancy, agent: Agent, before: OrganismState, after: OrganismState
) -> None:
    row = put(acme, agent, state=before)
    size = acme.size()
    with fails(ConflictError, "transition_illegal"):
        change(acme, row, after)
    assert (acme.size(), acme.instance(agent)) == (size, row)


def test_the_receipt_is_signed_by_the_issuer(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    change(acme, acme.instance(agent), S.DEGRADED)
    plane.clock.advance(1_000)
    change(acme, acme.instance(agent), S.STOPPED)
    assert_sound(plane, acme)


def test_only_a_stopped_instance_leaves_its_sessions(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    first = agent.session_id
    acme.open(agent)
    acme.open(agent)
    acme.close(agent)
    change(acme, acme.instance(agent), S.DEGRADED)
    assert acme.session(first).closed_ms is None
    plane.clock.advance(1_000)
    change(acme, acme.instance(agent), S.STOPPED, "no more")
    rows = plane.read(lambda reader: reader.sessions(acme.tenant_id, instance_id=agent.instance_id))
    assert sorted(row.outcome for row in rows) == ["abandoned", "abandoned", "completed"]
    assert acme.session(first).closed_ms == acme.now_ms
    kinds = [header.kind for header in acme.receipts()][-3:]
    assert kinds == [Kind.STATE_CHANGED, Kind.SESSION_CLOSED, Kind.SESSION_CLOSED]
    assert {header.organism_state for header in acme.receipts()[-3:]} == {S.STOPPED}
    assert_sound(plane, acme)


def test_other_instances_keep_their_sessions(acme: Tenancy, agent: Agent) -> None:
    launched = acme.launch(make_manifest())
    assert isinstance(launched, Agent)
    acme.open(launched)
    change(acme, acme.instance(agent), S.STOPPED)
    assert acme.session(launched.session_id).closed_ms is None


def test_a_long_reason_is_cut_in_documents_only(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    reason = "é" * 600
    change(acme, acme.instance(agent), S.STOPPED, reason)
    assert acme.statements(Kind.STATE_CHANGED, Transition)[0].reason == reason[:500]
    assert acme.statements(Kind.SESSION_CLOSED, Abandonment)[0].why == reason[:500]
    assert acme.instance(agent).state_reason == reason
    assert_sound(plane, acme)


def test_an_instance_without_its_lease_changes_nothing(acme: Tenancy, agent: Agent) -> None:
    row = put(acme, agent, lease_id=new_id(LEASE, 1))
    size = acme.size()
    with fails(NotFoundError, "lease_missing"):
        change(acme, row, S.STOPPED)
    # Nothing of a job that fails remains.
    assert (acme.size(), acme.instance(agent).state) == (size, S.RUNNING)


# --- abandoning -----------------------------------------------------------------------------------


def authorize(tenancy: Tenancy, agent: Agent) -> str:
    found = tenancy.authorize(agent, "pay:supplier")
    assert isinstance(found, Authorized)
    return found.decision_id


def test_actions_end_before_their_session(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    decisions = [authorize(acme, agent) for _ in range(2)]
    session, row = acme.session(agent.session_id), acme.instance(agent)
    plane.clock.advance(900_000)
    plane.write(lambda tx: abandon(tx, acme.issuer, row, session, "too slow"))
    headers = acme.receipts()[-3:]
    assert [header.kind for header in headers] == [Kind.WORK, Kind.WORK, Kind.SESSION_CLOSED]
    assert {header.outcome for header in headers} == {Outcome.ABANDONED}
    assert {header.session_id for header in headers} == {agent.session_id}
    assert [header.action for header in headers[:2]] == ["pay:supplier"] * 2
    bodies = acme.statements(Kind.WORK, Abandonment)
    assert sorted(str(body.decision_id) for body in bodies) == sorted(decisions)
    assert {(body.why, body.abandoned_at) for body in bodies} == {("too slow", acme.now)}
    (ending,) = acme.statements(Kind.SESSION_CLOSED, Abandonment)
    assert not isinstance(ending.decision_id, str)
    closed = acme.session(agent.session_id)
    assert (closed.closed_ms, closed.outcome) == (acme.now_ms, "abandoned")
    assert not plane.read(lambda reader: reader.decisions(acme.tenant_id, agent.session_id))
    assert_sound(plane, acme)


def test_actions_end_without_their_session(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    authorize(acme, agent)
    other = agent.session_id
    acme.open(agent)
    authorize(acme, agent)
    row, session = acme.instance(agent), acme.session(other)
    plane.write(lambda tx: abandon_actions(tx, acme.issuer, row, session, "never reported"))
    assert acme.session(other).closed_ms is None
    assert [header.session_id for header in acme.receipts(Kind.WORK)] == [other]
    left = plane.read(lambda reader: reader.decisions(acme.tenant_id, agent.session_id))
    assert len(left) == 1


def test_a_session_without_actions_ends_alone(acme: Tenancy, agent: Agent) -> None:
    row, session = acme.instance(agent), acme.session(agent.session_id)
    acme.plane.write(lambda tx: abandon(tx, acme.issuer, row, session, "gone"))
    assert not acme.receipts(Kind.WORK)
    assert len(acme.receipts(Kind.SESSION_CLOSED)) == 1
