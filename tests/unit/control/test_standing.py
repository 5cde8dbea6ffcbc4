from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragons.authority.decide import Allow, Deny
from dragons.authority.revocation import Target
from dragons.control.standing import (
    MTBOI_TTL_MS,
    Ended,
    Standing,
    about,
    agent_mtboi,
    compute_mtboi,
    ended,
    judge,
    standing_of,
)
from dragons.core.errors import ForbiddenError
from dragons.core.ids import uuid7_hex
from dragons.core.vocabulary import OrganismState, Reason
from dragons.liveness.mtboi import WINDOW_MS
from tests.support.expect import fails
from tests.support.plane import CAPABILITIES, Agent, Plane, Tenancy, make_manifest

LEASE_MS = 900_000
T0 = 1_800_000_000_000
DAY_MS = 24 * 3_600_000


@pytest.fixture
def agent(acme: Tenancy) -> Agent:
    made = acme.launch(acme.ready(scope=["pay:supplier", "read:payments"]))
    assert isinstance(made, Agent)
    return made


def standing(tenancy: Tenancy, agent: Agent) -> Standing:
    return tenancy.plane.read(lambda reader: standing_of(reader, tenancy.tenant_id, agent.instance_id))


def over(tenancy: Tenancy, found: Standing, now_ms: int | None = None) -> Ended | None:
    at = tenancy.now_ms if now_ms is None else now_ms
    return tenancy.plane.read(lambda reader: ended(reader, found, at))


def decided(tenancy: Tenancy, found: Standing, action: str = "read:payments", now_ms: int | None = None):
    at = tenancy.now_ms if now_ms is None else now_ms
    return tenancy.plane.read(lambda reader: judge(reader, found, action, at))


def in_state(tenancy: Tenancy, agent: Agent, state: OrganismState) -> None:
    row = replace(tenancy.instance(agent), state=state, state_since_ms=tenancy.now_ms)
    tenancy.plane.write(lambda tx: tx.put_instance(row))


# --- the facts ------------------------------------------------------------------------------------


def test_a_standing_is_what_the_store_says(acme: Tenancy, agent: Agent) -> None:
    found = standing(acme, agent)
    assert found == Standing(acme.instance(agent), agent.lease, 1, None)
    acme.revoke(Target.AGENT, "reconciler")
    assert standing(acme, agent).revoked == "agent:reconciler"


def test_who_holds_no_lease_has_no_standing(acme: Tenancy, globex: Tenancy, agent: Agent) -> None:
    for tenant_id, instance_id in ((acme.tenant_id, uuid7_hex(1)), (globex.tenant_id, agent.instance_id)):
        with fails(ForbiddenError, "lease_missing"):
            acme.plane.read(lambda reader, t=tenant_id, i=instance_id: standing_of(reader, t, i))


# --- the decision ---------------------------------------------------------------------------------


def test_what_the_lease_holds_is_allowed(acme: Tenancy, agent: Agent) -> None:
    found = standing(acme, agent)
    # The control plane itself also decides what is high risk.
    for action in ("read:payments", "pay:supplier"):
        assert decided(acme, found, action) == Allow(agent.lease.lease_id, agent.lease.expires_ms)


@pytest.mark.parametrize(
    ("away_ms", "expected"),
    [
        (-10_001, Reason.LEASE_NOT_YET_VALID),
        (-10_000, None),
        (LEASE_MS - 1, None),
        (LEASE_MS, Reason.LEASE_EXPIRED),
    ],
)
def test_a_lease_is_valid_in_a_half_open_time(acme: Tenancy, agent: Agent, away_ms: int, expected) -> None:
    found = decided(acme, standing(acme, agent), now_ms=T0 + away_ms)
    assert (found.reason if isinstance(found, Deny) else None) is expected


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("write:ledger", Reason.CAPABILITY_NOT_LEASED),
        ("read:mail", Reason.CAPABILITY_NOT_LEASED),
        ("", Reason.CAPABILITY_NOT_LEASED),
    ],
)
def test_what_the_lease_does_not_hold_is_denied(
    acme: Tenancy, agent: Agent, action: str, reason: Reason
) -> None:
    assert decided(acme, standing(acme, agent), action) == Deny(reason, action)


def test_what_the_catalogue_forgot_is_denied(acme: Tenancy, agent: Agent) -> None:
    acme.publish(2, {"pay:supplier": CAPABILITIES["pay:supplier"]})
    found = decided(acme, standing(acme, agent))
    assert found == Deny(Reason.CAPABILITY_UNKNOWN, "read:payments")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (OrganismState.DEGRADED, None),
        (OrganismState.AUTOHEALING, Reason.ORGANISM_AUTOHEALING),
        (OrganismState.QUARANTINED, Reason.ORGANISM_QUARANTINED),
        (OrganismState.STOPPED, Reason.ORGANISM_STOPPED),
    ],
)
def test_the_state_decides_and_ends(
    plane: Plane, acme: Tenancy, agent: Agent, state: OrganismState, reason: Reason | None
) -> None:
    plane.clock.advance(5_000)
    in_state(acme, agent, state)
    since_ms = acme.now_ms
    plane.clock.advance(5_000)
    found = standing(acme, agent)
    decision = decided(acme, found)
    assert (decision.reason if isinstance(decision, Deny) else None) is reason
    assert over(acme, found) == (None if reason is None else Ended(reason, since_ms))


