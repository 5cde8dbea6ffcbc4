"""A person's hand on all of an agent, or on a dispatch."""

from __future__ import annotations

import pytest

from dragons.control.intervene import intervene
from dragons.control.rows import DispatchRow, OrderRow
from dragons.core.errors import ConflictError, InvalidInputError, NotFoundError
from dragons.core.ids import DISPATCH, new_id
from dragons.core.vocabulary import Kind, OrganismState, Reason
from dragons.evidence.receipt import INTERVENTION, DispatchEnd, Intervention
from tests.support.expect import fails, is_refused
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, make_manifest

S = OrganismState
AGENT = "reconciler"


@pytest.fixture
def supervised(acme: Tenancy) -> Agent:
    manifest = acme.ready()
    return acme.started(manifest, dispatch_id=acme.dispatch())


@pytest.fixture
def other(acme: Tenancy, supervised: Agent) -> Agent:
    """An instance of the same agent that no dispatch supervises."""
    return acme.started(make_manifest())


def dispatch(tenancy: Tenancy) -> DispatchRow:
    (found,) = tenancy.plane.read(lambda reader: list(reader.dispatches(tenancy.tenant_id)))
    return found


def starts(tenancy: Tenancy) -> list[OrderRow]:
    found = tenancy.plane.read(lambda reader: list(reader.orders(tenancy.tenant_id)))
    return [order for order in found if order.kind == "start"]


def states(tenancy: Tenancy, *agents: Agent) -> list[OrganismState]:
    return [tenancy.instance(agent).state for agent in agents]


def test_a_quarantine_isolates_all_of_an_agent(
    plane: Plane, acme: Tenancy, supervised: Agent, other: Agent
) -> None:
    appended = acme.intervene_agent(AGENT, "quarantine", "odd transfers")
    assert states(acme, supervised, other) == [S.QUARANTINED, S.QUARANTINED]
    hold = plane.read(lambda reader: reader.hold(acme.tenant_id, AGENT))
    assert hold is not None
    assert (hold.reason, hold.since_ms, hold.receipt_id) == (
        "odd transfers",
        acme.now_ms,
        appended.receipt_id,
    )
    assert dispatch(acme).state == "held"
    # One hand, and it counts once.
    assert len(acme.receipts(Kind.INTERVENTION)) == 1
    with fails(ConflictError, "nothing_to_quarantine"):
        acme.intervene_agent(AGENT, "quarantine")
    assert_sound(plane, acme)


