"""What an instance does in the background, and when: refresh, renew, beat, send. A schedule, no threads.

A chore that fails is repeated soon and never stops the others; what it leaves stale denies by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dragons.core.clock import Clock
from dragons.core.errors import DragonsError
from dragons.core.ids import new_jitter
from dragons.sdk.instance import Instance
from dragons.sdk.steps import Steps

VIEW_MS = 1_000
WATCH_MS = 2_000
SEND_IDLE_MS = 5_000
RETRY_FIRST_MS = 250
RETRY_LONGEST_MS = 5_000
# A view that is not refreshed for 5 s denies everything, so its retries stay close together.
VIEW_RETRY_LONGEST_MS = 1_000

REFRESH = "refresh"
RENEW = "renew"
BEAT = "beat"
SEND = "send"
WATCH = "watch"


@dataclass(slots=True)
class Chore:
    """Something to do again and again; `delay_ms` says how long after its success.

    `ends` says of a failure that there is no use in trying again. `again` is set when the chore was wanted
    while it was being done: what it did may be from before the wish.
    """

    name: str
    steps: Callable[[], Steps[object]]
    delay_ms: Callable[[], int]
    retry_longest_ms: int = RETRY_LONGEST_MS
    ends: Callable[[DragonsError], bool] = lambda _: False
    due_ms: int = 0
    failures: int = 0
    again: bool = False
    error: DragonsError | None = None


@dataclass(slots=True)
class Upkeep:
    """The chores of one instance by CLOCK_BOOTTIME."""

    clock: Clock
    chores: list[Chore] = field(default_factory=list)

    def add(self, chore: Chore, first_ms: int) -> None:
        """Take in a chore whose first time is in `first_ms`."""
        chore.due_ms = self.clock.boot_ms() + first_ms
        self.chores.append(chore)

    def due(self) -> Chore | None:
        """The chore to do now: its time has come longest ago. None when there is none."""
        now_ms = self.clock.boot_ms()
        chosen = min(
            (chore for chore in self.chores if chore.due_ms <= now_ms),
            key=lambda one: one.due_ms,
            default=None,
        )
        if chosen is not None:
            chosen.again = False
        return chosen

    def wait_s(self) -> float:
        """Seconds until the next chore is due."""
        next_ms = min((chore.due_ms for chore in self.chores), default=self.clock.boot_ms() + SEND_IDLE_MS)
        return max(0, next_ms - self.clock.boot_ms()) / 1000

    def done(self, chore: Chore, error: DragonsError | None) -> None:
        """Plan the chore's next time after it went well, or failed with `error`."""
        chore.error = error
        if error is not None and chore.ends(error):
            self.chores.remove(chore)
            return
        if error is None:
            chore.failures = 0
            delay_ms = 0.0 if chore.again else float(chore.delay_ms())
        else:
            chore.failures += 1
            step = RETRY_FIRST_MS * 2 ** min(chore.failures - 1, 10)
            delay_ms = min(chore.retry_longest_ms, step) * (1 + 0.2 * new_jitter())
        chore.due_ms = self.clock.boot_ms() + round(delay_ms)

    def hasten(self, name: str) -> None:
        """Do a chore next, unless it just failed and waits before it tries again."""
        for chore in self.chores:
            if chore.name == name and not chore.failures:
                chore.due_ms = min(chore.due_ms, self.clock.boot_ms())
                chore.again = True


def upkeep_of(instance: Instance, *, sends: bool = True) -> Upkeep:
    """The chores of an instance: all of them where its lease is kept, else only view and sending."""
    upkeep = Upkeep(instance.place.clock)
    refresh = Chore(REFRESH, instance.refresh_steps, lambda: _about(VIEW_MS, 0.2), VIEW_RETRY_LONGEST_MS)
    upkeep.add(refresh, VIEW_MS)
    watch = Chore(WATCH, instance.watch_steps, lambda: _about(WATCH_MS, 0.2))
    upkeep.add(watch, WATCH_MS)
    if sends:
        upkeep.add(Chore(SEND, instance.send_steps, lambda: SEND_IDLE_MS), SEND_IDLE_MS)
    if instance.keeps:
        renewal = Chore(
            RENEW, instance.renew_steps, lambda: _until_renewal(instance), ends=instance.ends_renewal
        )
        upkeep.add(renewal, _until_renewal(instance))
        beat = Chore(BEAT, instance.beat_steps, lambda: _about(instance.interval_seconds * 1000, 0.1))
        upkeep.add(beat, 0)
    return upkeep


def _until_renewal(instance: Instance) -> int:
    # A lease that its parent or dock cuts short is not renewed without pause.
    return max(RETRY_FIRST_MS, instance.renew_due_ms() - instance.place.clock.boot_ms())


def _about(ms: int, share: float) -> int:
    return round(ms * (1 + share * new_jitter()))