def test_a_lease_that_was_given_back_is_denied_as_such(acme: Tenancy, agent: Agent) -> None:
    acme.release(agent)
    found = standing(acme, agent)
    assert decided(acme, found) == Deny(Reason.LEASE_RELEASED, agent.lease.lease_id)
    assert over(acme, found) == Ended(Reason.LEASE_RELEASED, acme.now_ms)


def test_an_older_epoch_is_denied(acme: Tenancy, agent: Agent) -> None:
    found = standing(acme, agent)._replace(epoch=2)
    decision = decided(acme, found)
    assert isinstance(decision, Deny)
    assert decision.reason is Reason.EPOCH_STALE
    assert over(acme, found) == Ended(Reason.EPOCH_STALE, T0)


@pytest.mark.parametrize("kind", [Target.DOCK, Target.LEASE, Target.OPERATOR])
def test_a_revocation_is_denied_by_its_own_code(acme: Tenancy, agent: Agent, kind: Target) -> None:
    target = {
        Target.DOCK: agent.lease.dock_id,
        Target.LEASE: agent.lease.lease_id,
        Target.OPERATOR: acme.operator.key_id,
    }[kind]
    acme.revoke(kind, target)
    assert decided(acme, standing(acme, agent)) == Deny(Reason(f"{kind}_revoked"), f"{kind}:{target}")


# --- the end --------------------------------------------------------------------------------------


def test_authority_ends_at_the_expiry(acme: Tenancy, agent: Agent) -> None:
    found = standing(acme, agent)
    assert over(acme, found) is None
    assert over(acme, found, T0 + LEASE_MS - 1) is None
    for later_ms in (0, DAY_MS):
        expected = Ended(Reason.LEASE_EXPIRED, T0 + LEASE_MS)
        assert over(acme, found, T0 + LEASE_MS + later_ms) == expected


def test_the_earliest_end_counts(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    plane.clock.advance(1_000)
    # The first on the path is not the first in time.
    acme.revoke(Target.LEASE, agent.lease.lease_id)
    plane.clock.advance(1_000)
    acme.revoke(Target.DOCK, agent.lease.dock_id)
    found = standing(acme, agent)
    assert found.revoked == f"dock:{agent.lease.dock_id}"
    assert over(acme, found) == Ended(Reason.REVOKED_LEASE, T0 + 1_000)
    acme.sweep()
    assert over(acme, standing(acme, agent), T0 + DAY_MS) == Ended(Reason.REVOKED_LEASE, T0 + 1_000)


def test_a_parent_ends_its_child(plane: Plane, acme: Tenancy) -> None:
    acme.ready("notifier", ["send:email"])
    parent = acme.started(acme.ready(delegate=["send:email"]), delegate_scope=("send:email",))
    child = acme.delegate(parent, make_manifest("notifier"), ["send:email"])
    assert isinstance(child, Agent)
    assert over(acme, standing(acme, child)) is None
    acme.revoke(Target.LEASE, parent.lease.lease_id)
    assert over(acme, standing(acme, child)) == Ended(Reason.REVOKED_PARENT, acme.now_ms)
    assert over(acme, standing(acme, parent)) == Ended(Reason.REVOKED_LEASE, acme.now_ms)


# --- what receipts say ----------------------------------------------------------------------------


def test_a_header_says_who_it_is_about(acme: Tenancy, agent: Agent) -> None:
    found = standing(acme, agent)
    assert acme.plane.write(lambda tx: about(tx, found)) == {
        "agent": "reconciler@v1",
        "manifest_hash": make_manifest().hash(),
        "instance_id": agent.instance_id,
        "lease_ref": agent.lease.lease_id,
        "epoch": 1,
        "organism_state": OrganismState.RUNNING,
        "mtboi_seconds": 0,
    }


def computed(tenancy: Tenancy, name: str = "reconciler") -> int:
    return tenancy.plane.read(lambda reader: compute_mtboi(reader, tenancy.tenant_id, name, tenancy.now_ms))


def remembered(tenancy: Tenancy) -> int:
    return tenancy.plane.write(lambda tx: agent_mtboi(tx, tenancy.tenant_id, "reconciler"))


def test_mtboi_counts_running_instances_of_the_agent(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    plane.clock.advance(60_999)
    assert (computed(acme), computed(acme, "notifier")) == (60, 0)
    acme.intervene(agent.instance_id)
    plane.clock.advance(60_000)
    # A stopped instance adds nothing.
    assert computed(acme) == 60


def test_mtboi_looks_back_thirty_days(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    plane.clock.advance(1_000_000)
    acme.intervene(agent.instance_id)
    acme.launch(make_manifest())
    plane.clock.advance(WINDOW_MS - 1_000)
    # 1 s of the first, all of the second, one intervention within the window.
    assert computed(acme) == 1 + WINDOW_MS // 1000 - 1
    acme.intervene(acme.receipts()[-1].instance_id)
    assert computed(acme) == WINDOW_MS // 1000 // 2


def test_mtboi_of_a_receipt_is_at_most_ten_seconds_old(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    plane.clock.advance(20_000)
    first = remembered(acme)
    plane.clock.advance(MTBOI_TTL_MS - 1)
    assert remembered(acme) == first == 20
    plane.clock.advance(1)
    assert remembered(acme) == 30
