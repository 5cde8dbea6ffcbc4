"""Heartbeats, each by its instance's own signature, also when a node sends many at once."""

from __future__ import annotations

from collections import Counter

from dragons.api.operation import Call, Operation
from dragons.control.beat import Beats, CheckedBeat, accept_heartbeats, check_heartbeats
from dragons.control.ports import Reader, Transaction
from dragons.control.rows import InstanceRow
from dragons.core.vocabulary import Role
from dragons.wire.liveness import Heartbeats, HeartbeatsAccepted


async def beat(call: Call[Heartbeats]) -> HeartbeatsAccepted:
    """Take in a batch; an instance also learns its state and epoch."""
    caller = call.caller
    issuer = call.backend.keyring.issuer(caller.tenant_id)
    checked = await _check(call)

    def job(tx: Transaction) -> tuple[Beats, InstanceRow | None]:
        beats = accept_heartbeats(tx, issuer, caller, checked)
        own = tx.instance(caller.tenant_id, caller.instance_id) if caller.role is Role.INSTANCE else None
        return beats, own

    beats, own = await call.write(job)
    call.backend.measures.beats(beats.accepted, Counter(beats.refused.values()))
    accepted = HeartbeatsAccepted(
        accepted=beats.accepted, refused={str(place): code for place, code in beats.refused.items()}
    )
    if own is not None:
        accepted.state, accepted.epoch = own.state.value, own.epoch
    return accepted


async def _check(call: Call[Heartbeats]) -> list[CheckedBeat]:
    caller, batch = call.caller, call.input.heartbeats
    if caller.role is Role.INSTANCE:
        own = call.instance_key().raw
        return check_heartbeats(lambda name: own if name == caller.instance_id else None, batch)

    def job(reader: Reader) -> list[CheckedBeat]:
        keys = call.backend.instance_keys

        def key_of(instance_id: str) -> bytes | None:
            found = keys.get((caller.tenant_id, instance_id))
            if found is None and (row := reader.instance(caller.tenant_id, instance_id)) is not None:
                found = keys.put((caller.tenant_id, instance_id), row.public_key)
            return found

        return check_heartbeats(key_of, batch)

    # In a thread that reads, so that neither the loop nor the writer waits for the signatures.
    return await call.read(job)


OPERATIONS = (Operation("heartbeats.beat", "POST", "/v1/heartbeats", beat, Heartbeats, HeartbeatsAccepted),)
