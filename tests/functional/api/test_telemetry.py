"""A control plane of its own process tells a collector what it does, by the standard variables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from dragons.core.errors import DragonsError
from tests.functional.plane import ControlPlane
from tests.support.collector import Collector, attributes_of, collecting

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "200")
        yield made


@pytest.fixture
def plane(tmp_path: Path, collector: Collector) -> Iterator[ControlPlane]:
    made = ControlPlane(tmp_path, sweep_seconds=0.2)
    made.start()
    yield made
    made.stop()


def test_requests_sweeps_and_figures_arrive(plane: ControlPlane, collector: Collector) -> None:
    headers = {"authorization": f"Bearer {plane.token}", "traceparent": PARENT}
    httpx2.get(f"{plane.url}/v1/fleet", headers=headers, trust_env=False).raise_for_status()
    with plane.client() as client, pytest.raises(DragonsError):
        client.instance("0" * 32)
    (asked,) = collector.wait(lambda: collector.spans("fleet.show"))
    assert asked.trace_id.hex() == PARENT.split("-")[1]
    assert attributes_of(asked) == {
        "dragons.operation": "fleet.show", "http.request.method": "GET", "http.response.status_code": 200,
    }  # fmt: skip
    (refused,) = collector.wait(lambda: collector.spans("instances.show"))
    assert attributes_of(refused)["error.type"] == "instance_missing"
    # The caller was wrong, not the server.
    assert refused.status.code == 0
    swept = collector.wait(lambda: collector.spans("sweep"))[0]
    assert attributes_of(swept)["dragons.tenants"] == 1

    def counted() -> bool:
        found = collector.metrics().get("dragons.http_requests")
        return found is not None and any(
            attributes_of(one) == {"operation": "instances.show", "status": "4xx"} and one.as_int == 1
            for one in found.sum.data_points
        )

    collector.wait(counted)
    (mtboi,) = collector.metrics()["dragons.mtboi_seconds"].gauge.data_points
    assert attributes_of(mtboi) == {"dragons.tenant_id": plane.tenant_id}
    assert "dragons.http_request_seconds" in collector.metrics()


def test_a_server_ends_though_nobody_collects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    plane = ControlPlane(tmp_path)
    plane.start()
    with plane.client() as client:
        assert client.fleet().total == 0
    plane.stop()
