"""States along the table, whoever isolates whom, and when the next instance may begin."""

from __future__ import annotations

from itertools import product

import pytest
from msgspec import UNSET

from dragons.audit.organisms import ACTS, BY_A_PERSON, ENDED_STATES, Organisms
from dragons.core.clock import format_time
from dragons.core.vocabulary import OrganismState
from dragons.evidence.receipt import Axes, Intervention, Transition
from dragons.liveness.organism import MOVES, Trigger
from tests.property.builders import NOW_MS, make_lease, name

S, T = OrganismState, Trigger
FIRST = make_lease()
SECOND = make_lease(instance_id="2" * 32, lease_id=name("lse", 2), epoch=2)
AT = format_time(NOW_MS)


@pytest.fixture
def organisms() -> Organisms:
    made = Organisms()
    made.launched(FIRST)
    return made


def move(organisms: Organisms, before: S, trigger: str, after: S, at: str = AT) -> str:
    body = Transition(
        tenant_id=FIRST.tenant_id, instance_id=FIRST.instance_id, before=before, after=after, trigger=trigger,
        reason="x", at=AT, axes=Axes(lease_expires_at=AT, policy_version=0), dispatch_id=FIRST.dispatch_id,
    )  # fmt: skip
    return (organisms.admit_transition(body, at) or "").partition(":")[0]


def act(
    organisms: Organisms, action: str, *, instance_id: str = "", agent: str = "", dispatch_id: str = ""
) -> str:
    body = Intervention(
        tenant_id=FIRST.tenant_id, action=action, reason="x", at=AT, instance_id=instance_id or UNSET,
        agent=agent or UNSET, dispatch_id=dispatch_id or UNSET,
    )  # fmt: skip
    return (organisms.admit_intervention(body) or "").partition(":")[0]


@pytest.mark.parametrize(("before", "trigger"), [*product(S, T)])
def test_a_state_changes_along_the_table_or_not_at_all(before: S, trigger: T) -> None:
    for after in S:
        organisms = Organisms()
        organisms.launched(FIRST)
        organisms.known[FIRST.instance_id].state = before
        if trigger in BY_A_PERSON:
            act(organisms, BY_A_PERSON[trigger], instance_id=FIRST.instance_id)
        legal = MOVES.get((before, trigger)) is after
        assert move(organisms, before, trigger, after) == ("" if legal else "state_illegal")
        assert organisms.known[FIRST.instance_id].state is (after if legal else before)


def test_a_move_begins_where_the_last_one_ended(organisms: Organisms) -> None:
    assert move(organisms, S.DEGRADED, T.RECOVERED, S.RUNNING) == "state_illegal"
    assert move(organisms, S.RUNNING, T.STALLED, S.DEGRADED) == ""
    assert move(organisms, S.RUNNING, T.STALLED, S.DEGRADED) == "state_illegal"


def test_the_first_halt_counts(organisms: Organisms) -> None:
    assert move(organisms, S.RUNNING, T.CRASHED, S.AUTOHEALING) == ""
    assert move(organisms, S.AUTOHEALING, T.REPLACED, S.STOPPED, format_time(NOW_MS + 1)) == ""
    assert organisms.halted == {FIRST.instance_id: (ENDED_STATES[S.AUTOHEALING], AT)}


@pytest.mark.parametrize(("trigger", "action"), sorted(BY_A_PERSON.items()))
def test_a_persons_move_needs_that_persons_act_since_the_state_began(
    organisms: Organisms, trigger: str, action: str
) -> None:
    before = S.QUARANTINED if trigger == T.OPERATOR_RELEASED else S.DEGRADED
    organisms.known[FIRST.instance_id].state = before
    after = MOVES[before, T(trigger)]
    for other in ACTS - {action}:
        act(organisms, other, instance_id=FIRST.instance_id)
    act(organisms, action, agent="somebody-else")
    assert move(organisms, before, trigger, after) == "intervention_missing"
    act(organisms, action, agent=FIRST.agent)
    assert move(organisms, before, trigger, after) == ""
    assert organisms.known[FIRST.instance_id].acts == frozenset()


def test_an_act_names_one_thing_that_is_there(organisms: Organisms) -> None:
    assert act(organisms, "stop") == "intervention_invalid"
    assert act(organisms, "stop", instance_id=FIRST.instance_id, agent=FIRST.agent) == "intervention_invalid"
    assert act(organisms, "scold", agent=FIRST.agent) == "intervention_invalid"
    assert act(organisms, "stop", instance_id="f" * 32) == "lease_missing"
    assert act(organisms, "stop", agent="nobody-yet") == ""


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (S.RUNNING, "holder_active"),
        (S.DEGRADED, "holder_active"),
        (S.QUARANTINED, "organism_quarantined"),
        (S.AUTOHEALING, ""),
    ],
)
def test_the_next_instance_waits_for_the_one_before(organisms: Organisms, state: S, code: str) -> None:
    organisms.known[FIRST.instance_id].state = state
    assert (organisms.refuse_launch(SECOND) or "").partition(":")[0] == code
    assert organisms.refuse_launch(make_lease(instance_id="3" * 32, dispatch_id=name("dsp", 9))) is None


def test_an_older_instance_than_the_last_counts_too(organisms: Organisms) -> None:
    move(organisms, S.RUNNING, T.CRASHED, S.AUTOHEALING)
    organisms.launched(SECOND)
    organisms.known[SECOND.instance_id].state = S.AUTOHEALING
    assert organisms.refuse_successor(FIRST.dispatch_id) is None
    move(organisms, S.AUTOHEALING, T.FLAPPING, S.QUARANTINED)
    assert str(organisms.refuse_successor(FIRST.dispatch_id)).startswith("organism_quarantined")


def test_an_instance_begins_once(organisms: Organisms) -> None:
    move(organisms, S.RUNNING, T.ENDED, S.STOPPED)
    assert organisms.refuse_successor(FIRST.dispatch_id) is None
    assert str(organisms.refuse_launch(FIRST)).startswith("instance_mismatch")


def test_a_dispatch_is_stopped_and_nothing_else(organisms: Organisms) -> None:
    assert act(organisms, "quarantine", dispatch_id=FIRST.dispatch_id) == "intervention_invalid"
    assert act(organisms, "stop", dispatch_id=name("dsp", 9)) == ""
    assert move(organisms, S.RUNNING, T.OPERATOR_STOPPED, S.STOPPED) == "intervention_missing"
    assert act(organisms, "stop", dispatch_id=FIRST.dispatch_id) == ""
    assert move(organisms, S.RUNNING, T.OPERATOR_STOPPED, S.STOPPED) == ""


def test_an_agent_is_held_until_it_is_released(organisms: Organisms) -> None:
    elsewhere = make_lease(instance_id="3" * 32, dispatch_id=name("dsp", 9))
    act(organisms, "quarantine", agent=FIRST.agent)
    act(organisms, "release", agent="somebody-else")
    act(organisms, "release", instance_id=FIRST.instance_id)
    assert str(organisms.refuse_launch(elsewhere)).startswith("organism_quarantined")
    act(organisms, "release", agent=FIRST.agent)
    assert organisms.refuse_launch(elsewhere) is None
