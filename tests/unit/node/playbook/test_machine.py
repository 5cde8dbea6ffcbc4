from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dragons.node.playbook import machine
from dragons.node.playbook.format import Channel, Playbook, Restart, Service
from dragons.node.playbook.machine import Command, Ending, Event, Phase, RunState, Step, pause_ms, step

START = RunState()
GUIDE = Path(__file__).resolve().parents[4] / "docs" / "playbooks.md"
EVENTS: list[Event] = [
    machine.Begin(),
    machine.BecameReady(),
    machine.NotReady(),
    machine.ServiceEnded(is_success=True),
    machine.ServiceEnded(is_success=False),
    machine.Diagnosed(retry=True),
    machine.Diagnosed(retry=False),
    machine.Reported(),
    machine.Notified(),
    machine.Denied("capability_not_leased", passes=False),
    machine.Denied("authority_stale", passes=True),
    machine.StopAsked("SIGTERM"),
    machine.AuthorityLost("lease_revoked"),
    machine.Tick(),
]


def book(attempts: int = 2, *, notify: bool = True, **restart: float) -> Playbook:
    return Playbook(
        version=1,
        service=Service(command=["true"]),
        restart=Restart(attempts=attempts, **restart),
        notify=[Channel(channel="slack")] if notify else [],
    )


def play(playbook: Playbook, *events: tuple[Event, int]) -> tuple[RunState, list[Command]]:
    """The state after events at times in seconds, and all commands."""
    state, commands = START, []
    for event, seconds in events:
        state, found = step(state, event, playbook, seconds * 1000)
        commands += found
    return state, commands


CRASH = machine.ServiceEnded(is_success=False)
BEGIN, READY, TICK = machine.Begin(), machine.BecameReady(), machine.Tick()
RETRY = machine.Diagnosed(retry=True)


def test_a_service_that_ends_well_is_left_alone() -> None:
    state, commands = play(book(), (BEGIN, 0), (READY, 0), (machine.ServiceEnded(is_success=True), 5))
    assert state.phase is Phase.ENDED
    assert commands == [machine.StartService(0), machine.Finish(Ending.COMPLETED, "")]


def test_a_crash_is_diagnosed_then_restarted_after_its_pause() -> None:
    state, commands = play(book(), (BEGIN, 0), (CRASH, 1), (RETRY, 1), (TICK, 1), (TICK, 2))
    assert state.phase is Phase.RUNNING
    assert commands == [
        machine.StartService(0),
        machine.Diagnose(),
        machine.Wait(2000),
        machine.StartService(1, 1000),
    ]


def test_when_restarts_do_not_help_it_is_reported_and_told() -> None:
    state, commands = play(
        book(1), (BEGIN, 0), (CRASH, 1), (RETRY, 1), (TICK, 3), (CRASH, 4), (RETRY, 4),
        (machine.Reported(), 4), (machine.Notified(), 5),
    )  # fmt: skip
    assert commands[-3:] == [
        machine.WritePostmortem(),
        machine.Notify(),
        machine.Finish(Ending.FAILED, "1 restarts did not help"),
    ]
    assert state.ending is Ending.FAILED


def test_a_hopeless_crash_is_not_restarted() -> None:
    state, commands = play(book(9), (BEGIN, 0), (CRASH, 1), (machine.Diagnosed(retry=False), 1))
    assert commands[-1] == machine.WritePostmortem()
    assert state.why == "a restart can't help"


@pytest.mark.parametrize(
    ("before", "command"),
    [
        ((), machine.Diagnose()),
        (((machine.Diagnosed(retry=False), 1),), machine.WritePostmortem()),
        (((machine.Diagnosed(retry=False), 1), (machine.Reported(), 1)), machine.Notify()),
    ],
)
def test_what_a_moment_may_end_is_done_again(before: tuple[tuple[Event, int], ...], command: Command) -> None:
    stale = machine.Denied("authority_stale", passes=True)
    state, commands = play(book(), (BEGIN, 0), (CRASH, 1), *before, (stale, 1), (TICK, 1), (TICK, 2))
    assert commands[-2:] == [machine.Wait(2000), command]
    final = machine.Denied("capability_not_leased", passes=False)
    ended, _ = play(book(), (BEGIN, 0), (CRASH, 1), *before, (final, 1))
    assert ended.phase is not state.phase
    stopped, _ = play(book(), (BEGIN, 0), (CRASH, 1), *before, (stale, 1), (machine.StopAsked("SIGINT"), 1))
    assert stopped.ending is (Ending.FAILED if before else Ending.STOPPED)


