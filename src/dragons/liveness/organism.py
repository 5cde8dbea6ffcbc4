"""The organism state machine: one table of moves, and `step`, which alone decides them.

`step(organism, event, now) -> organism, commands` is pure; whoever calls it carries the commands out in
the transaction that stores the organism. `stopped` is terminal, `quarantined` ends only by an operator,
and an instance that is healed never comes back: its work goes on in another one with the next epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from dragons.core.vocabulary import OrganismState
from dragons.liveness.outages import Outage, away_ms, elapsed_ms
from dragons.liveness.policy import LivenessPolicy, backoff_ms

_S = OrganismState


class Trigger(StrEnum):
    """Why an organism moves. Stable: receipts carry these."""

    STALLED = "stalled"
    LEASE_EXPIRED = "lease_expired"
    RECOVERED = "recovered"
    STALL_CONFIRMED = "stall_confirmed"
    LEASE_LAPSED = "lease_lapsed"
    LEASE_LOST = "lease_lost"
    CRASHED = "crashed"
    ENDED = "ended"
    REVOKED = "revoked"
    REPLACED = "replaced"
    REDISPATCHED = "redispatched_by_operator"
    FLAPPING = "flapping"
    UNSUPERVISED = "unsupervised"
    OPERATOR_QUARANTINED = "quarantined_by_operator"
    OPERATOR_STOPPED = "stopped_by_operator"
    OPERATOR_RELEASED = "released_by_operator"


_T = Trigger
_LIVE = (_S.RUNNING, _S.DEGRADED)
_HEALABLE = (*_LIVE, _S.AUTOHEALING)

# The one table. What is not here can't happen.
MOVES: MappingProxyType[tuple[OrganismState, Trigger], OrganismState] = MappingProxyType(
    {
        (_S.RUNNING, _T.STALLED): _S.DEGRADED,
        (_S.RUNNING, _T.LEASE_EXPIRED): _S.DEGRADED,
        (_S.DEGRADED, _T.RECOVERED): _S.RUNNING,
        (_S.DEGRADED, _T.STALL_CONFIRMED): _S.AUTOHEALING,
        **{(state, _T.LEASE_LOST): _S.AUTOHEALING for state in _LIVE},
        **{(state, _T.CRASHED): _S.AUTOHEALING for state in _LIVE},
        **{(state, _T.REDISPATCHED): _S.AUTOHEALING for state in _LIVE},
        (_S.AUTOHEALING, _T.FLAPPING): _S.QUARANTINED,
        (_S.AUTOHEALING, _T.UNSUPERVISED): _S.QUARANTINED,
        **{(state, _T.OPERATOR_QUARANTINED): _S.QUARANTINED for state in _HEALABLE},
        **{(state, _T.LEASE_LAPSED): _S.STOPPED for state in _LIVE},
        **{(state, _T.ENDED): _S.STOPPED for state in _LIVE},
        **{(state, _T.REVOKED): _S.STOPPED for state in _HEALABLE},
        **{(state, _T.REPLACED): _S.STOPPED for state in _HEALABLE},
        **{(state, _T.OPERATOR_STOPPED): _S.STOPPED for state in (*_HEALABLE, _S.QUARANTINED)},
        (_S.QUARANTINED, _T.OPERATOR_RELEASED): _S.STOPPED,
    }
)


class Organism(NamedTuple):
    """What is known of an instance; times are epoch milliseconds.

    `pulse_ms` is the last heartbeat or the launch, `progress_ms` the last verified progress or the
    launch. `owed_ms` is since when the next progress is owed: since the last, or since the end of a
    declared waiting, which may lie ahead. `supervised`
    says that a dispatch can start another instance; `restarts` are the times at which it did since an
    operator last released it. `dead` says that the program is known to be over; `fenced` that the old
    instance can't act any more, whatever it does; `fence_ms` when that is so at the latest.
    """

    state: OrganismState
    pulse_ms: int
    progress_ms: int
    owed_ms: int
    lease_expires_ms: int
    supervised: bool = False
    restarts: tuple[int, ...] = ()
    dead: bool = False
    fenced: bool = False
    fence_ms: int = 0


class Now(NamedTuple):
    """The time, the agent's policy, and when the control plane itself was away."""

    now_ms: int
    policy: LivenessPolicy
    outages: Sequence[Outage] = ()


# --- events: what may happen to an organism ---------------------------------------------------------


class Tick(NamedTuple):
    """Time has passed."""


class Beat(NamedTuple):
    """A heartbeat was accepted. `waiting_until_ms` is 0 unless the instance declared that it waits."""

    progress: bool
    waiting_until_ms: int = 0


