"""Wall clocks that jump: the ledger's time does not go back, and no authority lives longer for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dragons.control.append import ClaimReceipt
from dragons.control.authorize import Authorized
from dragons.control.issue import Grant
from dragons.core.clock import SteadyClock, format_time, parse_time
from dragons.core.errors import InvalidInputError
from dragons.core.vocabulary import Kind, OrganismState, Reason
from dragons.evidence.receipt import Denial
from tests.support.expect import fails, is_refused
from tests.support.plane import Plane, Tenancy, assert_sound

HOUR_MS = 3_600_000
YEAR_MS = 365 * 24 * HOUR_MS
LEASE_MS = 900_000
GRACE_MS = 300_000


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A store with the clock that the control plane has: it never falls behind its boot clock."""
    made = Plane(tmp_path / "control.db")
    made.store.close()
    made.store_clock = SteadyClock(made.clock)
    made.reopen()
    yield made
    made.store.close()


@pytest.fixture
def acme(plane: Plane) -> Tenancy:
    return plane.tenant()


def restart(plane: Plane) -> None:
    """A new process: its steady clock knows nothing of the old one's."""
    plane.store.close()
    plane.store_clock = SteadyClock(plane.clock)
    plane.reopen()


def times(acme: Tenancy) -> list[str]:
    return [header.issued_at for header in acme.receipts()]


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("jump_ms", [-HOUR_MS, -YEAR_MS, -4_000, YEAR_MS, HOUR_MS])
def test_receipts_never_go_back_in_time(plane: Plane, acme: Tenancy, jump_ms: int, *, restarts: bool) -> None:
    agent = acme.started(acme.ready())
    for _ in range(3):
        claim = acme.claim(agent)
        plane.clock.jump(jump_ms)
        if restarts:
            restart(plane)
        acme.append(agent, claim)
        plane.clock.advance(1_000)
        acme.sweep()
        jump_ms = -jump_ms
    found = times(acme)
    assert found == sorted(found)
    assert_sound(plane, acme)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("back_ms", [HOUR_MS, YEAR_MS])
def test_a_clock_set_back_revives_no_lease(
    plane: Plane, acme: Tenancy, back_ms: int, *, restarts: bool
) -> None:
    agent = acme.started(acme.ready())
    # Within the grace it might be renewed.
    plane.clock.advance(LEASE_MS + GRACE_MS)
    acme.publish(2)
    plane.clock.jump(-back_ms)
    if restarts:
        restart(plane)
    assert is_refused(acme.authorize(agent, "read:payments"), Reason.LEASE_EXPIRED)
    assert is_refused(acme.renew(agent), Reason.LEASE_EXPIRED)
    acme.sweep()
    assert acme.instance(agent).state is OrganismState.STOPPED
    assert_sound(plane, acme)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("back_ms", [HOUR_MS, YEAR_MS])
def test_a_lease_ends_though_the_clock_was_set_back(
    plane: Plane, acme: Tenancy, back_ms: int, *, restarts: bool
) -> None:
    """Time that stood still until the wall clock came up again would let the lease live as long."""
    agent = acme.started(acme.ready())
    plane.clock.jump(-back_ms)
    if restarts:
        restart(plane)
    assert isinstance(acme.authorize(agent, "read:payments"), Authorized)
    plane.clock.advance(LEASE_MS)
    assert is_refused(acme.authorize(agent, "read:payments"), Reason.LEASE_EXPIRED)
    plane.clock.advance(5 * 60_000)
    acme.sweep()
    assert acme.instance(agent).state is OrganismState.STOPPED
    assert_sound(plane, acme)


def test_a_process_that_wrote_ahead_takes_the_others_time_with_it(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    ahead = Plane(plane.path, type(plane.clock)(plane.clock.now_ms() + HOUR_MS), plane.keyring)
    there = Tenancy(ahead, acme.tenant_id, acme.root, acme.operator)
    there.publish(2)
    assert is_refused(acme.authorize(agent, "read:payments"), Reason.LEASE_EXPIRED)
    plane.clock.advance(1_000)
    acme.sweep()
    found = [parse_time(one) for one in times(acme)]
    assert found == sorted(found)
    assert found[-1] == ahead.clock.now_ms() + 1_000
    ahead.store.close()


def test_a_clock_set_forward_ends_leases_early_and_nothing_lasts_longer(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    expires_ms = agent.lease.expires_ms
    plane.clock.jump(YEAR_MS)
    assert is_refused(acme.authorize(agent, "read:payments"), Reason.LEASE_EXPIRED)
    acme.sweep()
    assert acme.instance(agent).state is OrganismState.STOPPED
    plane.clock.jump(-YEAR_MS)
    assert is_refused(acme.renew(agent), Reason.LEASE_EXPIRED)
    lease = plane.read(lambda reader: reader.lease(acme.tenant_id, agent.lease.lease_id))
    assert lease.expires_ms == expires_ms
    assert_sound(plane, acme)


def test_heartbeats_of_another_time_are_refused_and_change_nothing(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    assert acme.beat(agent, 1).accepted == 1
    before = acme.instance(agent)
    early, late = (format_time(acme.now_ms + far_ms) for far_ms in (-HOUR_MS, YEAR_MS))
    assert acme.beat(agent, 2, sent_at=early).refused == {0: "date_implausible"}
    assert acme.beat(agent, 2, sent_at=late).refused == {0: "date_implausible"}
    assert acme.instance(agent) == before
    assert acme.beat(agent, 2).accepted == 1


def test_a_clock_set_back_neither_silences_nor_refreshes_an_instance(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready(), ttl_seconds=3_600)
    plane.clock.advance(20 * 60_000)
    acme.beat(agent, 1)
    acme.work(agent)
    plane.clock.jump(-HOUR_MS)
    restart(plane)
    # An honest instance on the machine whose clock was set back is an hour behind the ledger now.
    assert acme.beat(agent, 2).refused == {0: "date_implausible"}
    acme.sweep()
    assert acme.instance(agent).state is OrganismState.RUNNING
    plane.clock.advance(30 * 60_000)
    acme.sweep()
    assert acme.instance(agent).state is OrganismState.DEGRADED
    assert_sound(plane, acme)


def test_equal_denials_are_counted_across_a_jump(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    for jump_ms in (0, -HOUR_MS, -HOUR_MS):
        plane.clock.jump(jump_ms)
        acme.authorize(agent, "pay:supplier")
    plane.clock.advance(60_000)
    acme.sweep()
    counted = acme.statements(Kind.DENIED, Denial)
    assert [one.count for one in counted] == [1, 2]
    assert all(one.first_at <= one.last_at for one in counted)
    assert_sound(plane, acme)


def test_claims_from_the_future_are_refused(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    tomorrow = format_time(acme.now_ms + 24 * HOUR_MS)
    with fails(InvalidInputError, "time_implausible"):
        acme.work(agent, started_at=tomorrow, ended_at=tomorrow)
    assert isinstance(acme.work(agent), ClaimReceipt)


def test_a_renewal_counts_from_the_ledgers_time(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    plane.clock.advance(60_000)
    acme.sweep()
    acme.work(agent)
    latest_ms = acme.now_ms
    plane.clock.jump(-30_000)
    restart(plane)
    grant = acme.renew(agent)
    assert isinstance(grant, Grant)
    assert grant.lease.expires_ms == latest_ms + LEASE_MS
    assert_sound(plane, acme)
