"""What a playbook's run does next. Pure: an event and a time in, the new state and commands out.

One table says which event means what in which phase; what it doesn't name changes nothing. Never starts
a service that runs, never restarts more often in a row than the playbook allows, never ends twice.
Times are milliseconds of a clock that doesn't jump.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from dragons.node.playbook.format import Playbook, Restart

# Before a step that was put off is tried again, at least.
AGAIN_MS = 1_000


class Phase(StrEnum):
    """Where a run is. `HALTING` ends a service that never became ready, `STOPPING` one that was told to end."""

    IDLE = "idle"
    RUNNING = "running"
    HALTING = "halting"
    DIAGNOSING = "diagnosing"
    WAITING = "waiting"
    REPORTING = "reporting"
    NOTIFYING = "notifying"
    STOPPING = "stopping"
    ENDED = "ended"


class Ending(StrEnum):
    """How a run ended: the service did, it could not be kept up, somebody ended it, or its authority was gone."""

    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    UNAUTHORIZED = "unauthorized"


@dataclass(frozen=True, slots=True)
class RunState:
    """`attempts` are restarts since it last ran well; `well_since_ms` and `due_ms` are -1 when there is none."""

    phase: Phase = Phase.IDLE
    attempts: int = 0
    starts: int = 0
    well_since_ms: int = -1
    due_ms: int = -1
    ending: Ending | None = None
    why: str = ""


# --- what happened -------------------------------------------------------------------------------


class Begin(NamedTuple):
    """The run's session is open."""


class BecameReady(NamedTuple):
    """The service runs and, where the playbook asks for it, answers."""


class NotReady(NamedTuple):
    """The service runs but did not answer in time."""


class ServiceEnded(NamedTuple):
    """`is_success` says whether it ended by itself with exit status 0."""

    is_success: bool


class Diagnosed(NamedTuple):
    """The crash was looked at; `retry` says whether a restart can help."""

    retry: bool


class Reported(NamedTuple):
    """The postmortem is written."""


class Notified(NamedTuple):
    """The notifier has ended, whatever it achieved."""


class Denied(NamedTuple):
    """A step was denied; one that `passes` is worth another try."""

    reason: str
    passes: bool


class StopAsked(NamedTuple):
    """Somebody wants the run to end."""

    why: str


class AuthorityLost(NamedTuple):
    """The runner's lease is over."""

    reason: str


class Tick(NamedTuple):
    """Time passed."""


Event = (
    Begin | BecameReady | NotReady | ServiceEnded | Diagnosed | Reported | Notified
    | Denied | StopAsked | AuthorityLost | Tick
)  # fmt: skip


# --- what to do ----------------------------------------------------------------------------------


class StartService(NamedTuple):
    """`attempt` 0 is the first start, 1 the first restart."""

    attempt: int
    waited_ms: int = 0


class StopService(NamedTuple):
    """Ask it to end, and make it end when the grace is over."""


class Diagnose(NamedTuple):
    """Collect logs and find the cause."""


class Wait(NamedTuple):
    """Nothing is done before `until_ms`."""

    until_ms: int


class RecordRecovery(NamedTuple):
    """It ran well for long enough; `attempts` restarts are forgotten."""

    attempts: int


class WritePostmortem(NamedTuple):
    """Write down what happened."""


class Notify(NamedTuple):
    """Let the notifier tell everyone."""


class Finish(NamedTuple):
    """Close the session."""

    ending: Ending
    why: str


Command = (
    StartService | StopService | Diagnose | Wait | RecordRecovery | WritePostmortem | Notify | Finish
)  # fmt: skip


class Step(NamedTuple):
    """The state after an event, and what to do in this order."""

    state: RunState
    commands: tuple[Command, ...] = ()


def step(state: RunState, event: Event, playbook: Playbook, now_ms: int) -> Step:
    """What `event` means at `now_ms`."""
    rule = TABLE.get((state.phase, type(event)))
    return Step(state) if rule is None else rule(state, event, playbook, now_ms)


def pause_ms(attempts: int, restart: Restart) -> int:
    """How long to wait before the next restart: doubled for each that was made, up to the longest."""
    first, longest = restart.backoff_first_seconds, restart.backoff_longest_seconds
    # Doubling more often would overflow before it mattered.
    return int(1000 * min(longest, first * 2 ** min(attempts, 40)))


# --- the rules -----------------------------------------------------------------------------------


def _begin(state: RunState, _event: Event, _playbook: Playbook, _now_ms: int) -> Step:
    return Step(replace(state, phase=Phase.RUNNING, starts=1), (StartService(0),))


