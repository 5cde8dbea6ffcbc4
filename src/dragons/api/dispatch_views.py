# ruff: noqa: D103 - each function is named after what it shows
"""Dispatches, orders, nodes and policies, as the wire shows them."""

from __future__ import annotations

import msgspec

from dragons.control.policies import effective, thresholds_of
from dragons.control.ports import Filter, Reader
from dragons.control.rows import DispatchRow, InstanceRow, NodeRow, OrderRow, PolicyRow, ReceiptRow
from dragons.core.canonical import decode
from dragons.core.clock import format_time
from dragons.core.errors import NotFoundError
from dragons.core.statement import Envelope, parse_envelope
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import Handover, Redispatch
from dragons.liveness.policy import EVERY_AGENT, POLICY, LivenessPolicy, Policy
from dragons.wire.base import PAGE_MAX
from dragons.wire.dispatches import (
    DispatchDetail,
    DispatchedInstance,
    Dispatches,
    DispatchView,
    EffectivePolicy,
    NodeOrder,
    Nodes,
    NodeView,
    OrderView,
    Policies,
    PolicyVersion,
    StartView,
    Thresholds,
)

DEFAULT = "default"


def dispatches(reader: Reader, tenant_id: str, agent: str | None, *, open_only: bool) -> Dispatches:
    rows = reader.dispatches(tenant_id, agent=agent, open_only=open_only, limit=PAGE_MAX)
    return Dispatches(dispatches=[_dispatch(reader, row) for row in rows])


def dispatch(reader: Reader, tenant_id: str, dispatch_id: str) -> DispatchDetail:
    row = reader.dispatch(tenant_id, dispatch_id)
    if row is None:
        raise NotFoundError(
            "dispatch_unknown",
            f"No dispatch {dispatch_id} was ordered.",
            fix="`dragons dispatch list` shows the dispatches.",
        )
    instances = sorted(reader.instances(tenant_id, dispatch_id=dispatch_id), key=lambda one: one.epoch)
    return DispatchDetail(
        view=_dispatch(reader, row),
        statement=parse_envelope(row.statement),
        instances=[_instance(one) for one in instances[-PAGE_MAX:]],
        orders=[order(one) for one in reader.orders(tenant_id, dispatch_id=dispatch_id)],
        starts=_starts(reader, row),
    )


def order(row: OrderRow) -> OrderView:
    return OrderView(
        order_id=row.order_id,
        kind=row.kind,
        dispatch_id=row.dispatch_id,
        agent=row.agent,
        epoch=row.epoch,
        target=row.target,
        due_at=format_time(row.due_ms),
        created_at=format_time(row.created_ms),
        instance_id=row.instance_id,
        taken_at="" if row.taken_ms is None else format_time(row.taken_ms),
    )


def node_order(reader: Reader, row: OrderRow) -> NodeOrder:
    known = reader.dispatch(row.tenant_id, row.dispatch_id)
    return NodeOrder(
        view=order(row),
        statement=None if known is None else parse_envelope(known.statement),
        handover=decode(Handover, row.handover) if row.handover else None,
    )


def nodes(reader: Reader, tenant_id: str, now_ms: int) -> Nodes:
    return Nodes(nodes=[_node(row, now_ms) for row in reader.nodes(tenant_id)])


def policies(reader: Reader, tenant_id: str) -> Policies:
    rows = reader.policies(tenant_id)[-PAGE_MAX:]
    return Policies(default=_thresholds(LivenessPolicy()), policies=[_policy(row) for row in rows])


def policy(reader: Reader, tenant_id: str, agent: str) -> EffectivePolicy:
    row = effective(reader, tenant_id, agent)
    versions = reader.policies(tenant_id, agent)
    values = LivenessPolicy() if row is None else thresholds_of(row)
    return EffectivePolicy(
        agent=agent,
        origin=DEFAULT if row is None else row.agent,
        version=values.version,
        next_version=versions[-1].version + 1 if versions else 1,
        thresholds=_thresholds(values),
        versions=[_policy(one) for one in versions[-PAGE_MAX:]],
    )


