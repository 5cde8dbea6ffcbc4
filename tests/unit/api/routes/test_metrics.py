"""Whose figures a scraper sees: its tenant's; the process's only where that tells nothing of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Plane, Tenant, serving
from tests.unit.api.test_exposition import parse


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Tenant]:
    """The only tenant of a control plane."""
    with serving(tmp_path / "home") as plane:
        yield plane.tenant()


def scraped(tenant: Tenant, role: str = "admin") -> dict[str, float]:
    reply = tenant.send("GET", "/metrics", role=role)
    assert reply.status == 200, reply.content
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        " ".join([name, *(f"{key}={value}" for key, value in sorted(labels))]): number
        for (name, labels), number in parse(reply.content).items()
    }


def test_the_only_tenants_admin_sees_the_process(alone: Tenant) -> None:
    instance = alone.launch()
    instance.work(instance.open())
    alone.send("GET", "/v1/leases/x", role="launcher")
    found = scraped(alone)
    assert found["dragons_instances state=running"] == 1
    assert found["dragons_http_requests_total operation=instances.launch status=2xx"] == 1
    assert found["dragons_http_request_seconds_count operation=instances.launch"] == 1
    assert found["dragons_writer_group_jobs_count"] > 0
    assert any(name.startswith("dragons_http_problems_total") for name in found)
    for role in ("operator", "auditor"):
        others = scraped(alone, role)
        assert others["dragons_instances state=running"] == 1
        assert not [
            name for name in others if name.startswith(("dragons_http", "dragons_writer", "dragons_sweep"))
        ]
    assert alone.send("GET", "/metrics", role="launcher").code == "role_forbidden"


def test_among_several_nobody_sees_it(plane: Plane) -> None:
    acme, globex = plane.tenant(), plane.tenant()
    globex.launch()
    found = scraped(acme)
    assert found["dragons_instances state=running"] == 0
    assert not [name for name in found if name.startswith("dragons_http")]


def test_unless_one_is_named(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as plane:
        acme, globex = plane.tenant(), plane.tenant()
        settings = plane.app.state.dispatcher._backend.settings
        plane.app.state.dispatcher._backend.settings = settings.model_copy(
            update={"metrics_tenant": acme.tenant_id}
        )
        assert any(name.startswith("dragons_http") for name in scraped(acme))
        assert not any(name.startswith("dragons_http") for name in scraped(globex))
