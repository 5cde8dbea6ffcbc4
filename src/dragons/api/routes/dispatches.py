"""Dispatches: an operator orders work that goes on until it is done."""

from __future__ import annotations

from dragons.api import dispatch_views
from dragons.api.answers import recorded
from dragons.api.operation import Call, Operation
from dragons.api.query import DispatchQuery
from dragons.control.dispatches import create_dispatch
from dragons.core.ids import DISPATCH, check_id
from dragons.wire.base import Empty, Recorded, Statement
from dragons.wire.dispatches import DispatchDetail, Dispatches


async def create(call: Call[Statement]) -> Recorded:
    """Record an operator's signed order and have the first instance started."""
    statement = call.input.statement
    issuer = call.backend.keyring.issuer(call.caller.tenant_id)
    return recorded(await call.write(lambda tx: create_dispatch(tx, issuer, call.caller, statement)))


async def list_dispatches(call: Call[DispatchQuery]) -> Dispatches:
    """The tenant's dispatches, the newest first."""
    wanted = call.input
    return await call.read(
        lambda reader: dispatch_views.dispatches(
            reader, call.caller.tenant_id, wanted.agent or None, open_only=wanted.open
        )
    )


async def show(call: Call[Empty]) -> DispatchDetail:
    """One dispatch: its instances, open orders, and every start of it that is on the record."""
    dispatch_id = check_id(DISPATCH, call.path["dispatch_id"])
    return await call.read(lambda reader: dispatch_views.dispatch(reader, call.caller.tenant_id, dispatch_id))


OPERATIONS = (
    Operation("dispatches.create", "POST", "/v1/dispatches", create, Statement, Recorded),
    Operation("dispatches.list", "GET", "/v1/dispatches", list_dispatches, DispatchQuery, Dispatches),
    Operation("dispatches.show", "GET", "/v1/dispatches/{dispatch_id}", show, answer=DispatchDetail),
)