def _well(state: RunState, _event: Event, _playbook: Playbook, now_ms: int) -> Step:
    return Step(replace(state, well_since_ms=now_ms) if state.well_since_ms < 0 else state)


def _not_ready(state: RunState, _event: Event, _playbook: Playbook, _now_ms: int) -> Step:
    return Step(replace(state, phase=Phase.HALTING), (StopService(),))


def _ended(state: RunState, event: Event, playbook: Playbook, now_ms: int) -> Step:
    assert isinstance(event, ServiceEnded)  # noqa: S101 - by the table
    state, commands = _forget(state, playbook, now_ms)
    if event.is_success and state.phase is Phase.RUNNING:
        return _finish(state, Ending.COMPLETED, "", *commands)
    crashed = replace(state, phase=Phase.DIAGNOSING, well_since_ms=-1)
    return Step(crashed, (*commands, Diagnose()))


def _recover(state: RunState, _event: Event, playbook: Playbook, now_ms: int) -> Step:
    return _forget(state, playbook, now_ms)


def _diagnosed(state: RunState, event: Event, playbook: Playbook, now_ms: int) -> Step:
    assert isinstance(event, Diagnosed)  # noqa: S101 - by the table, or made above it
    if event.retry and state.attempts < playbook.restart.attempts:
        due_ms = now_ms + pause_ms(state.attempts, playbook.restart)
        return Step(replace(state, phase=Phase.WAITING, due_ms=due_ms), (Wait(due_ms),))
    why = "a restart can't help" if not event.retry else f"{state.attempts} restarts did not help"
    return Step(replace(state, phase=Phase.REPORTING, due_ms=-1, why=why), (WritePostmortem(),))


def _again(state: RunState, _event: Event, playbook: Playbook, now_ms: int) -> Step:
    """Do what was put off, once its time has come."""
    if state.due_ms < 0 or now_ms < state.due_ms:
        return Step(state)
    ready = replace(state, due_ms=-1)
    if state.phase in _PUT_OFF:
        return Step(ready, (_PUT_OFF[state.phase],))
    attempt = state.attempts + 1
    started = replace(ready, phase=Phase.RUNNING, attempts=attempt, starts=state.starts + 1)
    return Step(started, (StartService(attempt, pause_ms(state.attempts, playbook.restart)),))


def _start_denied(state: RunState, event: Event, playbook: Playbook, now_ms: int) -> Step:
    assert isinstance(event, Denied)  # noqa: S101 - by the table
    if not state.attempts:
        return _finish(state, Ending.UNAUTHORIZED, event.reason)
    if event.passes:
        # It was not started: the attempt does not count.
        due_ms = now_ms + pause_ms(state.attempts - 1, playbook.restart)
        undone = replace(
            state, phase=Phase.WAITING, attempts=state.attempts - 1, starts=state.starts - 1, due_ms=due_ms
        )
        return Step(undone, (Wait(due_ms),))
    why = f"the restart was denied: {event.reason}"
    given_up = replace(state, phase=Phase.REPORTING, starts=state.starts - 1, why=why)
    return Step(given_up, (WritePostmortem(),))


def _diagnosis_denied(state: RunState, event: Event, playbook: Playbook, now_ms: int) -> Step:
    put_off = _put_off(state, event, playbook, now_ms)
    # Without a diagnosis it is not known that a restart can't help.
    return put_off or _diagnosed(state, Diagnosed(retry=True), playbook, now_ms)


def _report_denied(state: RunState, event: Event, playbook: Playbook, now_ms: int) -> Step:
    put_off = _put_off(state, event, playbook, now_ms)
    # Whoever is on call learns of the crash, also where nothing may be written.
    return put_off or _reported(state, event, playbook, now_ms)


def _notice_denied(state: RunState, event: Event, playbook: Playbook, now_ms: int) -> Step:
    return _put_off(state, event, playbook, now_ms) or _notified(state, event, playbook, now_ms)


def _put_off(state: RunState, event: Event, playbook: Playbook, now_ms: int) -> Step | None:
    """Try the same again in a moment, where a moment may end the denial."""
    assert isinstance(event, Denied)  # noqa: S101 - by the table
    if not event.passes:
        return None
    due_ms = now_ms + max(AGAIN_MS, pause_ms(0, playbook.restart))
    return Step(replace(state, due_ms=due_ms), (Wait(due_ms),))


def _reported(state: RunState, _event: Event, playbook: Playbook, _now_ms: int) -> Step:
    if playbook.notify:
        return Step(replace(state, phase=Phase.NOTIFYING, due_ms=-1), (Notify(),))
    return _finish(state, Ending.FAILED, state.why)


def _notified(state: RunState, _event: Event, _playbook: Playbook, _now_ms: int) -> Step:
    return _finish(state, Ending.FAILED, state.why)


