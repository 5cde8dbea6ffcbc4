from __future__ import annotations

import pytest

from dragons.control.abandonment import abandon_actions, abandon_sessions
from dragons.control.authorize import Authorized
from dragons.core.vocabulary import Kind, Outcome
from dragons.evidence.receipt import Abandonment
from tests.support.plane import Agent, Plane, Tenancy, assert_sound


@pytest.fixture
def agent(acme: Tenancy) -> Agent:
    return acme.started(acme.ready(scope=["pay:supplier", "read:payments"]))


def authorize(tenancy: Tenancy, agent: Agent) -> str:
    found = tenancy.authorize(agent, "pay:supplier")
    assert isinstance(found, Authorized)
    return found.decision_id


def abandon(tenancy: Tenancy, agent: Agent, why: str) -> None:
    row = tenancy.instance(agent)
    tenancy.plane.write(lambda tx: abandon_sessions(tx, tenancy.issuer, row, why))


def test_actions_end_before_their_session(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    decisions = [authorize(acme, agent) for _ in range(2)]
    plane.clock.advance(900_000)
    abandon(acme, agent, "too slow")
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


def test_every_open_session_ends_and_no_closed_one(acme: Tenancy, agent: Agent) -> None:
    acme.close(agent)
    closed = agent.session_id
    acme.open(agent)
    acme.open(agent)
    abandon(acme, agent, "gone")
    assert not acme.receipts(Kind.WORK)
    outcomes = [header.outcome for header in acme.receipts(Kind.SESSION_CLOSED)]
    assert outcomes == ["completed", "abandoned", "abandoned"]
    assert acme.session(closed).outcome == "completed"
    abandon(acme, agent, "again")
    assert len(acme.receipts(Kind.SESSION_CLOSED)) == 3