def known_agent(reader: Reader, tenant_id: str, agent: str) -> None:
    """NotFoundError unless `agent` is one, or every agent."""
    if agent != EVERY_AGENT and not reader.versions(tenant_id, agent):
        raise NotFoundError(
            "agent_missing",
            f"{agent} has no version on the record.",
            fix="`dragons agents list` shows the agents.",
        )


def _dispatch(reader: Reader, row: DispatchRow) -> DispatchView:
    return DispatchView(
        dispatch_id=row.dispatch_id,
        agent=row.agent,
        dispatcher=row.dispatcher,
        target=row.target,
        state=row.state,
        state_reason=row.state_reason,
        epoch=reader.epoch(row.tenant_id, row.dispatch_id),
        restarts=len(row.restarts),
        created_at=format_time(row.created_ms),
        ordered_by=_signer(row.statement),
        ended_at="" if row.ended_ms is None else format_time(row.ended_ms),
    )


def _instance(row: InstanceRow) -> DispatchedInstance:
    return DispatchedInstance(
        instance_id=row.instance_id,
        epoch=row.epoch,
        state=row.state.value,
        state_reason=row.state_reason,
        started_at=format_time(row.started_ms),
        stopped_at="" if row.stopped_ms is None else format_time(row.stopped_ms),
        node=row.node,
    )


def _starts(reader: Reader, row: DispatchRow) -> list[StartView]:
    """The newest starts of a dispatch among those of its agent, oldest first."""
    wanted = Filter(kind=Kind.REDISPATCHED.value, agent=row.agent, limit=PAGE_MAX, newest_first=True)
    found = [(receipt, _start(receipt)) for receipt in reader.receipts(row.tenant_id, wanted)]
    views = [
        StartView(
            receipt_id=receipt.receipt_id,
            seq=receipt.seq,
            order_id=body.order_id,
            epoch=body.epoch,
            reason=body.reason,
            fenced_by=body.fenced_by,
            at=body.at,
            handover=None if isinstance(body.handover, msgspec.UnsetType) else body.handover,
        )
        for receipt, body in found
        if body.dispatch_id == row.dispatch_id
    ]
    return sorted(views, key=lambda one: one.seq)


def _start(receipt: ReceiptRow) -> Redispatch:
    return decode(Redispatch, receipt.statement)


def _node(row: NodeRow, now_ms: int) -> NodeView:
    return NodeView(
        node=row.node,
        first_at=format_time(row.first_ms),
        seen_at=format_time(row.seen_ms),
        seen_age_ms=max(0, now_ms - row.seen_ms),
        running=row.running,
        version=row.version,
    )


def _policy(row: PolicyRow) -> PolicyVersion:
    return PolicyVersion(
        agent=row.agent,
        version=row.version,
        published_at=_body(row).published_at,
        published_by=_signer(row.statement),
        thresholds=_thresholds(thresholds_of(row)),
    )


def _thresholds(policy: LivenessPolicy) -> Thresholds:
    return Thresholds(
        degrade_after_seconds=policy.degrade_after_ms // 1000,
        autoheal_after_seconds=policy.autoheal_after_ms // 1000,
        lease_grace_seconds=policy.lease_grace_ms // 1000,
        heal_timeout_seconds=policy.heal_timeout_ms // 1000,
        waiting_max_seconds=policy.waiting_max_ms // 1000,
        restarts_max=policy.restarts_max,
        restart_window_seconds=policy.restart_window_ms // 1000,
        backoff_first_seconds=policy.backoff_first_ms // 1000,
        backoff_longest_seconds=policy.backoff_longest_ms // 1000,
        progress_required=policy.progress_required,
        progress_sources=sorted(policy.progress_sources),
    )


def _body(row: PolicyRow) -> Policy:
    return parse_envelope(row.statement).body(POLICY, Policy)


def _signer(statement: bytes) -> str:
    envelope: Envelope = parse_envelope(statement)
    return envelope.signatures[0].keyid