class Progressed(NamedTuple):
    """Progress was verified without a heartbeat: by a receipt, or at the boundary."""


class Renewed(NamedTuple):
    """The lease was extended."""

    expires_ms: int


class Ended(NamedTuple):
    """The program is over. `failed` when it did not say itself that its work is done."""

    failed: bool
    detail: str


class Revoked(NamedTuple):
    """A person revoked something on the lease's path."""

    entry: str


class Replaced(NamedTuple):
    """A newer instance of the dispatch holds a lease."""

    epoch: int


class StartFailed(NamedTuple):
    """The start that healing ordered did not come about."""

    detail: str


class Act(StrEnum):
    """What an operator may do to an instance."""

    STOP = "stop"
    QUARANTINE = "quarantine"
    RELEASE = "release"
    REDISPATCH = "redispatch"


class Operated(NamedTuple):
    """An operator laid hand on the instance."""

    act: Act
    reason: str


Event = Tick | Beat | Progressed | Renewed | Ended | Revoked | Replaced | StartFailed | Operated


# --- commands: what follows -------------------------------------------------------------------------


class Enter(NamedTuple):
    """Move along the table, on the record."""

    before: OrganismState
    after: OrganismState
    trigger: Trigger
    reason: str


class Withdraw(NamedTuple):
    """Revoke the instance's lease."""

    reason: str


class Kill(NamedTuple):
    """Have the program ended where it runs."""


class Start(NamedTuple):
    """Have the next instance started, not before a time."""

    not_before_ms: int
    reason: str


class Hold(NamedTuple):
    """Let nothing of the dispatch be started until an operator releases it."""

    reason: str


class Unhold(NamedTuple):
    """Let the dispatch go on; its restarts are forgotten."""


class Escalate(NamedTuple):
    """Tell a person."""

    reason: str


class EndDispatch(NamedTuple):
    """The dispatch is over: `completed` or `cancelled`."""

    outcome: str
    reason: str


Command = Enter | Withdraw | Kill | Start | Hold | Unhold | Escalate | EndDispatch


class Step(NamedTuple):
    """The organism after an event, and what has to be done, in this order."""

    organism: Organism
    commands: tuple[Command, ...] = ()


class IllegalMoveError(Exception):
    """The event can't happen in this state; nothing was changed."""

    def __init__(self, state: OrganismState, what: str) -> None:
        super().__init__(f"{what} can't happen to an organism that is {state.value}")
        self.state, self.what = state, what


def step(organism: Organism, event: Event, now: Now) -> Step:
    """What `event` makes of `organism`; IllegalMoveError for an operator's act that can't be carried out.

    What comes too late for a state to matter, such as a heartbeat of a stopped instance, changes nothing.
    """
    if organism.state is _S.STOPPED:
        if isinstance(event, Operated):
            raise IllegalMoveError(organism.state, event.act.value)
        return Step(organism)
    if isinstance(event, Operated):
        return _operated(organism, event, now)
    if isinstance(event, Replaced):
        return _replaced(organism, event)
    if isinstance(event, Revoked):
        return _revoked(organism, event)
    if isinstance(event, Ended):
        return _ended(organism, event, now)
    if organism.state is _S.AUTOHEALING:
        return _healing(organism, event, now)
    if organism.state is _S.QUARANTINED:
        return Step(organism)
    return _settle(_take(organism, event, now), now)


def due_ms(organism: Organism, now: Now) -> int | None:
    """When time alone may change the organism next; None when it can't."""
    policy, outages = now.policy, now.outages
    if organism.state is _S.AUTOHEALING:
        return None if organism.fenced else organism.fence_ms
    if organism.state not in _LIVE:
        return None

    def after(since_ms: int, wait_ms: int) -> int:
        return since_ms + wait_ms + away_ms(outages, since_ms, now.now_ms)

    running = organism.state is _S.RUNNING
    if not running and now.now_ms >= organism.lease_expires_ms:
        return after(organism.lease_expires_ms, policy.lease_grace_ms)
    wait_ms = policy.degrade_after_ms if running else policy.autoheal_after_ms
    times = [after(organism.pulse_ms, wait_ms)]
    if policy.progress_required:
        times.append(after(organism.owed_ms, wait_ms))
    if running:
        times.append(organism.lease_expires_ms)
    else:
        times.append(after(organism.lease_expires_ms, policy.lease_grace_ms))
    return min(times)


