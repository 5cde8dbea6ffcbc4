"""An incident is told from receipts alone: identity, actions, states, orders, people, end."""

from __future__ import annotations

import pytest

from dragons.authority.revocation import Target
from dragons.control.incident_receipts import gather_receipts
from dragons.control.nodes import Dead, NodeReport, report_node
from dragons.control.ports import Filter
from dragons.control.reconstruction import Phase, Story, reconstruct
from dragons.control.rows import IncidentRow
from dragons.core.vocabulary import Kind, Outcome
from dragons.identity.manifest import Manifest
from tests.support.plane import Agent, Plane, Tenancy

MINUTE_MS = 60_000


def incidents(acme: Tenancy) -> list[IncidentRow]:
    """The oldest first."""
    return list(acme.plane.read(lambda r: r.incidents(acme.tenant_id)))[::-1]


def told(acme: Tenancy, incident: IncidentRow) -> Story:
    gathered = acme.plane.read(lambda r: gather_receipts(r, incident))
    return reconstruct(incident, gathered.receipts)


def dead(acme: Tenancy, agent: Agent, detail: str = "exit status 3") -> None:
    """The node says that the program is over."""
    report = NodeReport("here", running=(), dead=(Dead(agent.instance_id, detail),))
    acme.plane.write(lambda tx: report_node(tx, acme.issuer, acme.caller, report))


@pytest.fixture
def manifest(acme: Tenancy) -> Manifest:
    return acme.ready()


@pytest.fixture
def healed(acme: Tenancy, manifest: Manifest) -> tuple[Agent, Agent]:
    """A dispatch whose first instance crashed after it had worked, and the one that took over."""
    dispatch_id = acme.dispatch(scope=["read:payments", "write:ledger"])
    first = acme.started(manifest, dispatch_id=dispatch_id, node="here")
    acme.work(first)
    acme.work(first, "write:ledger", outcome=Outcome.FAILED)
    acme.plane.clock.advance(MINUTE_MS)
    dead(acme, first)
    acme.plane.clock.advance(MINUTE_MS)
    second = acme.started(manifest, dispatch_id=dispatch_id, node="here")
    acme.work(second)
    return first, second


def test_a_healed_incident_from_identity_to_end(acme: Tenancy, healed: tuple[Agent, Agent]) -> None:
    (incident,) = incidents(acme)
    story = told(acme, incident)
    kinds: dict[Phase, list[str]] = {phase: [] for phase in Phase}
    for line in story.lines:
        kinds[line.phase].append(line.kind)
    assert kinds[Phase.IDENTITY] == [
        Kind.MANIFEST_REGISTERED, Kind.VERSION_ACTIVATED, Kind.AGENT_DOCKED, Kind.DISPATCH_ORDERED, Kind.LEASE_ISSUED,
    ]  # fmt: skip
    assert kinds[Phase.BEFORE][-3:] == [Kind.SESSION_OPENED, Kind.WORK, Kind.WORK]
    assert kinds[Phase.INCIDENT][0] == Kind.STATE_CHANGED
    assert {Kind.REVOKED, Kind.REDISPATCHED, Kind.STATE_CHANGED} <= set(kinds[Phase.INCIDENT])
    assert kinds[Phase.INCIDENT][-1] == Kind.LEASE_ISSUED
    assert kinds[Phase.AFTER] == [Kind.SESSION_OPENED, Kind.WORK]
    by_seq = {line.seq: line for line in story.lines}
    assert by_seq[incident.opened_seq].what == "running → autohealing: exit status 3"
    assert "epoch 2" not in by_seq[incident.opened_seq].what
    ended = by_seq[incident.closed_seq or 0]
    assert (ended.what.split(" ")[0], ended.facts["epoch"]) == ("reconciler@v1", 2)
    assert story.unrelated == 0


