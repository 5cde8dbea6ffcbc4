"""An instance's standing: the facts that decide what it may do, read together, and what follows."""

from __future__ import annotations

from typing import NamedTuple

from dragons.authority.decide import Allow, Deny, Holding, Now, Situation, decide
from dragons.authority.revocation import reason_of
from dragons.control.catalogue import risks
from dragons.control.ports import About, Reader, Transaction
from dragons.control.rows import InstanceRow, LeaseRow
from dragons.core.errors import ForbiddenError, NotFoundError
from dragons.core.vocabulary import OrganismState, Reason
from dragons.identity.records import version_name
from dragons.liveness.mtboi import WINDOW_MS, mtboi_seconds

# MTBOI in a receipt is at most this old.
MTBOI_TTL_MS = 10_000

_ENDED_STATES = {
    OrganismState.AUTOHEALING: Reason.ORGANISM_AUTOHEALING,
    OrganismState.QUARANTINED: Reason.ORGANISM_QUARANTINED,
    OrganismState.STOPPED: Reason.ORGANISM_STOPPED,
}


class Standing(NamedTuple):
    """`revoked` is the first revoked entry on the lease's path; `epoch` the dispatch's present one."""

    instance: InstanceRow
    lease: LeaseRow
    epoch: int
    revoked: str | None


class Ended(NamedTuple):
    """Authority that is over: why, and since when (epoch milliseconds)."""

    reason: Reason
    since_ms: int


def standing_of(reader: Reader, tenant_id: str, instance_id: str) -> Standing:
    """The standing of an instance; ForbiddenError when the tenant has no such instance."""
    instance = reader.instance(tenant_id, instance_id)
    lease = None if instance is None else reader.lease(tenant_id, instance.lease_id)
    if instance is None or lease is None:
        raise ForbiddenError(Reason.LEASE_MISSING, f"{instance_id} holds no lease in this tenant.")
    return Standing(
        instance,
        lease,
        reader.epoch(tenant_id, instance.dispatch_id),
        reader.is_revoked(tenant_id, lease.path),
    )


def as_recorded(reader: Reader, instance: InstanceRow) -> Standing:
    """The standing for a receipt's header: nothing is decided by it."""
    lease = reader.lease(instance.tenant_id, instance.lease_id)
    if lease is None:
        raise NotFoundError("lease_missing", f"{instance.lease_id} is not on the record.")
    return Standing(instance, lease, instance.epoch, None)


def judge(reader: Reader, standing: Standing, capability: str, now_ms: int) -> Allow | Deny:
    """The control plane's own decision about one action, from the database's facts."""
    lease, instance = standing.lease, standing.instance
    if lease.released_ms is not None:
        return Deny(Reason.LEASE_RELEASED, lease.lease_id)
    holding = Holding(
        lease_id=lease.lease_id,
        tenant_id=lease.tenant_id,
        instance_id=lease.instance_id,
        epoch=lease.epoch,
        scope=frozenset(lease.scope),
        not_before_ms=lease.not_before_ms,
        expires_ms=lease.expires_ms,
        boot_deadline_ms=lease.expires_ms,
        wall_minus_boot_ms=0,
        path=lease.path,
    )
    situation = Situation(
        tenant_id=instance.tenant_id,
        epoch=standing.epoch,
        state=instance.state,
        revoked=frozenset() if standing.revoked is None else frozenset({standing.revoked}),
        risks=risks(reader, instance.tenant_id),
        as_of_boot_ms=now_ms,
    )
    return decide(capability, holding, situation, Now(now_ms, now_ms), online=True)


def ended(reader: Reader, standing: Standing, now_ms: int) -> Ended | None:
    """Why and since when the instance has no authority at all, None while it has some."""
    instance, lease = standing.instance, standing.lease
    found: list[Ended] = []
    if lease.released_ms is not None:
        found.append(Ended(Reason.LEASE_RELEASED, lease.released_ms))
    if now_ms >= lease.expires_ms:
        found.append(Ended(Reason.LEASE_EXPIRED, lease.expires_ms))
    if standing.revoked is not None:
        # Several entries of the path may be revoked; the authority ended with the earliest.
        for entry in lease.path:
            if reader.is_revoked(instance.tenant_id, [entry]) is not None:
                since = reader.revoked_since(instance.tenant_id, entry)
                found.append(Ended(reason_of(entry, lease.lease_id), since))
    if instance.state in _ENDED_STATES:
        # Since it first lost its authority: what follows in the table gives nothing back.
        since_ms = instance.state_since_ms if instance.halted_ms is None else instance.halted_ms
        found.append(Ended(_ENDED_STATES[instance.state], since_ms))
    if standing.epoch != instance.epoch:
        found.append(Ended(Reason.EPOCH_STALE, instance.state_since_ms))
    return min(found, key=lambda one: one.since_ms, default=None)


def about(tx: Transaction, standing: Standing) -> About:
    """What a receipt's header says of the instance, its lease and its liveness."""
    instance = standing.instance
    return About(
        agent=version_name(instance.agent, instance.version),
        manifest_hash=instance.manifest_hash,
        instance_id=instance.instance_id,
        lease_ref=standing.lease.lease_id,
        epoch=instance.epoch,
        organism_state=instance.state,
        mtboi_seconds=agent_mtboi(tx, instance.tenant_id, instance.agent),
    )


def agent_mtboi(tx: Transaction, tenant_id: str, agent: str) -> int:
    """The agent's MTBOI as of at most `MTBOI_TTL_MS` ago."""
    now_ms = tx.now_ms
    return tx.remember(
        ("mtboi", tenant_id, agent), MTBOI_TTL_MS, lambda: compute_mtboi(tx, tenant_id, agent, now_ms)
    )


def compute_mtboi(reader: Reader, tenant_id: str, agent: str, now_ms: int) -> int:
    """The agent's MTBOI in seconds, from its instances' running spans and intervention receipts."""
    spans = reader.running_spans(tenant_id, agent, now_ms - WINDOW_MS)
    interventions = reader.interventions_since(tenant_id, agent, now_ms - WINDOW_MS)
    return mtboi_seconds(((a, now_ms if b is None else b) for a, b in spans), interventions, now_ms)
