"""Leases as the ledger tells them: what was issued, renewed and given back, and when each one was over.

A lease counts from its receipt on and only when it fits its dock, its manifest, the active version
and, if delegated, its parent and the parent's signed wish: the same rules that issued it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from dragons.authority.lease import Lease, path_of
from dragons.core.keys import KeyRole, PublicKey
from dragons.identity.records import version_name

# What a renewal may not change.
_FIXED = (
    "instance_id", "instance_key", "dock_id", "dock_hash", "agent", "version", "manifest_hash", "dispatch_id",
    "epoch", "depth", "authorized_by", "parent_lease_id", "parent_hash", "delegation_hash",
)  # fmt: skip


@dataclass(slots=True)
class HeldLease:
    """A lease with its renewals: valid in [not_before, expires_at) but for its gaps, until `released_at`.

    A gap lies between the end of a lease and its late renewal: nothing had authority in [end, issue).
    `name` is `agent@vN`, `key_id` the instance key's, `path` what ends the lease when revoked.
    """

    body: Lease
    digest: str
    not_before: str
    expires_at: str
    scope: frozenset[str]
    name: str
    key_id: str
    path: tuple[str, ...]
    released_at: str = ""
    gaps: list[tuple[str, str]] = field(default_factory=list)

    def renew(self, body: Lease, digest: str) -> None:
        """Take in the newest statement of the same lease."""
        # Not its `not_before`, which is dated back: until it was issued, the lease had ended.
        if body.issued_at > self.expires_at:
            self.gaps.append((self.expires_at, body.issued_at))
        self.body, self.digest, self.expires_at = body, digest, body.expires_at
        self.scope = frozenset(body.scope)


def held(body: Lease, digest: str, above: tuple[str, ...]) -> HeldLease:
    """A lease at its issue; `above` is the path of its parent, if it has one."""
    name = version_name(body.agent, body.version)
    return HeldLease(
        body, digest, body.not_before, body.expires_at, frozenset(body.scope), name,
        PublicKey(body.instance_key).key_id(KeyRole.INSTANCE), path_of(body, above),
    )  # fmt: skip


def changed_by_renewal(before: Lease, after: Lease) -> str | None:
    """The field that a renewal changed and may not, None when there is none."""
    return next((name for name in _FIXED if getattr(before, name) != getattr(after, name)), None)


def is_delegated(body: Lease) -> bool:
    """True when the lease cites a parent."""
    return not isinstance(body.parent_lease_id, msgspec.UnsetType)
