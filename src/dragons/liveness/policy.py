"""The liveness policy of an agent: when silence counts, how healing is tried, and when it is given up.

A policy is a statement that an operator signs; the newest of an agent's own counts, else the newest
for `*`, else the product's defaults. Decisions use milliseconds (`LivenessPolicy`).
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from dragons.core.canonical import Document
from dragons.core.clock import Timestamp
from dragons.core.errors import InvalidInputError
from dragons.core.ids import Id

POLICY = "liveness-policy"
# The name under which a policy is published for every agent that has none of its own.
EVERY_AGENT = "*"

Seconds = Annotated[int, msgspec.Meta(ge=1, le=30 * 24 * 3600)]
Source = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z-]{0,31}$(?!\n)")]


class Policy(Document):
    """Signed by an operator. `version` counts from 1 for each agent without gaps.

    `progress_sources` are the observations that count as verified progress; an agent's own claim is
    never among them. With `progress_required` false a pulse is enough. `restarts_max` restarts
    within `restart_window_seconds` are tried before quarantine; the first follows at once, later
    ones after a pause that doubles from `backoff_first_seconds` to `backoff_longest_seconds`.
    """

    tenant_id: Id
    agent: Annotated[str, msgspec.Meta(pattern=r"^(\*|[a-z][a-z0-9-]{0,62})$(?!\n)")]
    version: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    degrade_after_seconds: Seconds
    autoheal_after_seconds: Seconds
    lease_grace_seconds: Seconds
    heal_timeout_seconds: Seconds
    waiting_max_seconds: Seconds
    restarts_max: Annotated[int, msgspec.Meta(ge=0, le=1_000)]
    restart_window_seconds: Seconds
    backoff_first_seconds: Seconds
    backoff_longest_seconds: Seconds
    progress_required: bool
    progress_sources: Annotated[list[Source], msgspec.Meta(max_length=16)]
    published_at: Timestamp


class LivenessPolicy(NamedTuple):
    """Thresholds in milliseconds; the defaults are the product's. Version 0 is these defaults.

    `fence_ms` is how long an instance that nobody can reach may still act after its lease was revoked:
    its view of the revocations is refused when it is older than that.
    """

    version: int = 0
    degrade_after_ms: int = 30 * 60 * 1000
    autoheal_after_ms: int = 60 * 60 * 1000
    lease_grace_ms: int = 5 * 60 * 1000
    heal_timeout_ms: int = 5 * 60 * 1000
    waiting_max_ms: int = 24 * 3600 * 1000
    restarts_max: int = 3
    restart_window_ms: int = 6 * 3600 * 1000
    backoff_first_ms: int = 10_000
    backoff_longest_ms: int = 30 * 60 * 1000
    progress_required: bool = True
    progress_sources: frozenset[str] = frozenset({"receipts", "output", "files", "boundary"})
    fence_ms: int = 6_000


def check_policy(body: Policy) -> Policy:
    """`body` itself; InvalidInputError when its thresholds contradict each other."""
    wrong = ""
    if body.autoheal_after_seconds <= body.degrade_after_seconds:
        wrong = "autoheal_after_seconds is not later than degrade_after_seconds"
    elif body.backoff_longest_seconds < body.backoff_first_seconds:
        wrong = "backoff_longest_seconds is less than backoff_first_seconds"
    elif body.progress_required and not body.progress_sources:
        wrong = "progress is required but no source of it counts"
    elif "claim" in body.progress_sources:
        wrong = "an agent's own claim is no evidence of progress"
    if wrong:
        raise InvalidInputError("policy_invalid", f"The policy contradicts itself: {wrong}.")
    return body


def thresholds(body: Policy) -> LivenessPolicy:
    """A published policy as decisions use it."""
    return LivenessPolicy(
        version=body.version,
        degrade_after_ms=body.degrade_after_seconds * 1000,
        autoheal_after_ms=body.autoheal_after_seconds * 1000,
        lease_grace_ms=body.lease_grace_seconds * 1000,
        heal_timeout_ms=body.heal_timeout_seconds * 1000,
        waiting_max_ms=body.waiting_max_seconds * 1000,
        restarts_max=body.restarts_max,
        restart_window_ms=body.restart_window_seconds * 1000,
        backoff_first_ms=body.backoff_first_seconds * 1000,
        backoff_longest_ms=body.backoff_longest_seconds * 1000,
        progress_required=body.progress_required,
        progress_sources=frozenset(body.progress_sources),
    )


def backoff_ms(policy: LivenessPolicy, restarts: int) -> int:
    """How long to wait before the next start when `restarts` were made within the window."""
    if restarts == 0:
        return 0
    return int(min(policy.backoff_longest_ms, policy.backoff_first_ms << min(restarts - 1, 30)))
