"""Agents: their versions, and which one is active."""

from __future__ import annotations

from dragons.api import views
from dragons.api.answers import recorded
from dragons.api.operation import Call, Operation
from dragons.control.versions import activate_version, next_version
from dragons.core.ids import check_agent_name
from dragons.wire.base import Empty, Recorded, Statement
from dragons.wire.identity import Agents, History, NextVersion


async def list_agents(call: Call[Empty]) -> Agents:
    """Every agent with a manifest on the record."""
    return await call.read(
        lambda reader: views.agents(reader, call.caller.tenant_id, call.backend.clock.now_ms())
    )


async def show(call: Call[Empty]) -> History:
    """An agent's versions, and the audited history of its activations."""
    agent = call.path["agent"]
    return await call.read(lambda reader: views.history(reader, call.caller.tenant_id, agent))


async def following(call: Call[Empty]) -> NextVersion:
    """The numbers that the agent's next registration and activation must have."""
    tenant_id, agent = call.caller.tenant_id, check_agent_name(call.path["agent"])
    return await call.read(
        lambda reader: NextVersion(
            agent=agent,
            version=next_version(reader, tenant_id, agent),
            ordinal=len(reader.activations(tenant_id, agent)),
        )
    )


async def activate(call: Call[Statement]) -> Recorded:
    """From now on the agent is launched as this version; an older one is a rollback."""
    statement = call.input.statement
    return recorded(await call.write(lambda tx: activate_version(tx, call.caller, statement)))


OPERATIONS = (
    Operation("agents.list", "GET", "/v1/agents", list_agents, answer=Agents),
    Operation("agents.show", "GET", "/v1/agents/{agent}", show, answer=History),
    Operation("agents.next", "GET", "/v1/agents/{agent}/next", following, answer=NextVersion),
    Operation("agents.activate", "POST", "/v1/activations", activate, Statement, Recorded),
)
