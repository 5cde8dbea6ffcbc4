"""The one decision: may this instance do this action now?

Pure: facts and a time go in, `Allow` or `Deny(reason)` comes out. Fails closed: a fact that is
missing, old or contradictory denies. Called at every action by the SDK (on a verified lease and a
view of the revocation feed that is at most `STALE_AFTER_MS` old) and by the API (on the database).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dragons.authority.lease import Lease, path_of
from dragons.authority.revocation import STALE_AFTER_MS, reason_of
from dragons.core.clock import parse_time
from dragons.core.vocabulary import OrganismState, Reason, Risk

# A wall clock that moved this much against CLOCK_BOOTTIME since the lease came has jumped.
CLOCK_DRIFT_MS_MAX = 5_000


class Allow(NamedTuple):
    """The action may happen, under this lease, until `expires_ms`."""

    lease_id: str
    expires_ms: int


class Deny(NamedTuple):
    """The action may not happen. `detail` names the value that decided, without secrets."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Holding:
    """A lease whose signature, dock and ancestry were verified, prepared for many decisions.

    `boot_deadline_ms` is CLOCK_BOOTTIME at receipt plus the remaining life: the earlier of it and
    the wall-clock expiry ends the lease. `wall_minus_boot_ms` is the offset of the two clocks then.
    """

    lease_id: str
    tenant_id: str
    instance_id: str
    epoch: int
    scope: frozenset[str]
    not_before_ms: int
    expires_ms: int
    boot_deadline_ms: int
    wall_minus_boot_ms: int
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Situation:
    """What else counts, as known at `as_of_boot_ms` (CLOCK_BOOTTIME of the view's arrival)."""

    tenant_id: str
    epoch: int
    state: OrganismState
    revoked: frozenset[str]
    risks: dict[str, Risk]
    as_of_boot_ms: int


class Now(NamedTuple):
    """Both clocks, read together, in milliseconds."""

    wall_ms: int
    boot_ms: int


_STATE_REASONS = {
    OrganismState.AUTOHEALING: Reason.ORGANISM_AUTOHEALING,
    OrganismState.QUARANTINED: Reason.ORGANISM_QUARANTINED,
    OrganismState.STOPPED: Reason.ORGANISM_STOPPED,
}


def hold(lease: Lease, above: tuple[str, ...], now: Now) -> Holding:
    """Prepare a verified lease; `above` is the revocation path of its parent, if it has one."""
    expires_ms = parse_time(lease.expires_at)
    return Holding(
        lease_id=lease.lease_id,
        tenant_id=lease.tenant_id,
        instance_id=lease.instance_id,
        epoch=lease.epoch,
        scope=frozenset(lease.scope),
        not_before_ms=parse_time(lease.not_before),
        expires_ms=expires_ms,
        boot_deadline_ms=now.boot_ms + max(0, expires_ms - now.wall_ms),
        wall_minus_boot_ms=now.wall_ms - now.boot_ms,
        path=path_of(lease, above),
    )


def decide(
    capability: str, holding: Holding | None, situation: Situation, now: Now, *, online: bool
) -> Allow | Deny:
    """Allow or deny one action. `online` is True where the control plane itself decides."""
    if holding is None:
        return Deny(Reason.LEASE_MISSING, "the instance holds no lease")
    wall_ms, boot_ms = now
    if not 0 <= boot_ms - situation.as_of_boot_ms <= STALE_AFTER_MS:
        return Deny(
            Reason.AUTHORITY_STALE, f"the last word of the control plane is older than {STALE_AFTER_MS} ms"
        )
    if abs(wall_ms - boot_ms - holding.wall_minus_boot_ms) > CLOCK_DRIFT_MS_MAX:
        return Deny(Reason.CLOCK_JUMPED, "the wall clock jumped since the lease was received")
    if wall_ms >= holding.expires_ms or boot_ms >= holding.boot_deadline_ms:
        return Deny(Reason.LEASE_EXPIRED, holding.lease_id)
    if wall_ms < holding.not_before_ms:
        return Deny(Reason.LEASE_NOT_YET_VALID, holding.lease_id)
    if holding.tenant_id != situation.tenant_id:
        return Deny(Reason.TENANT_MISMATCH, holding.lease_id)
    if holding.epoch != situation.epoch:
        return Deny(Reason.EPOCH_STALE, f"epoch {holding.epoch}, current is {situation.epoch}")
    if situation.state in _STATE_REASONS:
        return Deny(_STATE_REASONS[situation.state], situation.state.value)
    for entry in holding.path:
        if entry in situation.revoked:
            return Deny(reason_of(entry, holding.lease_id), entry)
    if capability not in holding.scope:
        return Deny(Reason.CAPABILITY_NOT_LEASED, capability)
    risk = situation.risks.get(capability)
    if risk is None:
        return Deny(Reason.CAPABILITY_UNKNOWN, capability)
    if risk is Risk.HIGH and not online:
        return Deny(Reason.ONLINE_CHECK_REQUIRED, capability)
    return Allow(holding.lease_id, holding.expires_ms)
