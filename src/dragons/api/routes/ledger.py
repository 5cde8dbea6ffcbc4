"""The head of the WorkLedger, proofs about it, and its own examination."""

from __future__ import annotations

from dragons.api import ledger_views
from dragons.api.backend import sign_checkpoint
from dragons.api.operation import Call, Operation
from dragons.api.query import ConsistencyQuery
from dragons.control.fsck import fsck
from dragons.control.ports import Reader
from dragons.evidence.checkpoint import parse_note
from dragons.wire.base import Empty
from dragons.wire.evidence import Consistency, Fsck, LedgerView


async def show(call: Call[Empty]) -> LedgerView:
    """How many receipts there are, their root, and a checkpoint that covers them."""
    tenant_id = call.caller.tenant_id

    def look(reader: Reader) -> LedgerView:
        return ledger_views.ledger(reader, tenant_id)

    found = await call.read(look)
    # A store that can't write must still show a head that is covered already.
    if not found.checkpoint or parse_note(found.checkpoint).checkpoint.size < found.size:
        await sign_checkpoint(call.backend, tenant_id)
        found = await call.read(look)
    return found


async def consistency(call: Call[ConsistencyQuery]) -> Consistency:
    """That the log of `first` receipts is the beginning of the one of `second`."""
    wanted = call.input
    return await call.read(
        lambda reader: ledger_views.consistency(reader, call.caller.tenant_id, wanted.first, wanted.second)
    )


async def examine(call: Call[Empty]) -> Fsck:
    """Verify every stored receipt, its chain, its signature and its place again."""
    tenant_id = call.caller.tenant_id
    found = await call.backend.work(lambda reader: fsck(reader, tenant_id))
    return Fsck(receipts=found.receipts, sound=not found.damage, damage=found.damage)


OPERATIONS = (
    Operation("ledger.show", "GET", "/v1/ledger", show, answer=LedgerView),
    Operation(
        "ledger.consistency", "GET", "/v1/ledger/consistency", consistency, ConsistencyQuery, Consistency
    ),
    Operation("ledger.fsck", "POST", "/v1/ledger/fsck", examine, answer=Fsck),
)
