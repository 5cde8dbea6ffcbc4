"""Nodes: what runs there, what they are ordered to do, and what came of it."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from dragons.control.caller import Caller
from dragons.control.dispatches import start_failed
from dragons.control.orders import DONE, FAILED, START, close_order, take_orders
from dragons.control.organism import HALTED, advance
from dragons.control.ports import Transaction
from dragons.control.rows import InstanceRow, NodeRow, OrderRow
from dragons.core.errors import NotFoundError
from dragons.core.keys import Signer
from dragons.core.vocabulary import OrganismState
from dragons.liveness.organism import Ended, StartFailed


class OrderResult(NamedTuple):
    """What came of an order: `done` or `failed`. A start is done by its launch, so only its failure is told."""

    order_id: str
    outcome: str
    detail: str


class Dead(NamedTuple):
    """An instance whose program is over; `completed` when it said itself that its work is done."""

    instance_id: str
    detail: str
    completed: bool = False


class NodeReport(NamedTuple):
    """What a node says. `held` are the orders that it is at work on.

    With `fresh` the report is whole: `running` names every instance that the node runs. `number` grows with
    every report of a node, so that a whole one that was overtaken buries nothing that was started since.
    """

    node: str
    running: tuple[str, ...]
    dead: tuple[Dead, ...] = ()
    results: tuple[OrderResult, ...] = ()
    held: frozenset[str] = frozenset()
    fresh: bool = False
    number: int = 0
    version: str = ""


def report_node(tx: Transaction, issuer: Signer, caller: Caller, report: NodeReport) -> list[OrderRow]:
    """Take in a node's report; the orders that it has to carry out now."""
    tenant_id = caller.tenant_id
    known = next((row for row in tx.nodes(tenant_id) if row.node == report.node), None)
    tx.put_node(
        NodeRow(
            tenant_id,
            report.node,
            tx.now_ms if known is None else known.first_ms,
            tx.now_ms,
            len(report.running),
            report.version,
            max(report.number, 0 if known is None else known.number),
        )
    )
    for result in report.results:
        settle_order(tx, issuer, tenant_id, report.node, result)
    for one in report.dead:
        instance = tx.instance(tenant_id, one.instance_id)
        if instance is not None and instance.node == report.node:
            _dead(tx, issuer, instance, one.detail, completed=one.completed)
    if report.fresh and (known is None or report.number == 0 or report.number > known.number):
        for instance in tx.live_on(tenant_id, report.node):
            if instance.instance_id not in report.running:
                _dead(tx, issuer, instance, "its node no longer runs it")
    return take_orders(tx, tenant_id, report.node, report.held)


def settle_order(tx: Transaction, issuer: Signer, tenant_id: str, node: str, result: OrderResult) -> None:
    """An order to `node` was carried out or could not be; one that is over already stays as it is."""
    order = tx.order(tenant_id, result.order_id)
    if order is None or order.target != node:
        raise NotFoundError("order_missing", f"There is no order {result.order_id} for {node}.")
    if order.done_ms is not None:
        return
    if order.kind == START:
        if result.outcome == FAILED:
            fail_start(tx, issuer, order, result.detail)
        return
    close_order(tx, order, result.outcome, result.detail)
    instance = tx.instance(tenant_id, order.instance_id)
    if result.outcome == DONE and instance is not None:
        _dead(tx, issuer, instance, result.detail)


def fail_start(tx: Transaction, issuer: Signer, order: OrderRow, detail: str) -> None:
    """A start did not come about: the instance that it heals decides, or the dispatch alone."""
    for instance in tx.instances(order.tenant_id, live=True, dispatch_id=order.dispatch_id):
        if instance.state is OrganismState.AUTOHEALING:
            close_order(tx, order, FAILED, detail)
            advance(tx, issuer, instance, StartFailed(detail))
            return
    start_failed(tx, issuer, order, detail)


def _dead(
    tx: Transaction, issuer: Signer, instance: InstanceRow, detail: str, *, completed: bool = False
) -> None:
    if instance.state in HALTED and instance.dead:
        return
    advance(tx, issuer, instance, Ended(failed=not completed, detail=detail))


def launched(tx: Transaction, instance: InstanceRow, order: OrderRow, node: str) -> None:
    """An instance carries out a start; `node` is empty when somebody else than a node launched it."""
    close_order(tx, order, DONE, instance.instance_id)
    tx.put_instance(replace(instance, node=node))
