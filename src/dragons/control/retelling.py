"""Statements in words: a sentence and the facts of it, for each document that an incident can hold.

Words are for people; whoever decides something reads the statement itself. Nothing is said that the
document does not state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from dragons.authority.dock import Dock
from dragons.authority.lease import Lease, Release
from dragons.authority.revocation import Revocation, Withdrawal
from dragons.core.canonical import Document
from dragons.evidence import receipt
from dragons.evidence.receipt import Header
from dragons.identity.records import Activation, Registration, version_name
from dragons.liveness.dispatch import Dispatch
from dragons.liveness.policy import Policy

Fact = str | int | bool
Retold = tuple[str, Mapping[str, Fact]]


def retell(body: Document, header: Header) -> Retold:
    """What `body` says; a document that has no sentence of its own is named."""
    tell = _TELLERS.get(type(body))
    what, facts = (type(body).__name__, {}) if tell is None else tell(body)
    if header.late is True:
        what, facts = f"{what} (reported late)", {**facts, "late": True}
    return what, facts


def _registration(body: Registration) -> Retold:
    name = version_name(body.manifest.agent, body.version)
    return f"{name} was registered", {"manifest_hash": body.manifest_hash, "files": len(body.manifest.code)}


def _activation(body: Activation) -> Retold:
    return f"{version_name(body.agent, body.version)} was activated", _given(reason=body.reason)


def _dock(body: Dock) -> Retold:
    scope = " · ".join(body.scope)
    return f"{body.agent} was docked up to {scope}", {
        "dock_id": body.dock_id,
        "ttl_seconds_max": body.ttl_seconds_max,
        "instances_max": body.instances_max,
    }


def _policy(body: Policy) -> Retold:
    return f"liveness policy version {body.version} of {body.agent}", {
        "degrade_after_seconds": body.degrade_after_seconds,
        "autoheal_after_seconds": body.autoheal_after_seconds,
        "restarts_max": body.restarts_max,
        "restart_window_seconds": body.restart_window_seconds,
    }


def _dispatch(body: Dispatch) -> Retold:
    return f"work of {body.agent} was ordered on {body.dispatcher} {body.target}", {
        "dispatch_id": body.dispatch_id,
        "goal_hash": body.goal_hash,
        "spec_hash": body.spec_hash,
    }


def _lease(body: Lease) -> Retold:
    name = version_name(body.agent, body.version)
    if body.serial:
        return f"the lease was renewed until {body.expires_at}", {"serial": body.serial}
    return f"{name} got a lease until {body.expires_at}, authorized by {body.authorized_by}", {
        "lease_id": body.lease_id,
        "epoch": body.epoch,
        "scope": " · ".join(body.scope),
        "dock_id": body.dock_id,
        "manifest_hash": body.manifest_hash,
        "dispatch_id": body.dispatch_id,
    }


def _release(body: Release) -> Retold:
    facts = _given(**{name: getattr(body, name, msgspec.UNSET) for name in ("outcome", "detail")})
    return "the lease was given back", facts


def _session(body: receipt.Session) -> Retold:
    return "a session was opened for a goal", {
        "session_id": body.session_id,
        "goal_hash": body.payload_hash,
        "scope": " · ".join(body.scope),
    }


def _closing(body: receipt.Closing) -> Retold:
    return f"the session ended: {body.outcome.value}", {"session_id": body.session_id}


def _decision(body: receipt.Decision) -> Retold:
    return f"{body.action} was authorized", {
        "decision_id": body.decision_id,
        **_given(step_key=body.step_key),
    }


def _claim(body: receipt.Claim) -> Retold:
    times = f" {body.count} times" if isinstance(body.count, int) else ""
    facts: dict[str, Fact] = {
        "session_id": body.session_id,
        "elapsed_ms": body.elapsed_ms,
        "evidence": len(body.evidence),
    }
    given = _given(reason=body.reason, decision_id=body.decision_id, step_key=body.step_key)
    return f"{body.action}: {body.outcome.value}{times}", {**facts, **given}


def _abandonment(body: receipt.Abandonment) -> Retold:
    what = "an authorized action" if isinstance(body.decision_id, str) else "the session"
    facts = {"session_id": body.session_id, **_given(decision_id=body.decision_id)}
    return f"{what} was closed as abandoned: {body.why}", facts


def _denial(body: receipt.Denial) -> Retold:
    times = f"{body.count} times " if body.count > 1 else ""
    return f"denied {times}: {body.action}, {body.reason}".replace(" :", ":"), {
        "detail": body.detail,
        "first_at": body.first_at,
        "last_at": body.last_at,
    }


def _transition(body: receipt.Transition) -> Retold:
    axes: dict[str, Fact] = msgspec.to_builtins(body.axes)
    return f"{body.before.value} → {body.after.value}: {body.reason}", {"trigger": body.trigger, **axes}


def _withdrawal(body: Withdrawal) -> Retold:
    return f"the control plane withdrew the lease: {body.reason}", {"lease_id": body.lease_id}


def _revocation(body: Revocation) -> Retold:
    return f"{body.kind.value} {body.target} was revoked: {body.reason}", {
        "revocation_id": body.revocation_id
    }


def _redispatch(body: receipt.Redispatch) -> Retold:
    facts: dict[str, Fact] = {"order_id": body.order_id, "fenced_by": body.fenced_by}
    if isinstance(body.handover, receipt.Handover):
        handed: dict[str, Any] = msgspec.to_builtins(body.handover)
        facts |= {f"handover.{name}": value for name, value in handed.items()}
    return f"epoch {body.epoch} was ordered, not before {body.not_before}: {body.reason}", facts


def _intervention(body: receipt.Intervention) -> Retold:
    on = next(
        (
            f"{name} {value}"
            for name, value in (
                ("instance", body.instance_id),
                ("dispatch", body.dispatch_id),
                ("agent", body.agent),
            )
            if isinstance(value, str)
        ),
        "nothing",
    )
    return f"an operator's {body.action} of {on}: {body.reason}", {"action": body.action, "at": body.at}


def _dispatch_end(body: receipt.DispatchEnd) -> Retold:
    return f"the dispatch is {body.outcome}: {body.reason}", {"dispatch_id": body.dispatch_id}


def _delivery(body: receipt.Delivery) -> Retold:
    where = f"through {body.channel}" if body.channel else "to nobody"
    return f"people were told of {body.topic} {where}: {body.outcome}", {
        "message_id": body.message_id,
        "message_hash": body.message_hash,
        "attempts": body.attempts,
        "detail": body.detail,
    }


def _given(**facts: object) -> dict[str, Fact]:
    return {name: value for name, value in facts.items() if isinstance(value, str | int)}


_TELLERS: MappingProxyType[type, Callable[[Any], Retold]] = MappingProxyType(
    {
        Registration: _registration,
        Activation: _activation,
        Dock: _dock,
        Policy: _policy,
        Dispatch: _dispatch,
        Lease: _lease,
        Release: _release,
        receipt.Session: _session,
        receipt.Closing: _closing,
        receipt.Decision: _decision,
        receipt.Claim: _claim,
        receipt.Abandonment: _abandonment,
        receipt.Denial: _denial,
        receipt.Transition: _transition,
        Withdrawal: _withdrawal,
        Revocation: _revocation,
        receipt.Redispatch: _redispatch,
        receipt.Intervention: _intervention,
        receipt.DispatchEnd: _dispatch_end,
        receipt.Delivery: _delivery,
    }
)