def recent_restarts(restarts: Sequence[int], policy: LivenessPolicy, now_ms: int) -> int:
    """How many of `restarts` lie within the policy's window."""
    return sum(1 for at_ms in restarts if now_ms - at_ms < policy.restart_window_ms)


# --- what the events do -----------------------------------------------------------------------------


def _take(organism: Organism, event: Event, now: Now) -> Organism:
    """Take in a signal of a live organism."""
    if isinstance(event, Renewed):
        return organism._replace(lease_expires_ms=event.expires_ms)
    if isinstance(event, Progressed):
        return organism._replace(progress_ms=now.now_ms, owed_ms=max(now.now_ms, organism.owed_ms))
    if isinstance(event, Beat):
        progress_ms = now.now_ms if event.progress else organism.progress_ms
        owed_ms = now.now_ms if event.progress else min(organism.owed_ms, now.now_ms)
        if event.waiting_until_ms > now.now_ms:
            longest_ms = progress_ms + now.policy.waiting_max_ms
            owed_ms = max(owed_ms, min(event.waiting_until_ms, longest_ms))
        return organism._replace(pulse_ms=now.now_ms, progress_ms=progress_ms, owed_ms=owed_ms)
    return organism


class Stall(NamedTuple):
    """How long the worse of pulse and progress has been missing, and what to say of it."""

    silent_ms: int
    what: str


def stall_of(organism: Organism, now: Now) -> Stall:
    """The longer silence: of the pulse, or of verified progress where the policy asks for it."""
    pulse_ms = elapsed_ms(now.outages, organism.pulse_ms, now.now_ms)
    owed_ms = elapsed_ms(now.outages, organism.owed_ms, now.now_ms)
    if now.policy.progress_required and owed_ms > pulse_ms:
        return Stall(owed_ms, f"no verified progress for {_span(owed_ms)}")
    return Stall(pulse_ms, f"no heartbeat for {_span(pulse_ms)}")


def _settle(organism: Organism, now: Now) -> Step:
    """What the facts and the time make of a running or degraded organism."""
    policy = now.policy
    if now.now_ms >= organism.lease_expires_ms:
        lapsed_ms = elapsed_ms(now.outages, organism.lease_expires_ms, now.now_ms)
        if lapsed_ms >= policy.lease_grace_ms:
            why = f"the lease expired and was not renewed within {_span(policy.lease_grace_ms)}"
            if organism.supervised:
                return _heal(organism._replace(fenced=True), _T.LEASE_LOST, why, now)
            return _move(organism, _T.LEASE_LAPSED, why)
        if organism.state is _S.RUNNING:
            return _move(organism, _T.LEASE_EXPIRED, "the lease expired")
        return Step(organism)
    stall = stall_of(organism, now)
    if organism.state is _S.RUNNING:
        if stall.silent_ms >= policy.degrade_after_ms:
            return _move(organism, _T.STALLED, stall.what)
        return Step(organism)
    if stall.silent_ms >= policy.autoheal_after_ms:
        return _heal(organism, _T.STALL_CONFIRMED, stall.what, now)
    if stall.silent_ms < policy.degrade_after_ms:
        return _move(organism, _T.RECOVERED, "heartbeat current, progress verified, lease valid")
    return Step(organism)


def _heal(organism: Organism, trigger: Trigger, why: str, now: Now) -> Step:
    """Take the old instance out of service; then start another, or give up."""
    entered = _move(organism, trigger, why)
    out = (*entered.commands, Withdraw(why)) + (() if organism.dead else (Kill(),))
    healing = _fencing(entered.organism, now)
    if not organism.supervised:
        return _give_up(Step(healing, out), _T.UNSUPERVISED, "nothing can start it again: it has no dispatch")
    recent = recent_restarts(organism.restarts, now.policy, now.now_ms)
    if trigger is not _T.REDISPATCHED and recent >= now.policy.restarts_max:
        return _give_up(Step(healing, out), _T.FLAPPING, _flapping(recent, now.policy))
    if healing.dead or healing.fenced:
        return _start(Step(healing, out), why, now)
    return Step(healing, out)


def _fencing(organism: Organism, now: Now) -> Organism:
    """The organism from the moment on at which its lease is withdrawn."""
    if organism.dead or organism.fenced or organism.fence_ms:
        return organism
    return organism._replace(fence_ms=now.now_ms + now.policy.fence_ms)


