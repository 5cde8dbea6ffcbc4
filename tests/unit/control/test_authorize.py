from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragons.authority.revocation import Target
from dragons.control import authorize
from dragons.control.authorize import Authorized
from dragons.control.caller import Caller
from dragons.core.errors import ForbiddenError
from dragons.core.ids import SESSION, new_id
from dragons.core.vocabulary import Kind, OrganismState, Reason
from dragons.evidence.receipt import Decision
from tests.support.expect import fails, is_refused
from tests.support.plane import Plane, Tenancy, assert_sound


def test_an_allowed_action_is_on_the_record_before_it_begins(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready(scope=["pay:supplier"]))
    decided = acme.authorize(agent, "pay:supplier")
    assert isinstance(decided, Authorized)
    body = acme.statements(Kind.ACTION_AUTHORIZED, Decision)[0]
    assert (body.decision_id, body.action, body.session_id, body.lease_id) == (
        decided.decision_id,
        "pay:supplier",
        agent.session_id,
        agent.lease.lease_id,
    )
    acme.work(agent, "pay:supplier", decision_id=decided.decision_id)
    assert_sound(plane, acme)


def test_a_decision_that_awaits_its_receipt_does_not_spoil_the_ledger(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready(scope=["pay:supplier"]))
    acme.authorize(agent, "pay:supplier")
    assert_sound(plane, acme)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (OrganismState.AUTOHEALING, Reason.ORGANISM_AUTOHEALING),
        (OrganismState.QUARANTINED, Reason.ORGANISM_QUARANTINED),
        (OrganismState.STOPPED, Reason.ORGANISM_STOPPED),
    ],
)
def test_states_without_authority_deny(acme: Tenancy, state: OrganismState, reason: Reason) -> None:
    agent = acme.started(acme.ready())
    row = acme.instance(agent)
    acme.plane.write(lambda tx: tx.put_instance(replace(row, state=state)))
    assert is_refused(acme.authorize(agent, "read:payments"), reason)


def test_a_degraded_organism_may_go_on(acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    row = acme.instance(agent)
    acme.plane.write(lambda tx: tx.put_instance(replace(row, state=OrganismState.DEGRADED)))
    assert isinstance(acme.authorize(agent, "read:payments"), Authorized)


def test_every_fact_of_the_store_can_deny(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready()
    for end, reason in (
        (lambda one: acme.revoke(Target.LEASE, one.lease.lease_id), Reason.REVOKED_LEASE),
        (lambda one: acme.revoke(Target.INSTANCE, one.instance_id), Reason.REVOKED_INSTANCE),
        # Giving a lease back, stopping and expiry close the session: that is what is said first.
        (acme.release, Reason.SESSION_CLOSED),
        (lambda one: acme.intervene(one.instance_id), Reason.SESSION_CLOSED),
        (lambda one: plane.clock.advance(900_000), Reason.LEASE_EXPIRED),
    ):
        agent = acme.started(manifest)
        end(agent)
        assert is_refused(acme.authorize(agent, "read:payments"), reason)
    acme.sweep()
    assert_sound(plane, acme)


def test_capabilities_are_leased_and_known(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    assert is_refused(acme.authorize(agent, "send:email"), Reason.CAPABILITY_NOT_LEASED)
    acme.publish(2, {})
    assert is_refused(acme.authorize(agent, "read:payments"), Reason.CAPABILITY_UNKNOWN)
    assert_sound(plane, acme)


def test_a_session_is_the_callers_own_and_open(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    manifest = acme.ready()
    agent, other = acme.started(manifest), acme.started(manifest)
    stranger = globex.started(globex.ready())
    for session_id in (new_id(SESSION, 1), other.session_id, stranger.session_id):
        assert is_refused(acme.authorize(agent, "read:payments", session_id), Reason.SESSION_CLOSED)
    acme.close(agent)
    assert is_refused(acme.authorize(agent, "read:payments"), Reason.SESSION_CLOSED)


def test_actions_that_await_their_receipts_are_bounded(
    acme: Tenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorize, "DECISIONS_OPEN_MAX", 3)
    agent = acme.started(acme.ready())
    decided = [acme.authorize(agent, "read:payments") for _ in range(3)]
    assert is_refused(acme.authorize(agent, "read:payments"), Reason.SESSION_CLOSED, "await")
    assert isinstance(decided[0], Authorized)
    acme.work(agent, decision_id=decided[0].decision_id)
    assert isinstance(acme.authorize(agent, "read:payments"), Authorized)
    assert_sound(acme.plane, acme)


def test_an_instance_of_another_tenant_is_none(acme: Tenancy, globex: Tenancy) -> None:
    agent = acme.started(acme.ready())
    agent.caller = Caller(globex.tenant_id, agent.caller.role, instance_id=agent.instance_id)
    with fails(ForbiddenError, "lease_missing"):
        acme.authorize(agent, "read:payments")


def test_a_denial_is_on_the_record(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    acme.authorize(agent, "send:email")
    denial = acme.denials()[0]
    assert (denial.instance_id, denial.action, denial.reason, denial.count) == (
        agent.instance_id,
        "send:email",
        "capability_not_leased",
        1,
    )
    assert_sound(plane, acme)
