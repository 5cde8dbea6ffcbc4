"""Nodes: they say what they run, and wait for their orders."""

from __future__ import annotations

from collections.abc import Callable

from dragons.api import dispatch_views
from dragons.api.operation import Call, Operation
from dragons.api.waiting import wait_until
from dragons.control import nodes
from dragons.control.orders import due_orders, take_orders
from dragons.control.ports import Transaction
from dragons.control.rows import OrderRow
from dragons.core.errors import InvalidInputError
from dragons.liveness.dispatch import is_node_name
from dragons.wire.base import Empty
from dragons.wire.dispatches import NodeOrder, NodeOrders, NodeReport, Nodes


async def report(call: Call[NodeReport]) -> NodeOrders:
    """Take in what a node says; answers with its orders, at once or when one comes within `wait_ms`."""
    said, tenant_id, node = call.input, call.caller.tenant_id, _node_of(call)
    issuer = call.backend.keyring.issuer(tenant_id)
    held = frozenset(said.held)
    told = nodes.NodeReport(
        node=node,
        running=tuple(said.running),
        dead=tuple(nodes.Dead(one.instance_id, one.detail, one.completed) for one in said.dead),
        results=tuple(nodes.OrderResult(one.order_id, one.outcome, one.detail) for one in said.results),
        held=held,
        fresh=said.fresh,
        number=said.number,
        version=said.version,
    )
    orders = await call.write(_shown(lambda tx: nodes.report_node(tx, issuer, call.caller, told)))
    if orders or not said.wait_ms:
        return NodeOrders(orders=orders)

    async def look() -> list[NodeOrder] | None:
        # The credential may end while the node waits.
        call.authenticator.identify(call.authorization)
        now_ms = call.backend.clock.now_ms()
        if not await call.read(lambda reader: due_orders(reader, tenant_id, node, now_ms, held)):
            return None
        return await call.write(_shown(lambda tx: take_orders(tx, tenant_id, node, held))) or None

    found = await wait_until(call.backend, call.backend.node_bell, look, said.wait_ms)
    return NodeOrders(orders=found or [])


async def list_nodes(call: Call[Empty]) -> Nodes:
    """The tenant's nodes as they last reported."""
    now_ms = call.backend.clock.now_ms()
    return await call.read(lambda reader: dispatch_views.nodes(reader, call.caller.tenant_id, now_ms))


def _shown(job: Callable[[Transaction], list[OrderRow]]) -> Callable[[Transaction], list[NodeOrder]]:
    return lambda tx: [dispatch_views.node_order(tx, row) for row in job(tx)]


def _node_of(call: Call[NodeReport]) -> str:
    node = call.path["node"]
    if not is_node_name(node):
        raise InvalidInputError(
            "node_name_malformed",
            f"{node[:100]!r} can't name a node.",
            fix="Use up to 63 lower-case letters, digits, dots and dashes.",
        )
    return node


OPERATIONS = (
    Operation("nodes.report", "POST", "/v1/nodes/{node}/reports", report, NodeReport, NodeOrders),
    Operation("nodes.list", "GET", "/v1/nodes", list_nodes, answer=Nodes),
)
