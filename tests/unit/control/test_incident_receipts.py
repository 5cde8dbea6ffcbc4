"""Reads of the ledger for an incident are bounded, and what decides a story is not crowded out by work."""

from __future__ import annotations

import pytest

from dragons.control import incident_receipts as module
from dragons.control.incident_receipts import Gathered, gather_receipts
from dragons.control.rows import IncidentRow
from dragons.core.vocabulary import Kind
from tests.support.plane import Agent, Plane, Tenancy


@pytest.fixture
def agents(acme: Tenancy) -> tuple[Agent, Agent]:
    manifest = acme.ready()
    return acme.started(manifest), acme.started(manifest)


def gathered(acme: Tenancy) -> tuple[IncidentRow, Gathered]:
    (incident,) = acme.plane.read(lambda r: r.incidents(acme.tenant_id))
    return incident, acme.plane.read(lambda r: gather_receipts(r, incident))


def test_a_short_story_is_whole(acme: Tenancy, agents: tuple[Agent, Agent]) -> None:
    acme.work(agents[0])
    acme.intervene(agents[0].instance_id, "quarantine")
    acme.intervene(agents[0].instance_id, "release")
    incident, found = gathered(acme)
    assert found.limits == ()
    seqs = [row.seq for row in found.receipts]
    assert seqs == sorted(set(seqs))
    about_agent = {header.seq for header in acme.receipts() if isinstance(header.agent, str)}
    # All of the agent's but the other instance's lease, which is none of this.
    assert about_agent - {*seqs} <= {acme.receipts(Kind.LEASE_ISSUED)[1].seq}
    assert {incident.opened_seq, incident.closed_seq} <= {*seqs}


def test_a_flood_of_work_hides_no_event(
    acme: Tenancy, agents: tuple[Agent, Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORK_MAX", 12)
    monkeypatch.setattr(module, "BEFORE_MAX", 3)
    monkeypatch.setattr(module, "AFTER_MAX", 2)
    for _ in range(10):
        acme.work(agents[1])
    acme.intervene(agents[0].instance_id, "quarantine")
    for _ in range(20):
        acme.work(agents[1])
    acme.intervene(agents[0].instance_id, "release")
    for _ in range(10):
        acme.work(agents[1])
    incident, found = gathered(acme)
    kinds = [row.kind for row in found.receipts]
    assert kinds.count(Kind.WORK) < 20
    assert kinds.count(Kind.STATE_CHANGED) == 2
    assert kinds.count(Kind.INTERVENTION) == 2
    assert Kind.LEASE_ISSUED in kinds
    assert found.limits == ("work",)
    assert incident.closed_seq in {row.seq for row in found.receipts}
    # From both ends: the first work after it began, and the last before it ended.
    within = [row.seq for row in found.receipts if row.kind == Kind.WORK and row.seq > incident.opened_seq]
    assert min(within) < incident.opened_seq + 6
    assert max(seq for seq in within if seq < (incident.closed_seq or 0)) > (incident.closed_seq or 0) - 4


def test_an_open_incident_is_told_up_to_now(acme: Tenancy, agents: tuple[Agent, Agent]) -> None:
    acme.intervene(agents[0].instance_id, "quarantine")
    for _ in range(3):
        acme.work(agents[1])
    incident, found = gathered(acme)
    assert incident.closed_seq is None
    assert found.receipts[-1].seq == acme.size() - 1


def test_another_tenants_receipts_are_not_read(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    agent, stranger = acme.started(acme.ready()), globex.started(globex.ready())
    acme.intervene(agent.instance_id, "quarantine")
    globex.intervene(stranger.instance_id, "quarantine")
    _, found = gathered(acme)
    assert {row.tenant_id for row in found.receipts} == {acme.tenant_id}
