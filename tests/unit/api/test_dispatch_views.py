"""How rows are shown; what stands behind each route is in tests/unit/api/routes."""

from __future__ import annotations

import pytest

from dragons.api import dispatch_views
from dragons.control.rows import NodeRow, OrderRow
from dragons.core.errors import NotFoundError
from dragons.core.ids import DISPATCH, ORDER, new_id
from tests.support.server import AGENT, Plane, Tenant

NOW_MS = 1_800_000_000_000
ORDERED = OrderRow(
    tenant_id="tnt_1", order_id=new_id(ORDER, NOW_MS), dispatch_id=new_id(DISPATCH, NOW_MS), agent=AGENT,
    kind="start", epoch=2, dispatcher="process", target="n1", instance_id="", due_ms=NOW_MS + 5, created_ms=NOW_MS,
)  # fmt: skip


def test_an_order_that_nobody_took_says_nothing_of_it() -> None:
    shown = dispatch_views.order(ORDERED)
    assert (shown.taken_at, shown.due_at, shown.epoch) == ("", "2027-01-15T08:00:00.005Z", 2)


def test_a_node_is_never_seen_in_the_future() -> None:
    row = NodeRow("tnt_1", "n1", NOW_MS, NOW_MS, 3, "1")

    class Reader:
        def nodes(self, _: str) -> list[NodeRow]:
            return [row]

    reader: dispatch_views.Reader = Reader()  # type: ignore[assignment]
    ages = [dispatch_views.nodes(reader, "tnt_1", NOW_MS + at).nodes[0].seen_age_ms for at in (-1, 0, 7)]
    assert ages == [0, 0, 7]


def test_starts_of_other_dispatches_are_not_shown(plane: Plane) -> None:
    tenant = plane.tenant()
    tenant.prepare()
    ids = []
    for _ in range(2):
        dispatch_id, statement = tenant.dispatch()
        tenant.post("/v1/dispatches", statement)
        ids.append(dispatch_id)
    for dispatch_id in ids:
        shown = read(tenant, dispatch_id)
        assert [one.order_id for one in shown.starts] == [one.order_id for one in shown.orders]
        assert len(shown.starts) == 1


def test_an_order_of_a_dispatch_that_is_gone_comes_without_its_statement(tenant: Tenant) -> None:
    shown = tenant.plane.backend.read_now(lambda reader: dispatch_views.node_order(reader, ORDERED))
    assert (shown.statement, shown.handover) == (None, None)


def test_every_agent_is_known_and_nobody_is_not(plane: Plane) -> None:
    tenant = plane.tenant()

    def known(agent: str) -> None:
        plane.backend.read_now(lambda reader: dispatch_views.known_agent(reader, tenant.tenant_id, agent))

    known("*")
    with pytest.raises(NotFoundError):
        known(AGENT)
    tenant.prepare()
    known(AGENT)


def read(tenant: Tenant, dispatch_id: str) -> dispatch_views.DispatchDetail:
    return tenant.plane.backend.read_now(
        lambda reader: dispatch_views.dispatch(reader, tenant.tenant_id, dispatch_id)
    )
