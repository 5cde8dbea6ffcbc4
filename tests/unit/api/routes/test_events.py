"""The feed's own errors; what it carries is in tests/functional/api/test_feed.py."""

from __future__ import annotations

import pytest

from tests.support.server import Tenant


@pytest.mark.parametrize("value", ["x", "-1", "", "1.0", "9" * 16, "99999999999999999999"])
def test_a_malformed_last_event_id(tenant: Tenant, value: str) -> None:
    reply = tenant.send("GET", "/v1/events", headers={"last-event-id": value})
    assert (reply.status, reply.code) == (422, "last_event_id_malformed")


@pytest.mark.parametrize("query", ["after=-2", "after=x", "limit=1"])
def test_a_malformed_query(tenant: Tenant, query: str) -> None:
    reply = tenant.send("GET", f"/v1/events?{query}")
    assert (reply.status, reply.code) == (422, "request_invalid")
