"""Heartbeats, each by its instance's own signature, also when a node sends many at once."""

from __future__ import annotations

from dragons.api.operation import Call, Operation
from dragons.control.beat import Beats, accept_heartbeats
from dragons.control.ports import Transaction
from dragons.control.rows import InstanceRow
from dragons.core.vocabulary import Role
from dragons.wire.liveness import Heartbeats, HeartbeatsAccepted


async def beat(call: Call[Heartbeats]) -> HeartbeatsAccepted:
    """Take in a batch; an instance also learns its state and epoch."""
    caller, batch = call.caller, call.input.heartbeats
    issuer = call.backend.keyring.issuer(caller.tenant_id)

    def job(tx: Transaction) -> tuple[Beats, InstanceRow | None]:
        beats = accept_heartbeats(tx, issuer, caller, batch)
        own = tx.instance(caller.tenant_id, caller.instance_id) if caller.role is Role.INSTANCE else None
        return beats, own

    beats, own = await call.write(job)
    accepted = HeartbeatsAccepted(
        accepted=beats.accepted, refused={str(place): code for place, code in beats.refused.items()}
    )
    if own is not None:
        accepted.state, accepted.epoch = own.state.value, own.epoch
    return accepted


OPERATIONS = (Operation("heartbeats.beat", "POST", "/v1/heartbeats", beat, Heartbeats, HeartbeatsAccepted),)
