"""The fleet on the wire: every live instance on one page after another, and MTBOI with its proofs."""

from __future__ import annotations

from dragons.wire.base import Response


class FleetMember(Response):
    """An instance: authority, pulse, progress, and the state that follows from them, with its reason.

    Ages are -1 for what never happened. `restarts` counts starts ordered by healing since an operator
    last released the dispatch; `dispatch_state` is empty for an instance without a dispatch.
    """

    agent: str
    version: int
    instance_id: str
    dispatch_id: str
    epoch: int
    node: str
    state: str
    state_reason: str
    state_since: str
    started_at: str
    lease_id: str
    lease_status: str
    lease_left_seconds: int
    pulse_age_ms: int
    progress_sequence: int
    progress_source: str
    progress_age_ms: int
    waiting_for: str
    restarts: int
    dispatch_state: str
    incident_id: str
    mtboi_seconds: int


class Fleet(Response):
    """One page, the worst state first. `total` counts what the filters chose; the rest is of the tenant.

    `next_skip` continues the listing; -1 when it is exhausted.
    """

    as_of: str
    members: list[FleetMember]
    total: int
    next_skip: int
    states: dict[str, int]
    held_agents: list[str]
    held_dispatches: int
    incidents_open: int
    mtboi_seconds: int
    running_seconds: int
    interventions: int


class SpanView(Response):
    """When an instance ran, and how much of it counts; `ended_at` is empty while it runs.

    `began_by` is the receipt of its lease, `ended_by` that of the state change which ended its authority.
    """

    instance_id: str
    agent: str
    version: int
    began_at: str
    ended_at: str
    counted_ms: int
    began_by: str
    ended_by: str


class InterventionView(Response):
    """An intervention that counts: on an instance, a dispatch, or all of the agent (both ids are empty)."""

    receipt_id: str
    seq: int
    at: str
    agent: str
    instance_id: str
    dispatch_id: str
    action: str
    reason: str
    operator: str


class MtboiView(Response):
    """The figure over [since, until) and one page of what it is made of.

    `mtboi_seconds` is `running_ms` div 1000 div max(1, `interventions`); `running_ms` is the sum of
    `counted_ms` over all pages. The next page is asked for with `until_ms` of the same moment; -1 when there is none.
    """

    agent: str
    since: str
    until: str
    mtboi_seconds: int
    running_ms: int
    interventions: int
    spans: list[SpanView]
    hands: list[InterventionView]
    next_page: int
