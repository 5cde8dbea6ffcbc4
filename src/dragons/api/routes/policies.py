"""Liveness policies: when silence counts, how healing is tried, when it is given up."""

from __future__ import annotations

from dragons.api import dispatch_views
from dragons.api.answers import recorded
from dragons.api.operation import Call, Operation
from dragons.control.policies import publish_policy
from dragons.control.ports import Reader
from dragons.core.ids import check_agent_name
from dragons.liveness.policy import EVERY_AGENT
from dragons.wire.base import Empty, Recorded, Statement
from dragons.wire.dispatches import EffectivePolicy, Policies


async def publish(call: Call[Statement]) -> Recorded:
    """Record the next version of a signed policy; it counts from now on, also for what runs already."""
    statement = call.input.statement
    return recorded(await call.write(lambda tx: publish_policy(tx, call.caller, statement)))


async def list_policies(call: Call[Empty]) -> Policies:
    """Every version of every policy, and the product's defaults."""
    return await call.read(lambda reader: dispatch_views.policies(reader, call.caller.tenant_id))


async def show(call: Call[Empty]) -> EffectivePolicy:
    """What counts for an agent now and whose policy that is; `*` stands for every agent."""
    agent, tenant_id = call.path["agent"], call.caller.tenant_id
    if agent != EVERY_AGENT:
        check_agent_name(agent)

    def job(reader: Reader) -> EffectivePolicy:
        dispatch_views.known_agent(reader, tenant_id, agent)
        return dispatch_views.policy(reader, tenant_id, agent)

    return await call.read(job)


OPERATIONS = (
    Operation("policies.publish", "POST", "/v1/policies", publish, Statement, Recorded),
    Operation("policies.list", "GET", "/v1/policies", list_policies, answer=Policies),
    Operation("policies.show", "GET", "/v1/policies/{agent}", show, answer=EffectivePolicy),
)
