"""Progress that the ledger itself sees: work that is on the record and unlike what was done lately.

Work counts by its likeness (equal for equal action, arguments and result) or by evidence that was not
seen before. The same again and again is no progress, however busy it looks.
"""

from __future__ import annotations

from msgspec.structs import replace

from dragons.control.organism import advance
from dragons.control.policies import policy_of
from dragons.control.ports import Appended, Transaction
from dragons.control.rows import InstanceRow
from dragons.core.keys import Signer
from dragons.core.vocabulary import OrganismState
from dragons.evidence.receipt import Claim
from dragons.liveness.organism import Progressed
from dragons.liveness.progress import observe

RECEIPTS = "receipts"
# Progress is noted this often at most: thresholds are minutes, and every note is a write.
NOTE_MS = 1_000


def note_work(
    tx: Transaction, issuer: Signer, instance: InstanceRow, claim: Claim, appended: Appended
) -> None:
    """Take in a completed cycle of an instance that has authority."""
    fresh = instance.progress_ms is not None and tx.now_ms - instance.progress_ms < NOTE_MS
    if fresh and not instance.repeats and instance.state is OrganismState.RUNNING:
        return
    if RECEIPTS not in policy_of(tx, instance.tenant_id, instance.agent).progress_sources:
        return
    digests = [claim.likeness] if isinstance(claim.likeness, str) else claim.evidence
    memory, novel = instance.seen_work, False
    for digest in digests:
        memory, is_novel = observe(memory, digest)
        novel = novel or is_novel
    if not novel:
        tx.put_instance(replace(instance, seen_work=memory, repeats=instance.repeats + 1))
        return
    changes = {
        "seen_work": memory,
        "repeats": 0,
        "progress_ms": tx.now_ms,
        "progress_source": RECEIPTS,
        "progress_digest": appended.chain_root,
        "last_work": appended.receipt_id,
    }
    advance(tx, issuer, instance, Progressed(), changes)
