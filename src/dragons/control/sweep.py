"""The sweep: what follows from time alone. Restart-safe, because it derives everything from the store."""

from __future__ import annotations

from typing import NamedTuple

from dragons.control.denials import flush_denials
from dragons.control.organism import abandon, change_state
from dragons.control.ports import Transaction
from dragons.control.rows import InstanceRow
from dragons.control.standing import standing_of
from dragons.core.keys import Signer
from dragons.core.vocabulary import OrganismState
from dragons.evidence.checkpoint import parse_note, sign_checkpoint
from dragons.evidence.merkle import root_at
from dragons.liveness.organism import LivenessFacts, LivenessPolicy, derive


class Swept(NamedTuple):
    """How much a sweep did."""

    transitions: int
    denials: int
    checkpoint: bool


def sweep(tx: Transaction, issuer: Signer, ledger: Signer, tenant_id: str, policy: LivenessPolicy) -> Swept:
    """Derive every live instance's state, close what was abandoned, flush denials, sign a checkpoint."""
    transitions = 0
    for instance in tx.instances(tenant_id, live=True):
        transitions += _settle(tx, issuer, instance, policy)
    denials = flush_denials(tx, issuer, tenant_id)
    return Swept(transitions, denials, checkpoint(tx, ledger, tenant_id))


def checkpoint(tx: Transaction, ledger: Signer, tenant_id: str) -> bool:
    """Sign a checkpoint when the log has grown since the last; True when it had."""
    size = tx.tree_size(tenant_id)
    last = tx.checkpoint(tenant_id)
    if size == 0 or (last is not None and parse_note(last).checkpoint.size == size):
        return False
    root = root_at(size, lambda level, index: tx.node(tenant_id, level, index))
    tx.put_checkpoint(tenant_id, size, sign_checkpoint(tenant_id, size, root, ledger))
    return True


def _settle(tx: Transaction, issuer: Signer, instance: InstanceRow, policy: LivenessPolicy) -> int:
    standing = standing_of(tx, instance.tenant_id, instance.instance_id)
    if standing.revoked is not None:
        change_state(tx, issuer, instance, OrganismState.STOPPED, f"revoked: {standing.revoked}")
        return 1
    facts = LivenessFacts(
        state=instance.state,
        last_signal_ms=max(instance.started_ms, instance.pulse_ms or 0),
        lease_expires_ms=standing.lease.expires_ms,
        released=standing.lease.released_ms is not None,
    )
    derived = derive(facts, policy, tx.now_ms)
    changed = instance
    if derived.state is not instance.state:
        changed = change_state(tx, issuer, instance, derived.state, derived.reason)
    if tx.now_ms >= standing.lease.expires_ms and changed.state is not OrganismState.STOPPED:
        # Every started cycle ends in a receipt, at the lease's end at the latest.
        for session in tx.sessions(instance.tenant_id, instance_id=instance.instance_id, open_only=True):
            abandon(tx, issuer, changed, session, "the lease ended before the session did")
    return int(changed is not instance)
