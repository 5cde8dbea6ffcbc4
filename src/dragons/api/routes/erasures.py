"""Erasures: the ledger learns that payloads were destroyed."""

from __future__ import annotations

from dragons.api.answers import recorded
from dragons.api.operation import Call, Operation
from dragons.control.erase import erase
from dragons.wire.base import Recorded, Statement


async def create(call: Call[Statement]) -> Recorded:
    """Record an operator's erasure; the receipts and their hashes stay."""
    statement = call.input.statement
    return recorded(await call.write(lambda tx: erase(tx, call.caller, statement)))


OPERATIONS = (Operation("erasures.create", "POST", "/v1/erasures", create, Statement, Recorded),)
