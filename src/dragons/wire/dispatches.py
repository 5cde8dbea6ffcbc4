"""Dispatches, the nodes that carry them out, and liveness policies on the wire."""

from __future__ import annotations

from typing import Annotated

import msgspec

from dragons.core.ids import Id, InstanceId
from dragons.core.statement import Envelope
from dragons.evidence.receipt import Handover
from dragons.wire.base import Request, Response

# How long a node may let its report wait for orders.
WAIT_MS_MAX = 20_000
RUNNING_MAX = 10_000
RESULTS_MAX = 1_000

_Detail = Annotated[str, msgspec.Meta(max_length=500)]


class DispatchView(Response):
    """A dispatch at a glance. `restarts` is how many starts healing ordered since it was last released.

    `state` is open, held (nothing is started until an operator releases it), completed, failed or cancelled.
    """

    dispatch_id: str
    agent: str
    dispatcher: str
    target: str
    state: str
    state_reason: str
    epoch: int
    restarts: int
    created_at: str
    ordered_by: str
    ended_at: str = ""


class Dispatches(Response):
    dispatches: list[DispatchView]


class DispatchedInstance(Response):
    """An instance that worked on a dispatch; `node` is where it was launched, empty when that was no node."""

    instance_id: str
    epoch: int
    state: str
    state_reason: str
    started_at: str
    stopped_at: str
    node: str


class OrderView(Response):
    """An order to a dispatcher, to be carried out from `due_at` on. `instance_id` is whom a stop is for."""

    order_id: str
    kind: str
    dispatch_id: str
    agent: str
    epoch: int
    target: str
    due_at: str
    created_at: str
    instance_id: str = ""
    taken_at: str = ""


class StartView(Response):
    """A start that is on the record: of which epoch, why, and what kept the one before from acting."""

    receipt_id: str
    seq: int
    order_id: str
    epoch: int
    reason: str
    fenced_by: str
    at: str
    handover: Handover | None = None


class DispatchDetail(Response):
    """`starts` are the newest ones on the record, oldest first."""

    view: DispatchView
    statement: Envelope
    instances: list[DispatchedInstance]
    orders: list[OrderView]
    starts: list[StartView]


class Dead(Request):
    """An instance whose program is over; `completed` when it said itself that its work is done."""

    instance_id: InstanceId
    detail: _Detail
    completed: bool = False


class OrderResult(Request):
    """What came of an order. A start is done by its launch, so only its failure is told."""

    order_id: Id
    outcome: Annotated[str, msgspec.Meta(pattern=r"^(done|failed)$(?!\n)")]
    detail: _Detail = ""


class NodeReport(Request):
    """What a node says. `held` are the orders that it is at work on: all others are given to it again.

    With `fresh` the report is whole: what the control plane believes to run there and `running` does not
    name has ended. `number` grows with every report of the node; a whole report that was overtaken by a
    later one says nothing any more, and one with 0 is always taken as the newest. The answer comes at once when there are orders, else after up to `wait_ms`.
    """

    running: Annotated[list[InstanceId], msgspec.Meta(max_length=RUNNING_MAX)] = []
    dead: Annotated[list[Dead], msgspec.Meta(max_length=RESULTS_MAX)] = []
    results: Annotated[list[OrderResult], msgspec.Meta(max_length=RESULTS_MAX)] = []
    held: Annotated[list[Id], msgspec.Meta(max_length=RUNNING_MAX)] = []
    fresh: bool = False
    number: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)] = 0
    version: Annotated[str, msgspec.Meta(max_length=100)] = ""
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=WAIT_MS_MAX)] = 0


class NodeOrder(Response):
    """An order for a node; a start comes with the operator's statement and what is handed over."""

    view: OrderView
    statement: Envelope | None = None
    handover: Handover | None = None


class NodeOrders(Response):
    orders: list[NodeOrder]


class NodeView(Response):
    """A node as it last reported."""

    node: str
    first_at: str
    seen_at: str
    seen_age_ms: int
    running: int
    version: str


class Nodes(Response):
    nodes: list[NodeView]


class Thresholds(Response):
    """A policy's values, as `dragons.liveness.policy.Policy` names them."""

    degrade_after_seconds: int
    autoheal_after_seconds: int
    lease_grace_seconds: int
    heal_timeout_seconds: int
    waiting_max_seconds: int
    restarts_max: int
    restart_window_seconds: int
    backoff_first_seconds: int
    backoff_longest_seconds: int
    progress_required: bool
    progress_sources: list[str]


class PolicyVersion(Response):
    """A published version of a policy."""

    agent: str
    version: int
    published_at: str
    published_by: str
    thresholds: Thresholds


class EffectivePolicy(Response):
    """What counts for `agent` now. `origin` says whose policy that is: default, `*` or the agent's own name.

    `next_version` numbers the next policy published under `agent`; `versions` are all that were.
    """

    agent: str
    origin: str
    version: int
    next_version: int
    thresholds: Thresholds
    versions: list[PolicyVersion]


class Policies(Response):
    """`default` counts where neither an agent's own policy nor one for `*` was published."""

    default: Thresholds
    policies: list[PolicyVersion]