def test_what_does_not_run_is_quarantined_too(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready()
    acme.dispatch()
    acme.intervene_agent(AGENT, "quarantine", "odd transfers")
    assert (dispatch(acme).state, starts(acme)) == ("held", [])
    found = acme.launch(manifest)
    assert is_refused(
        found, Reason.ORGANISM_QUARANTINED, "reconciler was quarantined by an operator: odd transfers"
    )
    assert_sound(plane, acme)


def test_nobody_hands_authority_to_a_quarantined_agent(plane: Plane, acme: Tenancy) -> None:
    acme.ready("notifier", ["send:email"])
    parent = acme.started(acme.ready(delegate=["send:email"]), delegate_scope=("send:email",))
    acme.intervene_agent("notifier", "quarantine")
    found = acme.delegate(parent, make_manifest("notifier"), ["send:email"])
    assert is_refused(found, Reason.ORGANISM_QUARANTINED)
    assert_sound(plane, acme)


def test_a_release_ends_it_all(plane: Plane, acme: Tenancy, supervised: Agent, other: Agent) -> None:
    acme.intervene_agent(AGENT, "quarantine")
    acme.intervene_agent(AGENT, "release")
    assert states(acme, supervised, other) == [S.STOPPED, S.STOPPED]
    assert plane.read(lambda reader: reader.hold(acme.tenant_id, AGENT)) is None
    assert (dispatch(acme).state, [order.epoch for order in starts(acme)]) == ("open", [2])
    assert isinstance(acme.launch(make_manifest()), Agent)
    with fails(ConflictError, "nothing_to_release"):
        acme.intervene_agent(AGENT, "release")
    assert_sound(plane, acme)


def test_one_instance_of_a_quarantined_agent_is_not_released_alone(acme: Tenancy, supervised: Agent) -> None:
    acme.intervene_agent(AGENT, "quarantine")
    size = acme.size()
    with fails(ConflictError, "organism_quarantined"):
        acme.intervene(supervised.instance_id, "release")
    assert (acme.size(), starts(acme), states(acme, supervised)) == (size, [], [S.QUARANTINED])
    # To stop it is always possible.
    acme.intervene(supervised.instance_id, "stop")
    assert states(acme, supervised) == [S.STOPPED]


def test_a_stop_ends_instances_and_dispatches(
    plane: Plane, acme: Tenancy, supervised: Agent, other: Agent
) -> None:
    acme.intervene_agent(AGENT, "stop", "no more")
    assert states(acme, supervised, other) == [S.STOPPED, S.STOPPED]
    assert (dispatch(acme).state, dispatch(acme).state_reason) == (
        "cancelled",
        "stopped by an operator: no more",
    )
    assert len(acme.statements(Kind.DISPATCH_ENDED, DispatchEnd)) == 1
    with fails(ConflictError, "nothing_to_stop"):
        acme.intervene_agent(AGENT, "stop")
    assert_sound(plane, acme)


def test_a_stop_ends_a_dispatch_that_waits_for_its_start(acme: Tenancy) -> None:
    acme.ready()
    acme.dispatch()
    acme.intervene_agent(AGENT, "stop")
    assert (dispatch(acme).state, starts(acme)) == ("cancelled", [])


def test_a_redispatch_replaces_what_a_dispatch_can_start_again(
    plane: Plane, acme: Tenancy, supervised: Agent, other: Agent
) -> None:
    acme.intervene_agent(AGENT, "redispatch")
    assert states(acme, supervised, other) == [S.AUTOHEALING, S.RUNNING]
    with fails(ConflictError, "nothing_to_redispatch"):
        acme.intervene_agent(AGENT, "redispatch")
    assert_sound(plane, acme)


def test_only_an_agent_on_the_record_is_touched(acme: Tenancy, globex: Tenancy, supervised: Agent) -> None:
    with fails(NotFoundError, "agent_missing"):
        acme.intervene_agent("stranger", "stop")
    with fails(NotFoundError, "agent_missing"):
        globex.intervene_agent(AGENT, "stop")
    assert states(acme, supervised) == [S.RUNNING]


def test_an_intervention_names_one_target(acme: Tenancy, supervised: Agent) -> None:
    with fails(InvalidInputError, "target_malformed"):
        acme.intervene(supervised.instance_id, "stop", agent=AGENT)
    assert not acme.statements(Kind.INTERVENTION, Intervention)


# --- a dispatch -----------------------------------------------------------------------------------


def stop_dispatch(tenancy: Tenancy, dispatch_id: str, action: str = "stop") -> None:
    body = Intervention(
        tenant_id=tenancy.tenant_id, dispatch_id=dispatch_id, action=action, reason="test", at=tenancy.now
    )
    statement = tenancy.signed(INTERVENTION, body, None, {})
    tenancy.plane.write(lambda tx: intervene(tx, tenancy.issuer, tenancy.caller, statement))


def test_a_dispatch_is_stopped_with_or_without_an_instance(
    plane: Plane, acme: Tenancy, supervised: Agent
) -> None:
    dispatch_id = supervised.grant.instance.dispatch_id
    stop_dispatch(acme, dispatch_id)
    assert (states(acme, supervised), dispatch(acme).state) == ([S.STOPPED], "cancelled")
    with fails(ConflictError, "dispatch_ended"):
        stop_dispatch(acme, dispatch_id)
    waiting = acme.dispatch()
    stop_dispatch(acme, waiting)
    assert starts(acme) == []
    assert_sound(plane, acme)


def test_a_dispatch_can_only_be_stopped(acme: Tenancy, supervised: Agent) -> None:
    with fails(InvalidInputError, "intervention_unsuitable"):
        stop_dispatch(acme, supervised.grant.instance.dispatch_id, "release")
    with fails(NotFoundError, "dispatch_unknown"):
        stop_dispatch(acme, new_id(DISPATCH, 1))
