"""Leases: their life after launch, and what is known of them."""

from __future__ import annotations

from dragons.api import views
from dragons.api.answers import Around, around, granted, granted_or_raise, recorded
from dragons.api.operation import Call, Operation
from dragons.api.query import ByAgent
from dragons.control.denials import Refused
from dragons.control.issue import Grant
from dragons.control.leases import delegate_lease, release_lease, renew_lease
from dragons.control.ports import Transaction
from dragons.wire.authority import Delegate, Granted, LeaseDetail, Leases
from dragons.wire.base import Empty, Recorded, Statement


async def renew(call: Call[Empty]) -> Granted:
    """Extend the caller's own lease by its length, within dock and parent."""
    backend, tenant_id = call.backend, call.caller.tenant_id
    issuer = backend.keyring.issuer(tenant_id)

    def job(tx: Transaction) -> tuple[Grant | Refused, Around]:
        return renew_lease(tx, issuer, call.caller), around(tx, tenant_id, issuer)

    outcome, near = await call.write(job)
    return granted(granted_or_raise(outcome), near, issuer, backend.settings.heartbeat_seconds)


async def release(call: Call[Statement]) -> Recorded:
    """Give the caller's lease back; the instance is stopped for good."""
    statement = call.input.statement
    issuer = call.backend.keyring.issuer(call.caller.tenant_id)
    return recorded(await call.write(lambda tx: release_lease(tx, issuer, call.caller, statement)))


async def delegate(call: Call[Delegate]) -> Granted:
    """Issue a child lease under the caller's: less scope, no more time, one level deeper."""
    backend, tenant_id = call.backend, call.caller.tenant_id
    statement, manifest = call.input.delegation, call.input.manifest
    issuer = backend.keyring.issuer(tenant_id)

    def job(tx: Transaction) -> tuple[Grant | Refused, Around]:
        outcome = delegate_lease(tx, issuer, call.caller, statement, manifest)
        return outcome, around(tx, tenant_id, issuer)

    outcome, near = await call.write(job)
    return granted(granted_or_raise(outcome), near, issuer, backend.settings.heartbeat_seconds)


async def list_leases(call: Call[ByAgent]) -> Leases:
    """The newest statement of every lease, ended ones included."""
    now_ms = call.backend.clock.now_ms()
    return await call.read(
        lambda reader: views.leases(reader, call.caller.tenant_id, call.input.agent or None, now_ms)
    )


async def show(call: Call[Empty]) -> LeaseDetail:
    """One lease with its signed statement."""
    lease_id, now_ms = call.path["lease_id"], call.backend.clock.now_ms()
    return await call.read(lambda reader: views.lease_detail(reader, call.caller.tenant_id, lease_id, now_ms))


OPERATIONS = (
    Operation("leases.renew", "POST", "/v1/leases/renewals", renew, Empty, Granted),
    Operation("leases.release", "POST", "/v1/leases/releases", release, Statement, Recorded),
    Operation("leases.delegate", "POST", "/v1/leases/delegations", delegate, Delegate, Granted),
    Operation("leases.list", "GET", "/v1/leases", list_leases, ByAgent, Leases),
    Operation("leases.show", "GET", "/v1/leases/{lease_id}", show, answer=LeaseDetail),
)
