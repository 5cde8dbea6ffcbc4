"""What is carried out when a compromised key ends. Whole stories are in tests/tamper/test_orders_and_releases.py."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dragons.control.rows import DispatchRow
from dragons.core.keys import LocalSigner
from dragons.core.vocabulary import Kind, OrganismState
from dragons.evidence.receipt import DispatchEnd, Transition
from tests.support.plane import Agent, Plane, Tenancy, make_manifest

S = OrganismState
RECONCILER = make_manifest()


@dataclass
class Thief:
    """A second operator's key in the wrong hands, from the beginning."""

    acme: Tenancy
    key: LocalSigner
    since: str

    def end(self) -> None:
        self.acme.plane.clock.advance(1_000)
        self.acme.revoke_key(self.key.key_id, compromised_since=self.since)


@pytest.fixture
def thief(acme: Tenancy) -> Thief:
    acme.ready()
    return Thief(acme, acme.hire("operator"), acme.now)


def dispatch(acme: Tenancy, dispatch_id: str) -> DispatchRow:
    found = acme.plane.read(lambda reader: reader.dispatch(acme.tenant_id, dispatch_id))
    assert found is not None
    return found


def started(acme: Tenancy, dispatch_id: str) -> Agent:
    return acme.started(RECONCILER, dispatch_id=dispatch_id)


def test_all_of_it_is_in_the_write_that_ends_the_key(acme: Tenancy, thief: Thief) -> None:
    started(acme, acme.dispatch(signer=thief.key))
    size = acme.size()
    thief.end()
    assert [header.kind for header in acme.receipts()][size:] == [
        Kind.KEY_REVOKED,
        Kind.STATE_CHANGED,
        Kind.SESSION_CLOSED,
        Kind.DISPATCH_ENDED,
    ]
    (moved,) = acme.statements(Kind.STATE_CHANGED, Transition)
    assert (moved.trigger, moved.reason) == ("revoked", f"revoked: operator:{thief.key.key_id}")
    (over,) = acme.statements(Kind.DISPATCH_ENDED, DispatchEnd)
    assert over.outcome == "cancelled"


def test_a_start_that_waits_is_withdrawn(plane: Plane, acme: Tenancy, thief: Thief) -> None:
    ordered = acme.dispatch(signer=thief.key)
    thief.end()
    assert plane.read(lambda reader: list(reader.orders(acme.tenant_id))) == []
    row = dispatch(acme, ordered)
    assert (row.state, row.state_reason) == (
        "cancelled",
        "what it goes on by was signed with a compromised key",
    )


def test_healing_stops(plane: Plane, acme: Tenancy, thief: Thief) -> None:
    """An instance that is being healed gets no successor."""
    agent = started(acme, acme.dispatch(signer=thief.key))
    acme.release(agent, outcome="failed", detail="exit status 1")
    assert acme.instance(agent).state is S.AUTOHEALING
    thief.end()
    assert acme.instance(agent).state is S.STOPPED
    plane.clock.advance(3_600_000)
    acme.sweep()
    assert len(acme.receipts(Kind.REDISPATCHED)) == 2
    assert plane.read(lambda reader: list(reader.orders(acme.tenant_id))) == []


def test_what_is_isolated_stays_so_and_its_release_starts_nothing(
    plane: Plane, acme: Tenancy, thief: Thief
) -> None:
    ordered = acme.dispatch(signer=thief.key)
    agent = started(acme, ordered)
    acme.intervene(agent.instance_id, "quarantine")
    thief.end()
    assert acme.instance(agent).state is S.QUARANTINED
    acme.intervene(agent.instance_id, "release")
    plane.clock.advance(60_000)
    acme.sweep()
    assert (acme.instance(agent).state, dispatch(acme, ordered).state) == (S.STOPPED, "cancelled")
    assert len(acme.receipts(Kind.REDISPATCHED)) == 1


def test_a_child_ends_with_the_lease_that_it_hangs_on(plane: Plane, acme: Tenancy, thief: Thief) -> None:
    acme.ready("notifier", ["send:email"])
    plane.clock.advance(1)  # the newest dock is taken
    acme.dock("reconciler", ["read:payments"], delegate=["send:email"])
    ordered = acme.dispatch(scope=["read:payments", "send:email"], signer=thief.key)
    parent = acme.started(
        RECONCILER, dispatch_id=ordered, scope=("read:payments",), delegate_scope=("send:email",)
    )
    child = acme.delegate(parent, make_manifest("notifier"), ["send:email"])
    assert isinstance(child, Agent)
    thief.end()
    acme.sweep()
    assert acme.instance(child).state is S.STOPPED


def test_a_hold_that_is_there_again_stays_as_it_is(plane: Plane, acme: Tenancy, thief: Thief) -> None:
    acme.intervene_agent("reconciler", "quarantine")
    acme.intervene_agent("reconciler", "release", signer=thief.key)
    acme.intervene_agent("reconciler", "quarantine", "still odd")
    thief.end()
    hold = plane.read(lambda reader: reader.hold(acme.tenant_id, "reconciler"))
    assert hold is not None
    assert hold.reason == "still odd"


def test_the_hold_says_who_lifted_it(plane: Plane, acme: Tenancy, thief: Thief) -> None:
    ordered = acme.dispatch()
    acme.intervene_agent("reconciler", "quarantine")
    acme.intervene_agent("reconciler", "release", signer=thief.key)
    thief.end()
    hold = plane.read(lambda reader: reader.hold(acme.tenant_id, "reconciler"))
    assert hold is not None
    assert hold.reason == f"it was released by {thief.key.key_id}"
    assert hold.receipt_id == acme.receipts(Kind.KEY_REVOKED)[0].receipt_id
    assert dispatch(acme, ordered).state == "held"


def test_who_lives_under_its_policy_is_looked_at_anew(plane: Plane, acme: Tenancy, thief: Thief) -> None:
    """A thief's patience would hide a stall; the product's finds it with the next sweep."""
    agent = acme.started(RECONCILER, ttl_seconds=3_600)
    acme.publish_policy(
        thief.key, degrade_after_seconds=86_400, autoheal_after_seconds=90_000, waiting_max_seconds=1
    )
    plane.clock.advance(1_900_000)
    acme.sweep()
    assert acme.instance(agent).state is S.RUNNING
    thief.end()
    acme.sweep()
    assert acme.instance(agent).state is S.DEGRADED


def test_a_key_that_signed_nothing_of_it_sets_nothing_off(acme: Tenancy, thief: Thief) -> None:
    agent = started(acme, acme.dispatch())
    acme.publish_policy()
    size = acme.size()
    thief.end()
    assert acme.size() == size + 1
    assert acme.instance(agent).state is S.RUNNING