def test_who_ran_well_for_long_enough_starts_anew() -> None:
    playbook = book(1, reset_after_seconds=10)
    once = ((BEGIN, 0), (CRASH, 1), (RETRY, 1), (TICK, 3), (READY, 4))
    state, commands = play(playbook, *once, (TICK, 13))
    assert state.attempts == 1
    state, commands = play(playbook, *once, (TICK, 14), (CRASH, 15), (RETRY, 15))
    assert machine.RecordRecovery(1) in commands
    assert state.phase is Phase.WAITING
    # Also where no tick came in between.
    state, commands = play(playbook, *once, (CRASH, 14), (RETRY, 14))
    assert machine.RecordRecovery(1) in commands
    assert state.phase is Phase.WAITING


def test_one_that_never_became_ready_is_ended_and_counts_as_crashed() -> None:
    state, commands = play(
        book(), (BEGIN, 0), (machine.NotReady(), 30), (machine.ServiceEnded(is_success=True), 31)
    )
    assert commands[1:] == [machine.StopService(), machine.Diagnose()]
    assert state.phase is Phase.DIAGNOSING


@pytest.mark.parametrize(
    ("event", "ending"),
    [
        (machine.StopAsked("SIGTERM"), Ending.STOPPED),
        (machine.AuthorityLost("lease_revoked"), Ending.UNAUTHORIZED),
    ],
)
def test_a_run_can_be_ended(event: Event, ending: Ending) -> None:
    state, commands = play(book(), (BEGIN, 0), (event, 1))
    assert (state.phase, commands[-1]) == (Phase.STOPPING, machine.StopService())
    state, commands = play(book(), (BEGIN, 0), (event, 1), (CRASH, 2))
    assert commands[-1] == machine.Finish(ending, event[0])
    # While it waits for the next restart there is nothing to stop.
    state, commands = play(book(), (BEGIN, 0), (CRASH, 1), (RETRY, 1), (event, 1))
    assert commands[-1] == machine.Finish(ending, event[0])


def test_a_second_request_does_not_wait_for_the_grace() -> None:
    stop = machine.StopAsked("SIGINT")
    _, commands = play(book(), (BEGIN, 0), (stop, 1), (stop, 2))
    assert commands[1:] == [machine.StopService(), machine.StopService()]


def test_a_denied_start_ends_and_a_denied_restart_is_reported() -> None:
    denied = machine.Denied("capability_not_leased", passes=False)
    state, _ = play(book(), (BEGIN, 0), (denied, 0))
    assert state.ending is Ending.UNAUTHORIZED
    state, commands = play(book(), (BEGIN, 0), (CRASH, 1), (RETRY, 1), (TICK, 3), (denied, 3))
    assert commands[-1] == machine.WritePostmortem()
    assert "capability_not_leased" in state.why


def test_a_denial_that_passes_costs_no_attempt() -> None:
    stale = machine.Denied("authority_stale", passes=True)
    state, commands = play(book(1), (BEGIN, 0), (CRASH, 1), (RETRY, 1), (TICK, 3), (stale, 3))
    assert (state.phase, state.attempts) == (Phase.WAITING, 0)
    state, commands = step(state, TICK, book(1), 60_000)
    assert commands == (machine.StartService(1, 1000),)


def test_a_postmortem_is_tried_again_or_left_out_but_everyone_is_told() -> None:
    given_up = ((BEGIN, 0), (CRASH, 1), (machine.Diagnosed(retry=False), 1))
    stale = machine.Denied("authority_stale", passes=True)
    state, commands = play(book(), *given_up, (stale, 1), (TICK, 9))
    assert commands[-2:] == [machine.Wait(2000), machine.WritePostmortem()]
    state, commands = play(book(), *given_up, (machine.Denied("capability_not_leased", passes=False), 1))
    assert commands[-1] == machine.Notify()
    assert state.phase is Phase.NOTIFYING
    state, _ = play(book(notify=False), *given_up, (machine.Reported(), 1))
    assert state.ending is Ending.FAILED


@given(st.integers(0, 10_000), st.floats(0, 86_400), st.floats(0, 86_400))
def test_pauses_double_and_have_a_longest(attempts: int, first: float, more: float) -> None:
    longest = min(86_400.0, first + more)
    restart = Restart(backoff_first_seconds=first, backoff_longest_seconds=longest)
    assert 0 <= pause_ms(attempts, restart) <= int(longest * 1000)
    assert pause_ms(attempts, restart) <= pause_ms(attempts + 1, restart)


