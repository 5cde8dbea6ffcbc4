"""Late renewal: a lease that lapsed goes on within the grace, and the time between gave no authority."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dragons.control.append import ClaimReceipt
from dragons.control.issue import Grant
from dragons.control.leases import GAPS_MAX, gaps_after
from dragons.control.rows import LeaseRow
from dragons.control.sweep import OUTAGE_AFTER_MS
from dragons.core.clock import format_time
from dragons.core.vocabulary import OrganismState, Reason
from dragons.liveness.policy import LivenessPolicy
from tests.support.expect import is_refused
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, make_manifest

MAIL = ["send:email"]
LEASE_MS = 900_000
GRACE_MS = LivenessPolicy().lease_grace_ms


@pytest.fixture
def agent(acme: Tenancy) -> Agent:
    return acme.started(acme.ready())


def stored(tenancy: Tenancy, agent: Agent) -> LeaseRow:
    found = tenancy.plane.read(lambda reader: reader.lease(tenancy.tenant_id, agent.lease.lease_id))
    assert found is not None
    return found


def test_a_lapsed_lease_is_renewed_within_the_grace(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    end_ms = agent.lease.expires_ms
    plane.clock.advance(LEASE_MS + 1_000)
    acme.sweep()
    assert acme.instance(agent).state is OrganismState.DEGRADED
    assert isinstance(acme.renew(agent), Grant)
    row = stored(acme, agent)
    assert (row.serial, row.expires_ms, row.gaps) == (1, acme.now_ms + LEASE_MS, (end_ms, acme.now_ms))
    assert acme.instance(agent).state is OrganismState.RUNNING
    assert isinstance(acme.work(agent), ClaimReceipt)
    acme.sweep()
    assert_sound(plane, acme)


def test_a_renewal_in_time_leaves_no_gap(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    plane.clock.advance(LEASE_MS - 1)
    acme.renew(agent)
    assert stored(acme, agent).gaps == ()


@pytest.mark.parametrize(
    ("began_ms", "refused"), [(-1, False), (0, True), (999, True), (1_000, False)], ids=str
)
def test_work_of_the_gap_never_gets_authority(
    plane: Plane, acme: Tenancy, agent: Agent, began_ms: int, *, refused: bool
) -> None:
    end_ms = agent.lease.expires_ms
    plane.clock.advance(LEASE_MS + 1_000)
    acme.renew(agent)
    found = acme.work(agent, started_at=format_time(end_ms + began_ms))
    if refused:
        assert is_refused(found, Reason.LEASE_EXPIRED, "before a late renewal")
    else:
        assert isinstance(found, ClaimReceipt)
        assert not found.late
    acme.sweep()
    assert_sound(plane, acme)


def test_the_grace_is_the_policy_s(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    acme.publish_policy(lease_grace_seconds=2)
    plane.clock.advance(LEASE_MS + 1_999)
    assert isinstance(acme.renew(agent), Grant)
    plane.clock.advance(LEASE_MS + 2_000)
    assert is_refused(acme.renew(agent), Reason.LEASE_EXPIRED)


def test_an_outage_of_the_control_plane_uses_up_no_grace(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    plane.clock.advance(LEASE_MS - 1)
    acme.sweep(outage_after_ms=OUTAGE_AFTER_MS)
    plane.clock.advance(GRACE_MS + 60_000)
    # Before the first sweep, and after it has written down that it was away.
    first = acme.renew(agent)
    assert isinstance(first, Grant)
    plane.clock.advance(LEASE_MS - 1)
    acme.sweep(outage_after_ms=OUTAGE_AFTER_MS)
    plane.clock.advance(GRACE_MS + 60_000)
    acme.sweep(outage_after_ms=OUTAGE_AFTER_MS)
    assert isinstance(acme.renew(agent), Grant)
    assert len(stored(acme, agent).gaps) == 4


def test_a_short_pause_between_sweeps_is_no_outage(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    acme.publish_policy(lease_grace_seconds=2)
    plane.clock.advance(LEASE_MS - 1)
    acme.sweep(outage_after_ms=OUTAGE_AFTER_MS)
    plane.clock.advance(OUTAGE_AFTER_MS)
    assert is_refused(acme.renew(agent), Reason.LEASE_EXPIRED)


@pytest.mark.parametrize(
    "state", [OrganismState.AUTOHEALING, OrganismState.QUARANTINED, OrganismState.STOPPED]
)
def test_what_is_halted_is_not_renewed_late(
    plane: Plane, acme: Tenancy, agent: Agent, state: OrganismState
) -> None:
    row = replace(acme.instance(agent), state=state)
    plane.write(lambda tx: tx.put_instance(row))
    plane.clock.advance(LEASE_MS)
    found = acme.renew(agent)
    assert not isinstance(found, Grant)
    assert stored(acme, agent).serial == 0


def test_what_was_given_back_is_not_renewed_late(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    acme.release(agent)
    plane.clock.advance(LEASE_MS)
    assert is_refused(acme.renew(agent), Reason.LEASE_RELEASED)


def test_a_child_ends_with_its_delegation_also_when_its_parent_is_renewed_late(
    plane: Plane, acme: Tenancy
) -> None:
    acme.ready("notifier", MAIL)
    parent = acme.started(acme.ready(delegate=MAIL), delegate_scope=tuple(MAIL))
    child = acme.delegate(parent, make_manifest("notifier"), MAIL, ttl_seconds=LEASE_MS // 1000)
    assert isinstance(child, Agent)
    plane.clock.advance(LEASE_MS + 1_000)
    assert isinstance(acme.renew(parent), Grant)
    assert is_refused(acme.renew(child), Reason.LEASE_EXPIRED, "nothing is left")
    acme.sweep()
    assert_sound(plane, acme)


times = st.lists(st.integers(0, 10**6), min_size=2, max_size=4 * GAPS_MAX, unique=True).map(sorted)


@given(times, st.integers(0, 10**6))
def test_forgetting_gaps_never_permits_more(moments: list[int], at_ms: int) -> None:
    lapses = list(zip(moments[::2], moments[1::2], strict=False))
    row = LeaseRow("", "", "", "", "", 0, 1, 0, b"", (), (), (), 0, 0, 0)
    for end_ms, renewed_ms in lapses:
        row = replace(row, expires_ms=end_ms)
        row = replace(row, gaps=gaps_after(row, renewed_ms))
    kept = list(zip(row.gaps[::2], row.gaps[1::2], strict=True))
    assert len(kept) == min(len(lapses), GAPS_MAX)
    if any(since <= at_ms < until for since, until in lapses):
        assert any(since <= at_ms < until for since, until in kept)
    if len(lapses) <= GAPS_MAX:
        assert kept == lapses