def test_it_says_who_and_what_for_each_receipt(acme: Tenancy, healed: tuple[Agent, Agent]) -> None:
    first, _ = healed
    story = told(acme, incidents(acme)[0])
    registered = story.lines[0]
    assert registered.signed_by == acme.operator.key_id
    assert registered.facts["manifest_hash"] == acme.receipts(Kind.LEASE_ISSUED)[0].manifest_hash
    lease = next(line for line in story.lines if line.kind == Kind.LEASE_ISSUED)
    assert acme.operator.key_id in lease.what
    failed = next(line for line in story.lines if line.what == "write:ledger: failed")
    assert (failed.instance_id, failed.signed_by) == (first.instance_id, first.signer.key_id)
    assert len(failed.payload_hash) == 64
    ordered = next(
        line for line in story.lines if line.kind == Kind.REDISPATCHED and line.phase is Phase.INCIDENT
    )
    assert (ordered.facts["fenced_by"], ordered.facts["handover.instance_id"]) == ("death", first.instance_id)
    moved = next(line for line in story.lines if line.kind == Kind.STATE_CHANGED)
    assert moved.facts["trigger"] == "crashed"
    assert {"lease_expires_at", "policy_version"} <= set(moved.facts)


def test_heartbeats_are_told_by_the_axes(acme: Tenancy, manifest: Manifest) -> None:
    agent = acme.started(manifest)
    acme.beat(agent, 7)
    acme.intervene(agent.instance_id, "quarantine", reason="odd transfers")
    acme.intervene(agent.instance_id, "release", reason="mended")
    (incident,) = incidents(acme)
    story = told(acme, incident)
    happened = [line for line in story.lines if line.phase is Phase.INCIDENT]
    moved = next(line for line in happened if line.seq == incident.opened_seq)
    assert (moved.facts["beat_sequence"], len(str(moved.facts["heartbeat_hash"]))) == (7, 64)
    release = next(line for line in happened if line.kind == Kind.INTERVENTION)
    assert "release of instance" in release.what
    assert release.signed_by == acme.operator.key_id
    assert happened[-1].what == "quarantined → stopped: released by an operator: mended"
    # The quarantine itself came right before the state changed.
    assert [line.kind for line in story.lines if line.seq == incident.opened_seq - 1] == [Kind.INTERVENTION]


def test_another_instances_work_is_another_story(plane: Plane, acme: Tenancy, manifest: Manifest) -> None:
    one, other = acme.started(manifest), acme.started(manifest)
    acme.work(one)
    for _ in range(3):
        acme.work(other)
    acme.intervene(one.instance_id, "quarantine")
    acme.work(other)
    story = told(acme, incidents(acme)[0])
    assert other.instance_id not in {line.instance_id for line in story.lines}
    # Its lease, session, and four pieces of work.
    assert story.unrelated == 6


def test_denied_and_late_actions_are_told(acme: Tenancy, manifest: Manifest) -> None:
    agent = acme.started(manifest)
    begun = acme.claim(agent)
    acme.plane.clock.advance(1_000)
    acme.intervene(agent.instance_id, "quarantine")
    acme.append(agent, begun)
    acme.authorize(agent, "pay:supplier")
    acme.sweep()
    lines = told(acme, incidents(acme)[0]).lines
    assert any(line.what.endswith("(reported late)") and line.facts["late"] for line in lines)
    denied = [line for line in lines if line.kind == Kind.DENIED]
    assert denied
    assert "pay:supplier, " in denied[0].what


def test_the_order_and_number_of_receipts_given_do_not_matter(
    acme: Tenancy, healed: tuple[Agent, Agent]
) -> None:
    (incident,) = incidents(acme)
    rows = acme.plane.read(lambda r: gather_receipts(r, incident)).receipts
    story = reconstruct(incident, rows)
    assert reconstruct(incident, [*reversed(rows), *rows]) == story
    everything = acme.plane.read(lambda r: list(r.iter_receipts(acme.tenant_id, Filter())))
    whole = reconstruct(incident, everything)
    assert {line.seq for line in story.lines} <= {line.seq for line in whole.lines}


def test_a_revocation_of_what_it_stood_on_is_told(acme: Tenancy, manifest: Manifest) -> None:
    agent = acme.started(manifest)
    acme.revoke(Target.DOCK, agent.lease.dock_id)
    acme.revoke(Target.AGENT, acme.ready("notifier").agent)
    acme.sweep()
    (incident,) = incidents(acme)
    revoked = [line for line in told(acme, incident).lines if line.kind == Kind.REVOKED]
    assert [line.what.split(" ")[0] for line in revoked] == ["dock"]
