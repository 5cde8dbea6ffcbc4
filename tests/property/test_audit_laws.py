"""Whatever `step` decides the verifier accepts, and nothing else: one table, judged from two sides."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dragons.audit.organisms import ENDED_STATES, Organisms
from dragons.core.clock import format_time
from dragons.core.vocabulary import OrganismState
from dragons.evidence.receipt import Axes, Intervention, Transition
from dragons.liveness import organism as rules
from dragons.liveness.organism import Act, Enter, Event, IllegalMoveError, Now, Operated, Organism, step
from dragons.liveness.policy import LivenessPolicy
from tests.property.builders import MINUTE_MS, NOW_MS, make_lease

LEASE = make_lease()
AT = format_time(NOW_MS)
EVENTS = st.one_of(
    st.just(rules.Tick()),
    st.builds(rules.Beat, progress=st.booleans()),
    st.just(rules.Progressed()),
    st.builds(rules.Ended, failed=st.booleans(), detail=st.just("x")),
    st.just(rules.Revoked("dock:x")),
    st.just(rules.Replaced(2)),
    st.just(rules.StartFailed("x")),
    st.builds(Operated, act=st.sampled_from(Act), reason=st.just("x")),
)
HISTORIES = st.lists(
    st.tuples(EVENTS, st.sampled_from([0, 6_000, 20 * MINUTE_MS, 45 * MINUTE_MS])), max_size=12
)
LIVES = st.builds(
    Organism,
    state=st.just(OrganismState.RUNNING),
    pulse_ms=st.just(NOW_MS),
    progress_ms=st.just(NOW_MS),
    owed_ms=st.just(NOW_MS),
    lease_expires_ms=st.sampled_from([NOW_MS + 15 * MINUTE_MS, NOW_MS + 10_000 * MINUTE_MS]),
    supervised=st.booleans(),
    restarts=st.sampled_from([(), (NOW_MS, NOW_MS, NOW_MS)]),
)


def told(move: Enter) -> Transition:
    return Transition(
        tenant_id=LEASE.tenant_id, instance_id=LEASE.instance_id, before=move.before, after=move.after,
        trigger=move.trigger.value, reason=move.reason, at=AT, axes=Axes(lease_expires_at=AT, policy_version=0),
        dispatch_id=LEASE.dispatch_id,
    )  # fmt: skip


def signed(event: Event) -> Intervention | None:
    if not isinstance(event, Operated):
        return None
    return Intervention(
        tenant_id=LEASE.tenant_id,
        action=event.act.value,
        reason=event.reason,
        at=AT,
        instance_id=LEASE.instance_id,
    )


def is_accepted(organisms: Organisms, move: Enter) -> bool:
    return organisms.admit_transition(told(move), AT) is None


@given(life=LIVES, history=HISTORIES)
def test_every_life_is_one_that_the_verifier_accepts(
    life: Organism, history: list[tuple[Event, int]]
) -> None:
    organisms, now_ms = Organisms(), NOW_MS
    organisms.launched(LEASE)
    for event, wait_ms in history:
        now_ms += wait_ms
        try:
            done = step(life, event, Now(now_ms, LivenessPolicy()))
        except IllegalMoveError:
            continue
        if (statement := signed(event)) is not None:
            assert organisms.admit_intervention(statement) is None
        life = done.organism
        for move in done.commands:
            if isinstance(move, Enter):
                assert is_accepted(organisms, move)
        assert organisms.known[LEASE.instance_id].state is life.state
        assert (LEASE.instance_id in organisms.halted) is (life.state in ENDED_STATES)
        successor = replace(LEASE, instance_id="2" * 32, epoch=LEASE.epoch + 1)
        may_follow = life.state in {OrganismState.AUTOHEALING, OrganismState.STOPPED}
        assert (organisms.refuse_launch(successor) is None) is may_follow


@given(
    moves=st.lists(
        st.builds(
            Enter,
            before=st.sampled_from(OrganismState),
            after=st.sampled_from(OrganismState),
            trigger=st.sampled_from(rules.Trigger),
            reason=st.just("x"),
        ),
        max_size=20,
    )
)
def test_made_up_moves_bring_nobody_back(moves: list[Enter]) -> None:
    """Without a person's signature: whatever is told, who was halted stays so, and a quarantine does not end."""
    organisms = Organisms()
    organisms.launched(LEASE)
    for move in moves:
        before = organisms.known[LEASE.instance_id].state
        accepted = is_accepted(organisms, move)
        after = organisms.known[LEASE.instance_id].state
        assert accepted or after is before
        if before is OrganismState.QUARANTINED:
            assert after is before
        if before in ENDED_STATES:
            assert after in ENDED_STATES
