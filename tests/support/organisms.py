"""Organisms to start from, and what the commands of a step are."""

from __future__ import annotations

from typing import Any

from dragons.core.vocabulary import OrganismState
from dragons.liveness.organism import (
    Act,
    Command,
    Ended,
    Enter,
    Now,
    Operated,
    Organism,
    Start,
    Step,
    Tick,
    Trigger,
)
from dragons.liveness.outages import Outage
from dragons.liveness.policy import LivenessPolicy

MINUTE_MS = 60_000
NOW_MS = 1_800_000_000_000
FAR_MS = NOW_MS + 100_000 * MINUTE_MS
POLICY = LivenessPolicy()
FENCE_MS = POLICY.fence_ms
TICK = Tick()
CRASH = Ended(failed=True, detail="exit status 1")


def organism(**changes: Any) -> Organism:
    return Organism(OrganismState.RUNNING, NOW_MS, NOW_MS, NOW_MS, FAR_MS, supervised=True)._replace(
        **changes
    )


def at(
    after_ms: int = 0, *, policy: LivenessPolicy = POLICY, outages: tuple[Outage, ...] = (), **changes: Any
) -> Now:
    return Now(NOW_MS + after_ms, policy._replace(**changes), outages)


def operated(act: Act) -> Operated:
    return Operated(act, "test")


def entered(done: Step) -> list[tuple[Trigger, OrganismState]]:
    return [(one.trigger, one.after) for one in done.commands if isinstance(one, Enter)]


def kinds(done: Step) -> list[type[Command]]:
    return [type(one) for one in done.commands]


def started(done: Step) -> Start:
    (start,) = [one for one in done.commands if isinstance(one, Start)]
    return start
