"""What the end of a compromised operator's key sets off, in the write that records it.

Dispatches that rest on it are cancelled, agents that it released are isolated again, and whoever lives
under its policies is looked at anew. That its catalogue, activations and policies don't count needs no
write: whoever reads them asks `dragons.control.compromise`.
"""

from __future__ import annotations

from typing import NamedTuple

from dragons.authority.revocation import Target, entry
from dragons.control.compromise import is_spoiled, spoiled_releases
from dragons.control.dispatches import end_dispatch
from dragons.control.intervene import isolate_agent
from dragons.control.organism import advance
from dragons.control.policies import ORGANISM_TIMER, signer_of
from dragons.control.ports import Transaction
from dragons.control.rows import HoldRow, TimerRow
from dragons.core.keys import Signer
from dragons.core.vocabulary import OrganismState
from dragons.liveness.organism import Revoked

_WHY = "what it goes on by was signed with a compromised key"


class Compromised(NamedTuple):
    """An operator's key that ended: since when it is not trusted (epoch ms), and the receipt that says so."""

    tenant_id: str
    key_id: str
    since_ms: int
    receipt_id: str


def follow_up(tx: Transaction, issuer: Signer, key: Compromised, dispatches: list[str]) -> None:
    """Undo what the key gave; the leases under `dispatches` are revoked already."""
    for dispatch_id in dispatches:
        _cancel(tx, issuer, key, dispatch_id)
    for agent in spoiled_releases(tx, key.tenant_id, key.key_id, key.since_ms):
        if tx.hold(key.tenant_id, agent) is None:
            hold = HoldRow(
                key.tenant_id, agent, tx.now_ms, f"it was released by {key.key_id}", key.receipt_id
            )
            isolate_agent(tx, issuer, hold)
    _look_again(tx, key)


def _cancel(tx: Transaction, issuer: Signer, key: Compromised, dispatch_id: str) -> None:
    revoked = Revoked(entry(Target.OPERATOR, key.key_id))
    for instance in tx.instances(key.tenant_id, live=True, dispatch_id=dispatch_id):
        if instance.state is not OrganismState.QUARANTINED:
            advance(tx, issuer, instance, revoked)
    dispatch = tx.dispatch(key.tenant_id, dispatch_id)
    if dispatch is not None and dispatch.ended_ms is None:
        end_dispatch(tx, issuer, dispatch, "cancelled", _WHY)


def _look_again(tx: Transaction, key: Compromised) -> None:
    """Have the next sweep look at everything live when a policy of the key doesn't count any more."""
    published = tx.policies(key.tenant_id)
    its_own = (row for row in published if signer_of(row) == key.key_id)
    if not any(is_spoiled(tx, key.tenant_id, key.key_id, row.published_ms) for row in its_own):
        return
    for instance in tx.instances(key.tenant_id, live=True):
        tx.put_timer(TimerRow(key.tenant_id, ORGANISM_TIMER, instance.instance_id, tx.now_ms))
