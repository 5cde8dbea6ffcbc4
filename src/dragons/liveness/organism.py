"""The organism state machine: one table of what may follow what, and the state a set of facts implies.

`derive` is pure. States change only along `TRANSITIONS`; `stopped` is terminal and `quarantined`
ends only by an operator.
"""

from __future__ import annotations

from typing import NamedTuple

from dragons.core.vocabulary import OrganismState

_S = OrganismState

TRANSITIONS: dict[OrganismState, frozenset[OrganismState]] = {
    _S.RUNNING: frozenset({_S.DEGRADED, _S.QUARANTINED, _S.STOPPED}),
    _S.DEGRADED: frozenset({_S.RUNNING, _S.AUTOHEALING, _S.QUARANTINED, _S.STOPPED}),
    _S.AUTOHEALING: frozenset({_S.RUNNING, _S.QUARANTINED, _S.STOPPED}),
    _S.QUARANTINED: frozenset({_S.STOPPED, _S.RUNNING}),
    _S.STOPPED: frozenset(),
}


class LivenessPolicy(NamedTuple):
    """Thresholds in milliseconds; the defaults are the product's."""

    degrade_after_ms: int = 30 * 60 * 1000
    autoheal_after_ms: int = 60 * 60 * 1000
    lease_grace_ms: int = 5 * 60 * 1000


class LivenessFacts(NamedTuple):
    """What is known of an instance; times are epoch milliseconds.

    `last_signal_ms` is the later of the last pulse and the launch.
    """

    state: OrganismState
    last_signal_ms: int
    lease_expires_ms: int
    released: bool


class Derived(NamedTuple):
    """The state that the facts imply, and why, in words for a person."""

    state: OrganismState
    reason: str


def derive(facts: LivenessFacts, policy: LivenessPolicy, now_ms: int) -> Derived:
    """The state that follows from `facts` at `now_ms`.

    Terminal and operator-held states stay. An expired lease degrades at once and stops the
    instance after the grace; silence degrades, then calls for healing.
    """
    if facts.state in {_S.STOPPED, _S.QUARANTINED, _S.AUTOHEALING}:
        return Derived(facts.state, "held until it is resolved")
    if facts.released:
        return Derived(_S.STOPPED, "the lease was given back")
    if now_ms >= facts.lease_expires_ms + policy.lease_grace_ms:
        return Derived(_S.STOPPED, "the lease expired and was not renewed within the grace")
    if now_ms >= facts.lease_expires_ms:
        return Derived(_S.DEGRADED, "the lease expired")
    silent_ms = now_ms - facts.last_signal_ms
    if silent_ms >= policy.autoheal_after_ms and facts.state is _S.DEGRADED:
        return Derived(_S.AUTOHEALING, f"silent for {silent_ms // 60_000} min")
    if silent_ms >= policy.degrade_after_ms:
        return Derived(_S.DEGRADED, f"silent for {silent_ms // 60_000} min")
    return Derived(_S.RUNNING, "heartbeat current, lease valid")


def may_follow(before: OrganismState, after: OrganismState) -> bool:
    """True when the table allows `after` directly after `before`."""
    return after in TRANSITIONS[before]
