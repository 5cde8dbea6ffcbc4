"""The fleet in a few queries: joined, ordered, counted, and each of them by an index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dragons.adapters.sql import fleet as module
from dragons.authority.revocation import Target, entry
from dragons.core.vocabulary import Kind, OrganismState
from tests.support.plane import Agent, Plane, Tenancy
from tests.unit.adapters.sql.test_reader import T, plans

HOUR_MS = 3_600_000


@pytest.fixture
def globex(plane: Plane) -> Tenancy:
    return plane.tenant("globex")


@pytest.fixture
def fleet(acme: Tenancy) -> list[Agent]:
    """Three instances of two agents; the first was stopped an hour after it began."""
    manifest, other = acme.ready(), acme.ready("notifier")
    agents = []
    for one in (manifest, manifest, other):
        agents.append(acme.started(one))
        acme.plane.clock.advance(1)
    acme.plane.clock.advance(HOUR_MS)
    acme.intervene(agents[0].instance_id)
    acme.plane.clock.advance(HOUR_MS)
    return agents


def members(acme: Tenancy, **wanted: Any) -> list[str]:
    found = acme.plane.read(lambda reader: reader.members(acme.tenant_id, **wanted))
    return [one.instance.instance_id for one in found]


def test_live_instances_the_worst_first(acme: Tenancy, fleet: list[Agent]) -> None:
    stopped, second, third = (one.instance_id for one in fleet)
    assert members(acme) == [third, second]  # by agent: notifier before reconciler
    acme.intervene(second, "quarantine")
    assert members(acme) == [second, third]
    assert members(acme, agent="notifier") == [third]
    assert members(acme, state=OrganismState.RUNNING) == [third]
    assert members(acme, state=OrganismState.STOPPED) == [stopped]
    assert members(acme, skip=1, limit=1) == [third]
    count = acme.plane.read(lambda reader: reader.member_count(acme.tenant_id))
    assert count == len(members(acme)) == 2
    assert acme.plane.read(lambda r: r.member_count(acme.tenant_id, state=OrganismState.STOPPED)) == 1


def test_a_member_comes_with_lease_and_dispatch(acme: Tenancy, fleet: list[Agent]) -> None:
    lease = fleet[2].lease
    (found,) = acme.plane.read(lambda reader: reader.members(acme.tenant_id, agent="notifier"))
    assert (found.lease_expires_ms, found.lease_released_ms, found.lease_path) == (
        lease.expires_ms,
        None,
        lease.path,
    )
    assert (found.restarts, found.dispatch_state) == ((), "")
    dispatch_id = acme.dispatch("notifier")
    manifest = acme.plane.read(lambda r: r.versions(acme.tenant_id, "notifier"))[0]
    assert manifest.agent == "notifier"
    order = acme.plane.read(lambda r: r.orders(acme.tenant_id, dispatch_id=dispatch_id))[0]
    assert order.epoch == 1
    acme.release(fleet[2])
    assert members(acme, agent="notifier") == []


def test_running_time_by_agent(acme: Tenancy, fleet: list[Agent]) -> None:
    def totals(since_ms: int, now_ms: int) -> dict[str, int]:
        return dict(acme.plane.read(lambda r: r.running_totals(acme.tenant_id, since_ms, now_ms)))

    now_ms = acme.now_ms
    assert totals(0, now_ms) == {"reconciler": 3 * HOUR_MS + 5, "notifier": 2 * HOUR_MS + 1}
    assert totals(now_ms - HOUR_MS // 2, now_ms) == {"reconciler": HOUR_MS // 2, "notifier": HOUR_MS // 2}
    assert totals(0, now_ms - 3 * HOUR_MS) == {}
    spans = acme.plane.read(lambda r: r.spans(acme.tenant_id, 0))
    assert [(one.instance_id, one.ended_ms is None) for one in spans] == [
        (one.instance_id, one is not fleet[0]) for one in fleet
    ]
    assert len(acme.plane.read(lambda r: r.spans(acme.tenant_id, 0, "reconciler"))) == 2
    assert len(acme.plane.read(lambda r: r.spans(acme.tenant_id, now_ms - HOUR_MS))) == 2


def test_running_time_ends_with_the_authority(acme: Tenancy, fleet: list[Agent]) -> None:
    acme.intervene(fleet[1].instance_id, "quarantine")
    at_ms = acme.now_ms
    acme.plane.clock.advance(HOUR_MS)
    (span,) = (
        one
        for one in acme.plane.read(lambda r: r.spans(acme.tenant_id, 0))
        if one.instance_id == fleet[1].instance_id
    )
    assert span.ended_ms == at_ms
    kinds = {
        seq: acme.plane.read(lambda r, seq=seq: r.receipt_at(acme.tenant_id, seq)).kind
        for seq in (span.begun_seq, span.ended_seq)
    }
    assert list(kinds.values()) == [Kind.LEASE_ISSUED, Kind.STATE_CHANGED]
    names = acme.plane.read(lambda r: r.receipt_ids(acme.tenant_id, [*kinds, 10**9]))
    assert set(names) == set(kinds)


def test_tallies(acme: Tenancy, globex: Tenancy, fleet: list[Agent]) -> None:
    found = acme.plane.read(lambda r: r.tallies(acme.tenant_id))
    assert found.states == {"running": 2}
    assert (found.incidents_open, found.holds, found.orders_waiting) == (0, (), 0)
    assert (found.messages_waiting, found.oldest_message_ms) == (0, 0)
    acme.dispatch()
    acme.intervene(fleet[1].instance_id, "quarantine")
    acme.intervene_agent("notifier", "quarantine")
    found = acme.plane.read(lambda r: r.tallies(acme.tenant_id))
    assert found.states == {"quarantined": 2}
    assert found.dispatches == {"open": 1}
    assert (found.incidents_open, found.holds, found.orders_waiting) == (2, ("notifier",), 1)
    assert acme.plane.read(lambda r: r.tallies(globex.tenant_id)).states == {}


def test_which_entries_are_revoked(
    acme: Tenancy, globex: Tenancy, fleet: list[Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PARAMETERS_MAX", 2)
    acme.revoke(Target.AGENT, "notifier")
    wanted = {*fleet[2].lease.path, "agent:nobody"}
    assert acme.plane.read(lambda r: r.revoked_among(acme.tenant_id, wanted)) == {
        entry(Target.AGENT, "notifier")
    }
    assert acme.plane.read(lambda r: r.revoked_among(globex.tenant_id, wanted)) == set()
    assert acme.plane.read(lambda r: r.revoked_among(acme.tenant_id, [])) == set()


@pytest.mark.parametrize(
    "look",
    [
        lambda reader: reader.members(T),
        lambda reader: reader.members(T, state=OrganismState.STOPPED),
        lambda reader: reader.member_count(T),
        lambda reader: reader.spans(T, 5, "a"),
        lambda reader: reader.running_totals(T, 5, 9),
        lambda reader: reader.tallies(T),
        lambda reader: reader.revoked_among(T, ["agent:x"]),
        lambda reader: reader.receipt_ids(T, [5]),
    ],
)
def test_no_query_reads_a_whole_table(plane: Plane, acme: Tenancy, look: Callable[[Any], Any]) -> None:
    found = plans(plane, look)
    assert found
    assert not [
        line for line in found if line.startswith("SCAN") and "spans" not in line and "anon" not in line
    ]


@pytest.mark.parametrize(
    ("look", "index"),
    [
        (lambda reader: reader.member_count(T), "instances_live"),
        (lambda reader: reader.interventions_since(T, "a", 5), "receipts_of_governance"),
        (
            lambda reader: reader.running_spans(T, "a", 5),
            "instances_stopped (tenant_id=? AND agent=? AND stopped_ms>?)",
        ),
        (lambda reader: reader.spans(T, 5), "instances_stopped (tenant_id=? AND agent=? AND stopped_ms>?)"),
        (lambda reader: reader.spans(T, 5, "a"), "instances_live"),
        (lambda reader: reader.tallies(T), "incidents_open"),
        (lambda reader: reader.tallies(T), "dispatches_open"),
        (lambda reader: reader.tallies(T), "orders_waiting"),
        (lambda reader: reader.tallies(T), "messages_waiting"),
        (
            lambda reader: reader.running_totals(T, 5, 9),
            "instances_stopped (tenant_id=? AND agent=? AND stopped_ms>?)",
        ),
    ],
)
def test_a_count_reads_what_is_counted_only(
    plane: Plane, acme: Tenancy, look: Callable[[Any], Any], index: str
) -> None:
    assert [line for line in plans(plane, look) if index in line]
