"""Keys of a tenant: statements by its root."""

from __future__ import annotations

from dragons.api import views
from dragons.api.answers import recorded
from dragons.api.operation import Call, Operation
from dragons.control.keys import register_key, revoke_key
from dragons.wire.base import Empty, Recorded, Statement
from dragons.wire.identity import Keys


async def list_keys(call: Call[Empty]) -> Keys:
    """The tenant's keys, ended ones included."""
    return await call.read(
        lambda reader: views.keys(reader, call.caller.tenant_id, call.backend.clock.now_ms())
    )


async def register(call: Call[Statement]) -> Recorded:
    """Record a key that the root signed; a rotation also carries the old key's signature."""
    statement = call.input.statement
    return recorded(await call.write(lambda tx: register_key(tx, call.caller, statement)))


async def revoke(call: Call[Statement]) -> Recorded:
    """Record the end of a key; an operator's takes its docks, their leases and its tokens with it."""
    statement = call.input.statement
    issuer = call.backend.keyring.issuer(call.caller.tenant_id)
    return recorded(await call.write(lambda tx: revoke_key(tx, issuer, call.caller, statement)))


OPERATIONS = (
    Operation("keys.list", "GET", "/v1/keys", list_keys, answer=Keys),
    Operation("keys.register", "POST", "/v1/keys", register, Statement, Recorded),
    Operation("keys.revoke", "POST", "/v1/keys/revocations", revoke, Statement, Recorded),
)
