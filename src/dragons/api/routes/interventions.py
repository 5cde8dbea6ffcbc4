"""A person's hand on an instance."""

from __future__ import annotations

from dragons.api.answers import recorded
from dragons.api.operation import Call, Operation
from dragons.control.intervene import intervene
from dragons.wire.base import Recorded, Statement


async def create(call: Call[Statement]) -> Recorded:
    """Record a signed intervention and carry it out; MTBOI counts it."""
    statement = call.input.statement
    issuer = call.backend.keyring.issuer(call.caller.tenant_id)
    return recorded(await call.write(lambda tx: intervene(tx, issuer, call.caller, statement)))


OPERATIONS = (Operation("interventions.create", "POST", "/v1/interventions", create, Statement, Recorded),)
