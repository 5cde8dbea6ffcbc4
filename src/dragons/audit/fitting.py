"""Whether a lease fits what it was issued under: dock, manifest, parent, dispatch and the instance before.

The rules of `spec/authority.md`, in its order, against what the mandate knows. Every answer is None, or
`code: detail`; nothing here changes the mandate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dragons.audit.leases import HeldLease, changed_by_renewal, is_delegated
from dragons.authority.lease import Lease, refuse_outside_dock, refuse_outside_parent
from dragons.authority.revocation import STALE_AFTER_MS
from dragons.core.clock import parse_time
from dragons.core.vocabulary import Reason

if TYPE_CHECKING:
    from dragons.audit.mandate import Mandate

# An issuer dates a lease when it records it; an older date would authorize the past.
ISSUE_SKEW_MS_MAX = 60_000


def refuse_lease(mandate: Mandate, lease: HeldLease, known: HeldLease | None, at: str) -> str | None:
    """Why `lease`, recorded `at`, has no authority; `known` is what it renews, None when it is the first."""
    wrong = _refuse(mandate, lease.body, lease, at)
    if wrong is not None:
        return wrong
    if known is not None:
        return _refuse_renewal(mandate, known, lease.body)
    return _refuse_launch(mandate, lease.body, lease, at)


def _refuse(mandate: Mandate, body: Lease, lease: HeldLease, at: str) -> str | None:
    dock = mandate.docks.get(body.dock_id)
    if dock is None:
        return f"{Reason.DOCK_MISSING}: {body.dock_id}"
    refusal = refuse_outside_dock(body, *dock)
    if refusal is not None:
        return f"{refusal.reason}: {refusal.detail}"
    if abs(parse_time(at) - parse_time(body.issued_at)) > ISSUE_SKEW_MS_MAX:
        return f"{Reason.LEASE_NOT_YET_VALID}: dated {body.issued_at}, recorded {at}"
    if not mandate.is_recorded(body.manifest_hash, body.agent, body.version):
        return f"{Reason.MANIFEST_UNRECORDED}: {body.manifest_hash}"
    declared = mandate.manifests[body.manifest_hash].manifest.capabilities
    if extra := (set(body.scope) | set(body.delegate_scope)) - set(declared):
        return f"{Reason.CAPABILITY_NOT_DECLARED}: {', '.join(sorted(extra))}"
    if ended := next((one for one in lease.path if one in mandate.revoked), None):
        return f"revoked: {ended}"
    if is_delegated(body):
        return _refuse_delegated(mandate, body)
    return None if body.depth == 0 else f"{Reason.LEASE_MISSING}: it has a depth but no parent"


def _refuse_delegated(mandate: Mandate, body: Lease) -> str | None:
    parent = mandate.leases.get(str(body.parent_lease_id))
    if parent is None:
        return f"{Reason.LEASE_MISSING}: the parent {body.parent_lease_id} is unknown"
    # A renewal goes on citing the parent statement that the lease was issued under.
    cited = parent.digest if body.serial == 0 else str(body.parent_hash)
    refusal = refuse_outside_parent(body, parent.body, cited)
    if refusal is not None:
        return f"{refusal.reason}: {refusal.detail}"
    if body.issued_at >= parent.expires_at or (parent.released_at and body.serial == 0):
        return f"{Reason.LEASE_EXPIRED}: the parent had ended"
    wish = mandate.delegations.get(str(body.delegation_hash))
    if wish is None or (wish.parent_lease_id, wish.agent, wish.instance_id, wish.instance_key) != (
        body.parent_lease_id,
        body.agent,
        body.instance_id,
        body.instance_key,
    ):
        return f"{Reason.LEASE_MISSING}: no delegation by the parent's holder names this instance"
    if extra := (set(body.scope) | set(body.delegate_scope)) - set(wish.scope):
        return f"{Reason.SCOPE_EXCEEDED}: wider than the delegation: {', '.join(sorted(extra))}"
    if body.expires_at > wish.not_after:
        return f"{Reason.TTL_EXCEEDED}: the delegation ends at {wish.not_after}"
    return None


def _refuse_launch(mandate: Mandate, body: Lease, lease: HeldLease, at: str) -> str | None:
    if mandate.active.get(body.agent) != body.version:
        return f"{Reason.VERSION_INACTIVE}: {lease.name} was not the active version"
    if body.epoch <= mandate.epoch(body.dispatch_id):
        return f"{Reason.EPOCH_STALE}: epoch {body.epoch} was dispatched before"
    wrong = mandate.dispatches.refuse_launch(body, at) or mandate.organisms.refuse_launch(body)
    return wrong or _refuse_unfenced(mandate, body, at)


def _refuse_unfenced(mandate: Mandate, body: Lease, at: str) -> str | None:
    """A start says why the instance before can't act any more; that it died is the control plane's word."""
    before = mandate.organisms.newest.get(body.dispatch_id)
    ordered = mandate.dispatches.known.get(body.dispatch_id)
    if before is None or ordered is None or ordered.fenced_by == "death":
        return None
    if ordered.fenced_by == "expiry":
        ended_ms = parse_time(mandate.leases[mandate.organisms.known[before].lease_id].expires_at)
    elif ordered.fenced_by == "staleness":
        ended_ms = parse_time(mandate.organisms.halted[before][1]) + STALE_AFTER_MS
    else:
        return f"holder_unfenced: nothing says why {before} can't act"
    return None if ended_ms <= parse_time(at) else f"holder_unfenced: {before} may act for a while yet"


def _refuse_renewal(mandate: Mandate, known: HeldLease, body: Lease) -> str | None:
    # It may come after the lease's end: how long after is the control plane's to decide.
    before = known.body
    if field_name := changed_by_renewal(before, body):
        return f"{Reason.LEASE_MISSING}: a renewal changed {field_name}"
    if body.serial != before.serial + 1:
        return f"{Reason.LEASE_MISSING}: renewal {body.serial} follows renewal {before.serial}"
    if known.released_at:
        return f"{Reason.LEASE_RELEASED}: a renewal of a lease that was given back"
    if (halted := mandate.organisms.halted.get(body.instance_id)) is not None:
        return f"{halted[0]}: a renewal for an instance that is halted since {halted[1]}"
    if extra := (set(body.scope) - known.scope) | (set(body.delegate_scope) - set(before.delegate_scope)):
        return f"{Reason.SCOPE_EXCEEDED}: a renewal may not widen: {', '.join(sorted(extra))}"
    return mandate.dispatches.refuse_beyond(body)
