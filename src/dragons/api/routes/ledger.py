"""The head of the WorkLedger, proofs about it, and its own examination."""

from __future__ import annotations

from dragons.api import ledger_views
from dragons.api.backend import sign_checkpoint
from dragons.api.operation import Call, Operation
from dragons.api.query import ConsistencyQuery
from dragons.wire.base import Empty
from dragons.wire.evidence import Consistency, LedgerView


async def show(call: Call[Empty]) -> LedgerView:
    """How many receipts there are, their root, and a checkpoint that covers them."""
    tenant_id = call.caller.tenant_id
    await sign_checkpoint(call.backend, tenant_id)
    return await call.backend.read(lambda reader: ledger_views.ledger(reader, tenant_id))


async def consistency(call: Call[ConsistencyQuery]) -> Consistency:
    """That the log of `first` receipts is the beginning of the one of `second`."""
    wanted = call.input
    return await call.backend.read(
        lambda reader: ledger_views.consistency(reader, call.caller.tenant_id, wanted.first, wanted.second)
    )


OPERATIONS = (
    Operation("ledger.show", "GET", "/v1/ledger", show, answer=LedgerView),
    Operation(
        "ledger.consistency", "GET", "/v1/ledger/consistency", consistency, ConsistencyQuery, Consistency
    ),
)