class AnyRun(RuleBasedStateMachine):
    """Any events in any order: what a run never does, whatever happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.book = book(2, reset_after_seconds=10)
        self.state, self.now_ms = START, 0
        self.runs = False
        self.in_a_row = 0
        self.undiagnosed = 0
        self.finished = 0
        self.reported = False

    def take(self, event: Event) -> None:
        before = self.state
        self.state, commands = step(self.state, event, self.book, self.now_ms)
        if before.phase is Phase.ENDED:
            assert Step(self.state, commands) == Step(before)
        for command in commands:
            self.carry_out(command)

    def carry_out(self, command: Command) -> None:
        assert not self.finished
        if isinstance(command, machine.StartService):
            assert not self.runs
            assert not self.undiagnosed
            self.runs = True
            self.in_a_row = command.attempt
            assert self.in_a_row <= self.book.restart.attempts
        elif isinstance(command, machine.Diagnose):
            assert not self.runs
            self.undiagnosed = 1
        elif isinstance(command, machine.Wait):
            assert self.now_ms <= command.until_ms <= self.now_ms + 60_000
        elif isinstance(command, machine.WritePostmortem):
            assert not self.runs
            self.reported = True
        elif isinstance(command, machine.Notify):
            assert self.reported
        elif isinstance(command, machine.Finish):
            assert not self.runs
            self.finished += 1

    @rule()
    def begin(self) -> None:
        self.take(machine.Begin())

    @rule(ms=st.integers(0, 20_000))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms
        self.take(machine.Tick())

    @precondition(lambda self: self.runs)
    @rule(is_success=st.booleans())
    def the_service_ends(self, is_success: bool) -> None:
        self.runs = False
        self.take(machine.ServiceEnded(is_success))

    @precondition(lambda self: self.runs)
    @rule(passes=st.booleans())
    def the_start_was_denied(self, passes: bool) -> None:
        if self.state.phase is Phase.RUNNING and self.state.well_since_ms < 0:
            self.runs = False
            self.take(machine.Denied("authority_stale", passes))

    @precondition(lambda self: self.runs)
    @rule(is_ready=st.booleans())
    def it_was_probed(self, is_ready: bool) -> None:
        self.take(machine.BecameReady() if is_ready else machine.NotReady())

    @precondition(lambda self: self.undiagnosed)
    @rule(retry=st.booleans())
    def it_was_diagnosed(self, retry: bool) -> None:
        self.undiagnosed = 0
        self.take(machine.Diagnosed(retry))

    @rule(passes=st.booleans())
    def a_step_was_denied(self, passes: bool) -> None:
        if self.state.phase in {Phase.DIAGNOSING, Phase.REPORTING, Phase.NOTIFYING} and self.state.due_ms < 0:
            self.undiagnosed = self.undiagnosed if passes else 0
            self.take(machine.Denied("authority_stale", passes))

    @rule(event=st.sampled_from([one for one in EVENTS if not isinstance(one, machine.ServiceEnded)]))
    def late_news(self, event: Event) -> None:
        if not isinstance(event, machine.Diagnosed | machine.Denied):
            self.take(event)

    @invariant()
    def an_end_is_one_and_has_its_reason(self) -> None:
        assert (self.finished == 1) == (self.state.phase is Phase.ENDED)
        if self.state.phase is Phase.ENDED:
            assert self.state.ending is not None

    @invariant()
    def who_runs_is_in_a_phase_of_running(self) -> None:
        if self.runs:
            assert self.state.phase in {Phase.RUNNING, Phase.HALTING, Phase.STOPPING}


TestAnyRun = AnyRun.TestCase


def moves() -> set[str]:
    """Every move between phases that some event causes in some state."""
    found: dict[tuple[str, str], set[str]] = {}
    for phase, event, attempts, notify, due_ms in product(Phase, EVENTS, (0, 1, 9), (True, False), (-1, 0)):
        state = RunState(phase=phase, attempts=attempts, due_ms=due_ms)
        after = step(state, event, book(notify=notify), 10_000_000)[0].phase
        if after is not phase:
            found.setdefault((phase.value, after.value), set()).add(type(event).__name__)
    return {f"{a} --> {b}: {', '.join(sorted(events))}" for (a, b), events in found.items()}


def test_the_guide_s_diagram_is_the_machine() -> None:
    drawn = re.search(r"^```mermaid\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert drawn is not None
    assert {line.strip() for line in drawn[1].splitlines() if ": " in line} == moves()


@given(st.sampled_from(list(Phase)), st.sampled_from(EVENTS), st.integers(0, 3), st.integers(-1, 10))
def test_every_event_has_an_answer_in_every_phase(
    phase: Phase, event: Event, attempts: int, due_ms: int
) -> None:
    state = RunState(phase=phase, attempts=attempts, due_ms=due_ms)
    after, commands = step(state, event, book(), 5)
    if (phase, type(event)) not in machine.TABLE:
        assert (after, commands) == (state, ())
