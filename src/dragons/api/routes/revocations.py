"""Revocations, and the signed feed from which enforcement points learn of them."""

from __future__ import annotations

from dragons.api.answers import recorded
from dragons.api.operation import Call, Operation
from dragons.api.query import RevocationQuery
from dragons.control.revoke import revocations_view, revoke
from dragons.core.statement import Envelope
from dragons.wire.base import Recorded, Statement


async def create(call: Call[Statement]) -> Recorded:
    """End the authority of what the statement names; it holds for every later decision."""
    statement = call.input.statement
    return recorded(await call.write(lambda tx: revoke(tx, call.caller, statement)))


async def view(call: Call[RevocationQuery]) -> Envelope:
    """The revocations from number `after` on, signed by the issuer and dated now."""
    backend, tenant_id = call.backend, call.caller.tenant_id
    issuer = backend.keyring.issuer(tenant_id)
    return await call.read(
        lambda reader: revocations_view(reader, tenant_id, call.input.after, issuer, backend.clock.now_ms())
    )


OPERATIONS = (
    Operation("revocations.view", "GET", "/v1/revocations", view, RevocationQuery, Envelope),
    Operation("revocations.create", "POST", "/v1/revocations", create, Statement, Recorded),
)
