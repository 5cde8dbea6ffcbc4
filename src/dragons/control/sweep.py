"""The sweep: what follows from time alone. It looks at timers that are due, never at the whole fleet.

A timer is a row; what it causes is committed together with its removal or its next time, so none is lost
and none fires twice, whoever sweeps and whatever crashes. A control plane that was away says so in the
store before it looks at any timer: that time is nobody's silence.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from dragons.control.denials import flush_denials
from dragons.control.nodes import fail_start
from dragons.control.orders import ORDER_TIMER
from dragons.control.organism import settle
from dragons.control.policies import ORGANISM_TIMER
from dragons.control.ports import Transaction
from dragons.control.rows import OutageRow, PresenceRow, TimerRow
from dragons.core.keys import Signer
from dragons.evidence.checkpoint import parse_note, sign_checkpoint
from dragons.evidence.merkle import root_at

TIMERS_MAX = 500
# A timer whose firing failed is tried again after this, so that it does not keep the others from theirs.
POSTPONED_MS = 60_000
# A longer pause between two sweeps is an outage of the control plane.
OUTAGE_AFTER_MS = 30_000


class Swept(NamedTuple):
    """How much a sweep did; `more` says that timers are left which are due."""

    timers: int
    denials: int
    checkpoint: bool
    more: bool


def sweep(
    tx: Transaction, issuer: Signer, ledger: Signer, tenant_id: str, *, outage_after_ms: int = OUTAGE_AFTER_MS
) -> Swept:
    """Look at every timer that is due, at most `TIMERS_MAX`; flush denials; sign a checkpoint."""
    note_presence(tx, tenant_id, outage_after_ms)
    due = tx.timers_due(tenant_id, tx.now_ms, TIMERS_MAX)
    for timer in due:
        fire(tx, issuer, timer)
    denials = flush_denials(tx, issuer, tenant_id)
    return Swept(len(due), denials, checkpoint(tx, ledger, tenant_id), more=len(due) == TIMERS_MAX)


def note_presence(tx: Transaction, tenant_id: str, outage_after_ms: int) -> None:
    """Say that the control plane is here; a time in which it was not is an outage."""
    before = tx.presence(tenant_id)
    if before is not None and tx.now_ms - before.seen_ms > outage_after_ms:
        tx.put_outage(OutageRow(tenant_id, before.seen_ms, tx.now_ms))
    if before is None or tx.now_ms > before.seen_ms:
        tx.put_presence(PresenceRow(tenant_id, tx.now_ms, outage_after_ms))


def checkpoint(tx: Transaction, ledger: Signer, tenant_id: str) -> bool:
    """Sign a checkpoint when the log has grown since the last; True when it had."""
    size = tx.tree_size(tenant_id)
    last = tx.checkpoint(tenant_id)
    if size == 0 or (last is not None and parse_note(last).checkpoint.size == size):
        return False
    root = root_at(size, lambda level, index: tx.node(tenant_id, level, index))
    tx.put_checkpoint(tenant_id, size, sign_checkpoint(tenant_id, size, root, ledger))
    return True


def postpone(tx: Transaction, timer: TimerRow) -> None:
    """Look at a timer later."""
    tx.put_timer(replace(timer, due_ms=tx.now_ms + POSTPONED_MS))


def fire(tx: Transaction, issuer: Signer, timer: TimerRow) -> None:
    """Do what a timer is for; it is gone or set anew afterwards."""
    instance = tx.instance(timer.tenant_id, timer.key) if timer.kind == ORGANISM_TIMER else None
    if instance is not None:
        # It sets its timer again or takes it away.
        settle(tx, issuer, instance)
        return
    tx.drop_timer(timer.tenant_id, timer.kind, timer.key)
    order = tx.order(timer.tenant_id, timer.key) if timer.kind == ORDER_TIMER else None
    if order is not None and order.done_ms is None:
        fail_start(tx, issuer, order, "it was not started in time")