def _healing(organism: Organism, event: Event, now: Now) -> Step:
    """An organism that is being healed: wait until the old instance can't act, then start the new one."""
    if isinstance(event, StartFailed):
        recent = recent_restarts(organism.restarts, now.policy, now.now_ms)
        if recent >= now.policy.restarts_max:
            return _give_up(
                Step(organism), _T.FLAPPING, f"{_flapping(recent, now.policy)}; the last: {event.detail}"
            )
        return _start(Step(organism), event.detail, now)
    if isinstance(event, Tick) and not organism.fenced and now.now_ms >= organism.fence_ms:
        return _start(Step(organism), "the old instance is fenced", now)
    return Step(organism)


def _start(before: Step, why: str, now: Now) -> Step:
    organism = before.organism
    recent = recent_restarts(organism.restarts, now.policy, now.now_ms)
    not_before_ms = now.now_ms + backoff_ms(now.policy, recent)
    if not (organism.dead or organism.fenced):
        # A person's release may come before the old instance is fenced.
        not_before_ms = max(not_before_ms, organism.fence_ms)
    start = Start(not_before_ms, why)
    kept = tuple(at_ms for at_ms in organism.restarts if now.now_ms - at_ms < now.policy.restart_window_ms)
    after = organism._replace(fenced=True, restarts=(*kept, now.now_ms))
    return Step(after, (*before.commands, start))


def _give_up(before: Step, trigger: Trigger, why: str) -> Step:
    moved = _move(before.organism, trigger, why)
    return Step(moved.organism, (*before.commands, *moved.commands, Hold(why), Escalate(why)))


def _ended(organism: Organism, event: Ended, now: Now) -> Step:
    dead = organism._replace(dead=True)
    if organism.state is _S.AUTOHEALING:
        return Step(dead) if organism.fenced else _start(Step(dead), event.detail, now)
    if organism.state is _S.QUARANTINED:
        return Step(dead)
    if event.failed and organism.supervised:
        return _heal(dead._replace(fenced=True), _T.CRASHED, event.detail, now)
    over = _move(dead, _T.ENDED, event.detail)
    if organism.supervised:
        return Step(over.organism, (*over.commands, EndDispatch("completed", event.detail)))
    return over


def _replaced(organism: Organism, event: Replaced) -> Step:
    if organism.state is _S.QUARANTINED:
        return Step(organism)
    return _move(organism, _T.REPLACED, f"replaced by epoch {event.epoch}")


def _revoked(organism: Organism, event: Revoked) -> Step:
    if organism.state is _S.QUARANTINED:
        return Step(organism)
    why = f"revoked: {event.entry}"
    moved = _move(organism, _T.REVOKED, why)
    commands: tuple[Command, ...] = moved.commands + (() if organism.dead else (Kill(),))
    if organism.supervised:
        commands = (*commands, EndDispatch("cancelled", why))
    return Step(moved.organism, commands)


def _operated(organism: Organism, event: Operated, now: Now) -> Step:
    kill: tuple[Command, ...] = () if organism.dead else (Kill(),)
    if event.act is Act.STOP:
        why = f"stopped by an operator: {event.reason}"
        moved = _move(organism, _T.OPERATOR_STOPPED, why)
        ended = (EndDispatch("cancelled", why),) if organism.supervised else ()
        return Step(moved.organism, (*moved.commands, *kill, *ended))
    if event.act is Act.QUARANTINE:
        why = f"quarantined by an operator: {event.reason}"
        moved = _move(organism, _T.OPERATOR_QUARANTINED, why)
        isolated = _fencing(moved.organism, now)
        return Step(isolated, (*moved.commands, Withdraw(why), *kill, Hold(why)))
    if event.act is Act.RELEASE:
        moved = _move(organism, _T.OPERATOR_RELEASED, f"released by an operator: {event.reason}")
        released = Step(moved.organism._replace(restarts=()), (*moved.commands, Unhold()))
        return _start(released, event.reason, now) if organism.supervised else released
    if not organism.supervised:
        raise IllegalMoveError(organism.state, "a redispatch without a dispatch")
    return _heal(organism, _T.REDISPATCHED, f"redispatched by an operator: {event.reason}", now)


def _move(organism: Organism, trigger: Trigger, reason: str) -> Step:
    after = MOVES.get((organism.state, trigger))
    if after is None:
        raise IllegalMoveError(organism.state, trigger.value)
    return Step(organism._replace(state=after), (Enter(organism.state, after, trigger, reason),))


def _flapping(restarts: int, policy: LivenessPolicy) -> str:
    return f"{restarts} restarts within {_span(policy.restart_window_ms)}"


def _span(ms: int) -> str:
    minutes = ms // 60_000
    return f"{minutes} min" if minutes else f"{ms // 1000} s"
