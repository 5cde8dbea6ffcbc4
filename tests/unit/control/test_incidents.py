from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragons.adapters.notify.templates import FIELDS
from dragons.control.incidents import escalate, resolve_incident
from dragons.control.rows import IncidentRow, MessageRow
from dragons.core.clock import format_time
from dragons.core.hashing import sha256_hex
from dragons.core.vocabulary import Kind, OrganismState
from dragons.evidence.receipt import Transition
from dragons.liveness.heartbeat import Progress
from tests.support.plane import Agent, Plane, Tenancy

MINUTE_MS = 60_000


@pytest.fixture
def agent(acme: Tenancy) -> Agent:
    """An instance of a dispatch."""
    manifest = acme.ready(ttl_seconds_max=36_000)
    return acme.started(manifest, dispatch_id=acme.dispatch(ttl_seconds=36_000), ttl_seconds=36_000)


def incidents(tenancy: Tenancy) -> list[IncidentRow]:
    return tenancy.plane.read(lambda reader: list(reader.incidents(tenancy.tenant_id)))


def messages(tenancy: Tenancy) -> list[MessageRow]:
    return tenancy.plane.read(lambda reader: list(reader.messages(tenancy.tenant_id)))


def facts(row: MessageRow) -> dict[str, Any]:
    found = msgspec.json.decode(row.facts)
    assert isinstance(found, dict)
    return found


def degrade(plane: Plane, tenancy: Tenancy, agent: Agent) -> IncidentRow:
    plane.clock.advance(30 * MINUTE_MS)
    tenancy.sweep()
    assert tenancy.instance(agent).state is OrganismState.DEGRADED
    return incidents(tenancy)[0]


def test_an_incident_begins_with_the_first_move_away(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    opened = degrade(plane, acme, agent)
    (moved,) = acme.receipts(Kind.STATE_CHANGED)
    assert (opened.opened_ms, opened.opened_seq) == (acme.now_ms, moved.seq)
    assert (opened.agent, opened.instance_id, opened.state) == ("reconciler", agent.instance_id, "degraded")
    assert (opened.closed_ms, opened.closed_seq, opened.resolution) == (None, None, "")
    (body,) = acme.statements(Kind.STATE_CHANGED, Transition)
    assert body.incident_id == opened.incident_id == acme.instance(agent).incident_id


def test_a_recovery_ends_it_and_the_next_is_another(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    first = degrade(plane, acme, agent)
    acme.beat(agent, 1, progress=Progress(sequence=1, digest=sha256_hex(b"a"), source="files"))
    (closed,) = incidents(acme)
    assert (closed.closed_ms, closed.resolution) == (acme.now_ms, "recovered")
    assert closed.closed_seq == acme.receipts(Kind.STATE_CHANGED)[-1].seq
    assert acme.instance(agent).incident_id == ""
    second = degrade(plane, acme, agent)
    assert second.incident_id != first.incident_id
    bodies = acme.statements(Kind.STATE_CHANGED, Transition)
    assert [body.incident_id for body in bodies] == [first.incident_id] * 2 + [second.incident_id]


def test_it_goes_on_through_healing_and_quarantine(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    first = degrade(plane, acme, agent)
    acme.intervene(agent.instance_id, "quarantine")
    (held,) = incidents(acme)
    assert (held.incident_id, held.state, held.closed_ms) == (first.incident_id, "quarantined", None)
    assert held.reason == "quarantined by an operator: test"
    acme.intervene(agent.instance_id, "release")
    (closed,) = incidents(acme)
    assert (closed.resolution, closed.state) == ("released_by_operator", "quarantined")
    # Why it was away, not how it came back.
    assert closed.reason == held.reason


@pytest.mark.parametrize("how", ["stop", "release"])
def test_an_ordinary_end_is_no_incident(acme: Tenancy, agent: Agent, how: str) -> None:
    if how == "stop":
        acme.intervene(agent.instance_id, "stop")
    else:
        acme.release(agent)
    assert incidents(acme) == []
    assert acme.instance(agent).incident_id == ""


def test_a_crash_is_one(acme: Tenancy, agent: Agent) -> None:
    acme.release(agent, outcome="failed", detail="exit status 1")
    (opened,) = incidents(acme)
    assert (opened.state, opened.reason, opened.closed_ms) == ("autohealing", "exit status 1", None)


def test_an_incident_is_closed_once(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    degrade(plane, acme, agent)
    row = acme.instance(agent)
    for seq in (3, 4):
        plane.write(lambda tx, seq=seq: resolve_incident(tx, row, seq, f"by {seq}"))
    (closed,) = incidents(acme)
    assert (closed.closed_seq, closed.resolution) == (3, "by 3")


# --- whom to tell ---------------------------------------------------------------------------------


def test_a_person_is_told_what_is_known(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    acme.beat(agent, 1)
    beat_at = acme.now
    degrade(plane, acme, agent)
    row = acme.instance(agent)
    plane.write(lambda tx: escalate(tx, row, "3 restarts within 360 min"))
    (message,) = [one for one in messages(acme) if one.topic == "quarantined"]
    assert (message.topic, message.channel, message.incident_id) == ("quarantined", "", row.incident_id)
    told = facts(message)
    assert set(told) <= FIELDS
    assert (told["agent"], told["instance_id"], told["epoch"]) == ("reconciler", agent.instance_id, 1)
    assert (told["reason"], told["state"], told["restarts"]) == ("3 restarts within 360 min", "degraded", 0)
    assert (told["last_heartbeat_at"], "last_progress_at" in told) == (beat_at, False)
    assert told["lease_expires_at"] == format_time(agent.lease.expires_ms)


@pytest.mark.parametrize(
    ("act", "topics"),
    [("stop", []), ("quarantine", []), ("redispatch", ["autohealing"])],
)
def test_a_move_is_told_to_whom_it_may_concern(
    plane: Plane, acme: Tenancy, agent: Agent, act: str, topics: list[str]
) -> None:
    row = degrade(plane, acme, agent)
    acme.intervene(agent.instance_id, act)
    told = messages(acme)
    assert sorted(one.topic for one in told) == sorted(["degraded", *topics])
    assert {(one.channel, one.incident_id) for one in told} == {("", row.incident_id)}
    (degraded,) = [facts(one) for one in told if one.topic == "degraded"]
    assert (degraded["state"], degraded["reason"][:3]) == ("degraded", "no ")


def test_a_release_and_a_recovery_are_told(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    degrade(plane, acme, agent)
    acme.beat(agent, 1, progress=Progress(sequence=1, digest=sha256_hex(b"a"), source="files"))
    acme.intervene(agent.instance_id, "quarantine")
    acme.intervene(agent.instance_id, "release")
    assert sorted(one.topic for one in messages(acme)) == ["degraded", "recovered", "released"]
