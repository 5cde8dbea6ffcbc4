"""Revocation: naming an id ends everything beneath it, wherever it is on the ancestry path.

A check is a few set lookups along the path (operator, dock, agent, version, instance and lease,
then the same of the leases above). A view of the feed is only good for `STALE_AFTER_MS`; after that it denies.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, NamedTuple

import msgspec

from dragons.core.canonical import Count, Document
from dragons.core.clock import Timestamp
from dragons.core.ids import Id, InstanceId
from dragons.core.vocabulary import Reason

REVOCATION = "revocation"
WITHDRAWAL = "withdrawal"
REVOCATIONS_VIEW = "revocations-view"
STALE_AFTER_MS = 5_000


class Target(StrEnum):
    """What kind of id a revocation names."""

    OPERATOR = "operator"
    DOCK = "dock"
    AGENT = "agent"
    VERSION = "version"
    INSTANCE = "instance"
    LEASE = "lease"


class Revocation(Document):
    """Signed by an operator: `target` (for example `reconciler@v7`) has no authority from now on."""

    revocation_id: Id
    tenant_id: Id
    kind: Target
    target: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    revoked_at: Timestamp
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Withdrawal(Document):
    """Signed by the issuer: a lease that it issued has no authority from now on. Healing does this."""

    tenant_id: Id
    lease_id: Id
    instance_id: InstanceId
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    withdrawn_at: Timestamp


class RevocationsView(Document):
    """The revocations after `after`, signed by the issuer, so that no one on the way can hide one.

    `count` is the number of all revocations at `as_of`; entries are `kind:target` in feed order.
    """

    tenant_id: Id
    after: Count
    count: Count
    entries: list[str]
    as_of: Timestamp


class Path(NamedTuple):
    """Every id whose revocation ends a lease; `above` are the entries of its parent's path."""

    operator: str
    dock_id: str
    agent: str
    version: str
    instance_id: str
    lease_id: str
    above: tuple[str, ...] = ()


_REASONS = {
    Target.OPERATOR: Reason.REVOKED_OPERATOR,
    Target.DOCK: Reason.REVOKED_DOCK,
    Target.AGENT: Reason.REVOKED_AGENT,
    Target.VERSION: Reason.REVOKED_VERSION,
    Target.INSTANCE: Reason.REVOKED_INSTANCE,
    Target.LEASE: Reason.REVOKED_LEASE,
}


def entry(kind: Target, target: str) -> str:
    """How a revocation stands in the set: `dock:dck_…`."""
    return f"{kind.value}:{target}"


def path_entries(path: Path) -> tuple[str, ...]:
    """The entries to look up for a path; made once per lease, so that a check is lookups only."""
    own = (
        entry(Target.OPERATOR, path.operator),
        entry(Target.DOCK, path.dock_id),
        entry(Target.AGENT, path.agent),
        entry(Target.VERSION, path.version),
        entry(Target.INSTANCE, path.instance_id),
        entry(Target.LEASE, path.lease_id),
    )
    return tuple(dict.fromkeys((*own, *path.above)))


def first_revoked(entries: Iterable[str], revoked: frozenset[str] | set[str]) -> str | None:
    """The first of `entries` that is revoked."""
    for one in entries:
        if one in revoked:
            return one
    return None


def reason_of(revoked_entry: str, own_lease_id: str) -> Reason:
    """The reason code for a revoked entry on the path of `own_lease_id`."""
    kind, _, target = revoked_entry.partition(":")
    if kind == Target.LEASE.value and target != own_lease_id:
        return Reason.REVOKED_PARENT
    return _REASONS[Target(kind)]
