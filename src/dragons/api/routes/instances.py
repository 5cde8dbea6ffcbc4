"""Instances: launching one, and what is known of them."""

from __future__ import annotations

from dragons.api import views
from dragons.api.answers import Around, around, granted, granted_or_raise
from dragons.api.authentication import instance_key_id
from dragons.api.operation import Call, Operation
from dragons.api.query import InstanceQuery
from dragons.control.denials import Refused
from dragons.control.issue import Grant
from dragons.control.launch import LaunchWish, launch_instance
from dragons.control.ports import Transaction
from dragons.core.errors import ForbiddenError, UnauthenticatedError
from dragons.core.keys import PublicKey
from dragons.core.vocabulary import Reason, Role
from dragons.wire.authority import Granted, Launch
from dragons.wire.base import Empty
from dragons.wire.liveness import Instances, InstanceView


async def launch(call: Call[Launch]) -> Granted:
    """Issue the first lease of a measured agent's new instance, whose key signs this request."""
    wish, backend, tenant_id = call.input, call.backend, call.caller.tenant_id
    key = PublicKey(wish.instance_key)
    if call.proof is None:
        raise UnauthenticatedError("proof_missing", "A launch carries a proof of the new instance's key.")
    call.authenticator.verify_proof(call.proof, key, instance_key_id(key))
    issuer = backend.keyring.issuer(tenant_id)
    wanted = LaunchWish(
        instance_id=wish.instance_id,
        instance_key=wish.instance_key,
        manifest=wish.manifest,
        scope=tuple(wish.scope),
        delegate_scope=tuple(wish.delegate_scope),
        ttl_seconds=wish.ttl_seconds,
        dispatch_id=wish.dispatch_id,
        epoch=wish.epoch,
        node=wish.node,
    )

    def job(tx: Transaction) -> tuple[Grant | Refused, Around]:
        return launch_instance(tx, issuer, call.caller, wanted), around(tx, tenant_id, issuer)

    outcome, near = await call.write(job)
    return granted(granted_or_raise(outcome), near, issuer, backend.settings.heartbeat_seconds)


async def list_instances(call: Call[InstanceQuery]) -> Instances:
    """The tenant's instances with pulse, progress and the derived state."""
    wanted, now_ms = call.input, call.backend.clock.now_ms()
    return await call.read(
        lambda reader: views.instances(
            reader, call.caller.tenant_id, wanted.agent or None, live=wanted.live, now_ms=now_ms
        )
    )


async def show(call: Call[Empty]) -> InstanceView:
    """One instance; an instance sees itself only."""
    instance_id, now_ms = call.path["instance_id"], call.backend.clock.now_ms()
    if call.caller.role is Role.INSTANCE and call.caller.instance_id != instance_id:
        raise ForbiddenError(Reason.INSTANCE_MISMATCH.value, "An instance may look at itself only.")
    return await call.read(lambda reader: views.instance(reader, call.caller.tenant_id, instance_id, now_ms))


OPERATIONS = (
    Operation("instances.launch", "POST", "/v1/instances", launch, Launch, Granted, proven=True),
    Operation("instances.list", "GET", "/v1/instances", list_instances, InstanceQuery, Instances),
    Operation("instances.show", "GET", "/v1/instances/{instance_id}", show, answer=InstanceView),
)
