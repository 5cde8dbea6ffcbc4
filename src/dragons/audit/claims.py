"""Judging what an instance signed against its mandate: did the work have authority when it began?

Every answer is None, or `code: detail`. Whether the signatures hold is somebody else's question.
"""

from __future__ import annotations

import msgspec

from dragons.audit.leases import HeldLease
from dragons.audit.mandate import Mandate
from dragons.core.vocabulary import Outcome, Reason
from dragons.evidence.receipt import Claim, Closing, Header, Session


def judge_claim(mandate: Mandate, lease: HeldLease, header: Header, claim: Claim) -> str | None:
    """Why this work had no authority when it began, None when it had."""
    if wrong := mandate.mismatch(header, lease, claim.instance_id, claim.epoch):
        return wrong
    if (wrong := _judge_late(mandate, lease, header)) is not None:
        return wrong
    decided = claim.decision_id is not msgspec.UNSET and _settle(mandate, claim, claim.decision_id)
    if claim.outcome is Outcome.DENIED:
        return None
    if claim.outcome is Outcome.ABANDONED:
        return "outcome_invalid: only the control plane abandons"
    started = claim.started_at
    if started < lease.not_before:
        return f"{Reason.LEASE_NOT_YET_VALID}: it began at {started}"
    if started >= lease.expires_at:
        return f"{Reason.LEASE_EXPIRED}: it began at {started}"
    for end, renewed in lease.gaps:
        if end <= started < renewed:
            return f"{Reason.LEASE_EXPIRED}: it began at {started}, before the renewal at {renewed}"
    if lease.released_at and started >= lease.released_at:
        return f"{Reason.LEASE_RELEASED}: it began at {started}"
    if mandate.revoked and (wrong := _judge_revoked(mandate, lease, started)):
        return wrong
    epoch, since = mandate.epochs[lease.body.dispatch_id]
    if epoch != lease.body.epoch and started >= since:
        return f"{Reason.EPOCH_STALE}: epoch {epoch} was dispatched at {since}"
    halted = mandate.organisms.halted.get(claim.instance_id)
    if halted is not None and started >= halted[1]:
        return f"{halted[0]}: since {halted[1]}"
    if claim.action not in lease.scope:
        return f"{Reason.CAPABILITY_NOT_LEASED}: {claim.action}"
    if claim.action not in mandate.catalogue:
        return f"{Reason.CAPABILITY_UNKNOWN}: {claim.action}"
    if claim.action in mandate.high_risk and not decided:
        return f"{Reason.ONLINE_CHECK_REQUIRED}: no decision of the control plane for {claim.action}"
    if claim.step_key is msgspec.UNSET or claim.outcome is not Outcome.COMPLETED:
        return None
    return _complete(mandate, header, claim, claim.step_key)


def judge_session(mandate: Mandate, lease: HeldLease, header: Header, body: Session) -> str | None:
    """Why this session had no authority to begin. It counts when the control plane recorded it."""
    if wrong := mandate.mismatch(header, lease, body.instance_id, body.epoch):
        return wrong
    if over := mandate.over(lease, header):
        return f"{over}: the session was opened under {body.lease_id}"
    if extra := set(body.scope) - lease.scope - set(lease.body.delegate_scope):
        return f"{Reason.SCOPE_EXCEEDED}: {', '.join(sorted(extra))}"
    return None


def judge_closing(mandate: Mandate, lease: HeldLease, header: Header, body: Closing) -> str | None:
    """Why this end of a session does not count. It may come late."""
    if wrong := mandate.mismatch(header, lease, body.instance_id, lease.body.epoch):
        return wrong
    if body.outcome is not Outcome.COMPLETED and body.outcome is not Outcome.FAILED:
        return "outcome_invalid: a session closes as completed or failed"
    return _judge_late(mandate, lease, header)


def _judge_late(mandate: Mandate, lease: HeldLease, header: Header) -> str | None:
    over = mandate.over(lease, header)
    if over is not None and header.late is not True:
        return f"late_unmarked: {over} when the receipt was issued"
    if over is None and header.late is True:
        return "late_unfounded: the lease was valid when the receipt was issued"
    return None


def _judge_revoked(mandate: Mandate, lease: HeldLease, started: str) -> str | None:
    for one in lease.path:
        at = mandate.revoked.get(one)
        if at is not None and started >= at:
            return f"revoked: {one} at {at}"
    return None


def _complete(mandate: Mandate, header: Header, claim: Claim, step_key: str) -> str | None:
    earlier = mandate.steps.get(step_key)
    if earlier is not None and claim.corrects != earlier:
        return f"{Reason.STEP_COMPLETED}: the step was completed by {earlier}"
    mandate.steps[step_key] = header.receipt_id
    return None


def _settle(mandate: Mandate, claim: Claim, decision_id: str) -> bool:
    """True when the control plane authorized exactly this action; a decision counts once."""
    decision = mandate.decisions.get(decision_id)
    if decision is None or (decision.action, decision.instance_id, decision.session_id) != (
        claim.action,
        claim.instance_id,
        claim.session_id,
    ):
        return False
    del mandate.decisions[decision_id]
    return True
