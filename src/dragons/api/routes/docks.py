"""Docks: what an operator allowed an agent in this tenant."""

from __future__ import annotations

from dragons.api import views
from dragons.api.answers import recorded
from dragons.api.operation import Call, Operation
from dragons.api.query import ByAgent
from dragons.control.docks import dock_agent
from dragons.wire.authority import Docks, DockView
from dragons.wire.base import Empty, Recorded, Statement


async def create(call: Call[Statement]) -> Recorded:
    """Record an operator's signed ceiling for an agent."""
    statement = call.input.statement
    return recorded(await call.write(lambda tx: dock_agent(tx, call.caller, statement)))


async def list_docks(call: Call[ByAgent]) -> Docks:
    """The tenant's docks, ended ones included."""
    now_ms = call.backend.clock.now_ms()
    return await call.read(
        lambda reader: views.docks(reader, call.caller.tenant_id, call.input.agent or None, now_ms)
    )


async def show(call: Call[Empty]) -> DockView:
    """One dock."""
    dock_id, now_ms = call.path["dock_id"], call.backend.clock.now_ms()
    return await call.read(lambda reader: views.dock(reader, call.caller.tenant_id, dock_id, now_ms))


OPERATIONS = (
    Operation("docks.create", "POST", "/v1/docks", create, Statement, Recorded),
    Operation("docks.list", "GET", "/v1/docks", list_docks, ByAgent, Docks),
    Operation("docks.show", "GET", "/v1/docks/{dock_id}", show, answer=DockView),
)
