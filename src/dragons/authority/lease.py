"""The lease: a signed, time-bounded subset of a dock, for one instance and its key.

Times: `not_before` is backdated by `BACKDATE_MS` because clocks differ; expiry has no leeway.
Never wider than its dock, nor than the lease it was delegated from, in scope or in time.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from dragons.authority.dock import Dock
from dragons.authority.revocation import Path, path_entries
from dragons.core.canonical import Count, Document
from dragons.core.capability import Scope
from dragons.core.clock import Timestamp, parse_time
from dragons.core.hashing import Digest
from dragons.core.ids import AgentName, Id, InstanceId
from dragons.core.vocabulary import Outcome, Reason

LEASE = "lease"
RELEASE = "release"
DELEGATION = "delegation"
BACKDATE_MS = 10_000
DEPTH_MAX = 4
TTL_SECONDS_DEFAULT = 900


class Lease(Document):
    """Signed by the issuer. `serial` counts renewals from 0; `authorized_by` is the operator's key id.

    `scope` is what the instance may do, `delegate_scope` what it may only hand to a child.
    """

    lease_id: Id
    serial: Count
    tenant_id: Id
    dock_id: Id
    dock_hash: Digest
    agent: AgentName
    version: Count
    manifest_hash: Digest
    instance_id: InstanceId
    instance_key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    dispatch_id: Id
    epoch: Count
    scope: Scope
    delegate_scope: Scope
    depth: Annotated[int, msgspec.Meta(ge=0, le=DEPTH_MAX)]
    issued_at: Timestamp
    not_before: Timestamp
    expires_at: Timestamp
    authorized_by: str
    parent_lease_id: Id | msgspec.UnsetType = msgspec.UNSET
    parent_hash: Digest | msgspec.UnsetType = msgspec.UNSET
    delegation_hash: Digest | msgspec.UnsetType = msgspec.UNSET


def path_of(lease: Lease, above: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Every entry whose revocation ends `lease`; `above` is the path of its parent, if it has one."""
    return path_entries(
        Path(
            operator=lease.authorized_by,
            dock_id=lease.dock_id,
            agent=lease.agent,
            version=f"{lease.agent}@v{lease.version}",
            instance_id=lease.instance_id,
            lease_id=lease.lease_id,
            above=above,
        )
    )


class Delegation(Document):
    """A parent instance's signed wish: this child may hold part of my lease."""

    tenant_id: Id
    parent_lease_id: Id
    parent_instance_id: InstanceId
    agent: AgentName
    instance_id: InstanceId
    instance_key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    scope: Scope
    not_after: Timestamp
    created_at: Timestamp


class Release(Document):
    """An instance gives its lease back before expiry, signed by the instance.

    `outcome` is completed or failed where the holder watched its program to the end, `detail` how it ended.
    """

    tenant_id: Id
    lease_id: Id
    instance_id: InstanceId
    released_at: Timestamp
    outcome: Outcome | msgspec.UnsetType = msgspec.UNSET
    detail: Annotated[str, msgspec.Meta(max_length=500)] | msgspec.UnsetType = msgspec.UNSET


class Refusal(NamedTuple):
    """Why a lease may not be issued; `detail` names the offending value."""

    reason: Reason
    detail: str


def refuse_outside_dock(lease: Lease, dock: Dock, dock_hash: str) -> Refusal | None:
    """The first way in which `lease` exceeds `dock`, None when it fits."""
    if (lease.tenant_id, lease.dock_id, lease.dock_hash) != (dock.tenant_id, dock.dock_id, dock_hash):
        return Refusal(Reason.DOCK_MISSING, f"{lease.dock_id} is not the cited dock")
    if lease.agent != dock.agent or lease.authorized_by != dock.operator:
        return Refusal(Reason.DOCK_MISSING, f"{dock.dock_id} docks {dock.agent}, not {lease.agent}")
    if extra := set(lease.scope) - set(dock.scope):
        return Refusal(Reason.CAPABILITY_NOT_DOCKED, ", ".join(sorted(extra)))
    if extra := set(lease.delegate_scope) - set(dock.delegate_scope):
        return Refusal(Reason.CAPABILITY_NOT_DOCKED, ", ".join(sorted(extra)))
    issued, expires = parse_time(lease.issued_at), parse_time(lease.expires_at)
    if not 0 < expires - issued <= dock.ttl_seconds_max * 1000:
        return Refusal(Reason.TTL_EXCEEDED, f"the dock allows {dock.ttl_seconds_max} s")
    if parse_time(lease.not_before) < issued - BACKDATE_MS:
        return Refusal(Reason.TTL_EXCEEDED, "not_before is backdated too far")
    if not isinstance(dock.not_after, msgspec.UnsetType) and expires > parse_time(dock.not_after):
        return Refusal(Reason.DOCK_EXPIRED, f"the dock ends at {dock.not_after}")
    return None


def refuse_outside_parent(child: Lease, parent: Lease, parent_hash: str) -> Refusal | None:
    """The first way in which a delegated lease exceeds its parent, None when it fits."""
    if (child.parent_lease_id, child.parent_hash) != (parent.lease_id, parent_hash):
        return Refusal(Reason.LEASE_MISSING, "the cited parent lease is another one")
    if child.tenant_id != parent.tenant_id:
        return Refusal(Reason.TENANT_MISMATCH, "the parent lease belongs to another tenant")
    if child.depth != parent.depth + 1 or child.depth > DEPTH_MAX:
        return Refusal(Reason.DELEGATION_TOO_DEEP, f"depth {child.depth} under {parent.depth}")
    if extra := set(child.scope) - set(parent.scope) - set(parent.delegate_scope):
        return Refusal(Reason.SCOPE_EXCEEDED, ", ".join(sorted(extra)))
    if extra := set(child.delegate_scope) - set(parent.delegate_scope):
        return Refusal(Reason.SCOPE_EXCEEDED, ", ".join(sorted(extra)))
    if parse_time(child.expires_at) > parse_time(parent.expires_at):
        return Refusal(Reason.TTL_EXCEEDED, f"the parent ends at {parent.expires_at}")
    if parse_time(child.not_before) < parse_time(parent.not_before):
        return Refusal(Reason.TTL_EXCEEDED, f"the parent begins at {parent.not_before}")
    return None


def renew_at_ms(lease: Lease, jitter: float) -> int:
    """When to renew: half of the lease's life ±10 %; `jitter` is uniform in [-1, 1]."""
    issued, expires = parse_time(lease.issued_at), parse_time(lease.expires_at)
    return issued + int((expires - issued) * (0.5 + 0.1 * max(-1.0, min(1.0, jitter))))