def _give_up(state: RunState, _event: Event, _playbook: Playbook, _now_ms: int) -> Step:
    return _finish(state, Ending.FAILED, state.why)


def _stop(state: RunState, event: Event, _playbook: Playbook, _now_ms: int) -> Step:
    ending, why = _told(event)
    return Step(replace(state, phase=Phase.STOPPING, ending=ending, why=why), (StopService(),))


def _stop_harder(state: RunState, event: Event, _playbook: Playbook, _now_ms: int) -> Step:
    ending, why = _told(event)
    if ending is Ending.STOPPED:
        # Asked for twice: somebody does not want to wait for the grace.
        return Step(state, (StopService(),))
    return Step(replace(state, ending=ending, why=why))


def _stop_now(state: RunState, event: Event, _playbook: Playbook, _now_ms: int) -> Step:
    return _finish(state, *_told(event))


def _stopped(state: RunState, _event: Event, _playbook: Playbook, _now_ms: int) -> Step:
    return _finish(state, state.ending or Ending.STOPPED, state.why)


def _told(event: Event) -> tuple[Ending, str]:
    if isinstance(event, AuthorityLost):
        return Ending.UNAUTHORIZED, event.reason
    assert isinstance(event, StopAsked)  # noqa: S101 - by the table
    return Ending.STOPPED, event.why


def _forget(state: RunState, playbook: Playbook, now_ms: int) -> Step:
    """Attempts are forgotten once the service has run well for long enough."""
    long_ms = int(playbook.restart.reset_after_seconds * 1000)
    if state.phase is not Phase.RUNNING or not state.attempts or state.well_since_ms < 0:
        return Step(state)
    if now_ms - state.well_since_ms < long_ms:
        return Step(state)
    return Step(replace(state, attempts=0), (RecordRecovery(state.attempts),))


def _finish(state: RunState, ending: Ending, why: str, *before: Command) -> Step:
    over = replace(state, phase=Phase.ENDED, ending=ending, why=why, due_ms=-1, well_since_ms=-1)
    return Step(over, (*before, Finish(ending, why)))


# What is done again in these phases when it was put off.
_PUT_OFF: dict[Phase, Command] = {
    Phase.DIAGNOSING: Diagnose(),
    Phase.REPORTING: WritePostmortem(),
    Phase.NOTIFYING: Notify(),
}

_Rule = Callable[[RunState, Event, Playbook, int], Step]

TABLE: dict[tuple[Phase, type[Event]], _Rule] = {
    (Phase.IDLE, Begin): _begin,
    (Phase.IDLE, StopAsked): _stop_now,
    (Phase.IDLE, AuthorityLost): _stop_now,
    (Phase.RUNNING, BecameReady): _well,
    (Phase.RUNNING, NotReady): _not_ready,
    (Phase.RUNNING, ServiceEnded): _ended,
    (Phase.RUNNING, Denied): _start_denied,
    (Phase.RUNNING, Tick): _recover,
    (Phase.RUNNING, StopAsked): _stop,
    (Phase.RUNNING, AuthorityLost): _stop,
    (Phase.HALTING, ServiceEnded): _ended,
    (Phase.HALTING, StopAsked): _stop,
    (Phase.HALTING, AuthorityLost): _stop,
    (Phase.DIAGNOSING, Diagnosed): _diagnosed,
    (Phase.DIAGNOSING, Denied): _diagnosis_denied,
    (Phase.DIAGNOSING, Tick): _again,
    (Phase.DIAGNOSING, StopAsked): _stop_now,
    (Phase.DIAGNOSING, AuthorityLost): _stop_now,
    (Phase.WAITING, Tick): _again,
    (Phase.WAITING, StopAsked): _stop_now,
    (Phase.WAITING, AuthorityLost): _stop_now,
    (Phase.REPORTING, Reported): _reported,
    (Phase.REPORTING, Denied): _report_denied,
    (Phase.REPORTING, Tick): _again,
    (Phase.REPORTING, StopAsked): _give_up,
    (Phase.REPORTING, AuthorityLost): _stop_now,
    (Phase.NOTIFYING, Notified): _notified,
    (Phase.NOTIFYING, Denied): _notice_denied,
    (Phase.NOTIFYING, Tick): _again,
    (Phase.NOTIFYING, StopAsked): _give_up,
    (Phase.NOTIFYING, AuthorityLost): _stop_now,
    (Phase.STOPPING, ServiceEnded): _stopped,
    (Phase.STOPPING, StopAsked): _stop_harder,
    (Phase.STOPPING, AuthorityLost): _stop_harder,
}
