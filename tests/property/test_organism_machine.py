"""A dispatch under random events, instance after instance: `step` alone, against what must hold of its commands.

The machine keeps what `step` is not told: since when the old instance can't act, how many starts wait to be
carried out, who ordered them.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dragons.core.vocabulary import OrganismState
from dragons.liveness.organism import (
    MOVES,
    Act,
    Beat,
    Ended,
    Enter,
    Event,
    Hold,
    IllegalMoveError,
    Kill,
    Now,
    Operated,
    Organism,
    Progressed,
    Renewed,
    Replaced,
    Revoked,
    Start,
    StartFailed,
    Tick,
    Trigger,
    Unhold,
    Withdraw,
    due_ms,
    step,
)
from dragons.liveness.policy import LivenessPolicy
from tests.property.builders import MINUTE_MS, NOW_MS

S, T = OrganismState, Trigger
LIVE = (S.RUNNING, S.DEGRADED)
LEASE_MS = 15 * MINUTE_MS
STEPS_MS = st.sampled_from(
    [0, 1, 1_000, 5_999, 6_000, MINUTE_MS, 5 * MINUTE_MS, 16 * MINUTE_MS, 31 * MINUTE_MS]
)
POLICIES = st.builds(
    LivenessPolicy()._replace,
    degrade_after_ms=st.sampled_from([MINUTE_MS, 30 * MINUTE_MS]),
    autoheal_after_ms=st.sampled_from([40 * MINUTE_MS, 60 * MINUTE_MS]),
    lease_grace_ms=st.sampled_from([1_000, 5 * MINUTE_MS]),
    restarts_max=st.integers(0, 3),
    restart_window_ms=st.sampled_from([20 * MINUTE_MS, 360 * MINUTE_MS]),
    progress_required=st.booleans(),
)


class OrganismMachine(RuleBasedStateMachine):
    """One dispatch; `organism` is its newest instance."""

    @initialize(policy=POLICIES)
    def begin(self, policy: LivenessPolicy) -> None:
        self.now_ms, self.policy = NOW_MS, policy
        self.held = self.over = self.operators = False
        # When the start that is open may be carried out, and when healing ordered one since the last release.
        self.start_ms: int | None = None
        self.healed: list[int] = []
        self.launch(())

    def launch(self, restarts: tuple[int, ...]) -> None:
        now_ms = self.now_ms
        self.organism = Organism(
            S.RUNNING, now_ms, now_ms, now_ms, now_ms + LEASE_MS, supervised=True, restarts=restarts
        )
        # Since when the instance can't act: its lease withdrawn and every view of that too old, or expired, or dead.
        self.harmless_ms = self.organism.lease_expires_ms
        self.triggers: list[Trigger] = []

    @property
    def now(self) -> Now:
        return Now(self.now_ms, self.policy)

    def happen(self, event: Event) -> None:
        before = self.organism
        done = step(before, event, self.now)
        self.organism = done.organism
        if isinstance(event, Ended):
            self.harmless_ms = min(self.harmless_ms, self.now_ms)
        for command in done.commands:
            if isinstance(command, Enter):
                assert MOVES[command.before, command.trigger] is command.after
                self.triggers.append(command.trigger)
            elif isinstance(command, Withdraw):
                self.harmless_ms = min(self.harmless_ms, self.now_ms + self.policy.fence_ms)
            elif isinstance(command, Kill):
                assert not self.organism.dead
            elif isinstance(command, Hold):
                self.held, self.start_ms = True, None
            elif isinstance(command, Unhold):
                self.held, self.healed = False, []
            elif isinstance(command, Start):
                self.ordered(command, event)
        if before.state not in LIVE:
            assert self.organism.state not in LIVE
        if before.state is S.QUARANTINED and self.organism.state is not S.QUARANTINED:
            assert isinstance(event, Operated)
        self.over = self.over or any(one in self.triggers for one in (T.ENDED, T.REVOKED, T.OPERATOR_STOPPED))

    def ordered(self, start: Start, event: Event) -> None:
        assert not self.held
        assert self.start_ms is None or isinstance(event, StartFailed | Operated)
        # Only when the old instance can't act any more, whatever it does.
        assert start.not_before_ms >= max(self.now_ms, self.harmless_ms)
        by_operator = isinstance(event, Operated) or (self.operators and not isinstance(event, StartFailed))
        if not by_operator:
            self.healed.append(self.now_ms)
            window_ms = self.now_ms - self.policy.restart_window_ms
            assert len([one for one in self.healed if one > window_ms]) <= self.policy.restarts_max
        self.start_ms, self.operators = start.not_before_ms, False

    # --- what happens -------------------------------------------------------------------------------

    @rule(step_ms=STEPS_MS, exactly=st.booleans())
    def pass_time(self, step_ms: int, *, exactly: bool) -> None:
        """Time passes; `exactly`, until something is due."""
        due = due_ms(self.organism, self.now)
        self.now_ms = max(self.now_ms, due) if exactly and due is not None else self.now_ms + step_ms
        self.happen(Tick())

    @rule(progress=st.booleans(), waits_ms=st.just(0) | STEPS_MS, step_ms=STEPS_MS)
    def beat(self, *, progress: bool, waits_ms: int, step_ms: int) -> None:
        self.now_ms += step_ms
        running = self.organism.state is S.RUNNING and self.now_ms < self.organism.lease_expires_ms
        self.happen(Beat(progress, self.now_ms + waits_ms if waits_ms else 0))
        assert not (running and progress) or self.organism.state is S.RUNNING

    @rule()
    def progress(self) -> None:
        self.happen(Progressed())

    @precondition(lambda self: self.organism.state in LIVE)
    @rule()
    def renew(self) -> None:
        lapsed_ms = self.now_ms - self.organism.lease_expires_ms
        if lapsed_ms < self.policy.lease_grace_ms:
            self.happen(Renewed(self.now_ms + LEASE_MS))
            self.harmless_ms = max(self.harmless_ms, self.now_ms + LEASE_MS)

    @rule(failed=st.sampled_from([True, True, False]))
    def end(self, *, failed: bool) -> None:
        self.happen(Ended(failed, "over"))

    @precondition(lambda self: self.start_ms is not None and self.start_ms <= self.now_ms)
    @rule(comes_about=st.booleans())
    def carry_out(self, *, comes_about: bool) -> None:
        """The start that is open is carried out, or can't be."""
        if comes_about:
            restarts = self.organism.restarts
            self.happen(Replaced(2))
            assert self.organism.state is S.STOPPED
            self.start_ms = None
            self.launch(restarts)
        elif self.organism.state is S.AUTOHEALING:
            self.happen(StartFailed("no program"))

    @rule(rarely=st.integers(0, 9))
    def revoke(self, rarely: int) -> None:
        if rarely == 0:
            self.happen(Revoked("dock:x"))

    @rule(
        act=st.sampled_from(
            [Act.QUARANTINE, Act.QUARANTINE, Act.RELEASE, Act.RELEASE, Act.RELEASE, Act.REDISPATCH]
        )
    )
    def operate(self, act: Act) -> None:
        before = self.organism
        try:
            self.happen(Operated(act, "test"))
        except IllegalMoveError:
            assert self.organism == before
            return
        self.operators = act is Act.REDISPATCH

    @rule(rarely=st.integers(0, 9))
    def stop(self, rarely: int) -> None:
        if rarely == 0 and self.organism.state is not S.STOPPED:
            self.happen(Operated(Act.STOP, "test"))

    # --- what holds -----------------------------------------------------------------------------------

    @invariant()
    def nothing_starts_beside_what_may_act(self) -> None:
        if self.start_ms is not None:
            assert self.organism.state not in LIVE
            assert self.start_ms >= self.harmless_ms

    @invariant()
    def what_is_being_healed_is_waited_for(self) -> None:
        """Nothing is forgotten: what is away waits for a fence, a start, a person, or is over."""
        if self.organism.state is S.AUTOHEALING:
            assert self.start_ms is not None or due_ms(self.organism, self.now) is not None
        if self.organism.state is S.QUARANTINED:
            assert self.held
        if self.organism.state is S.STOPPED:
            assert self.over or self.start_ms is not None
        if self.organism.state in LIVE:
            assert due_ms(self.organism, self.now) is not None


TestOrganismMachine = OrganismMachine.TestCase
TestOrganismMachine.settings = settings(stateful_step_count=50, deadline=None)
