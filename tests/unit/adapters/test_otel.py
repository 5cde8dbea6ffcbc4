"""Telemetry goes where the standard variables say, over a real connection, and only when they say so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from dragons.adapters import otel
from dragons.adapters.otel import OtelMetrics, OtelTracing, Telemetry, otel_name, telemetry_of
from dragons.core.errors import InvalidInputError
from tests.support.collector import Collector, attributes_of, collecting

HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (False, False)),
        (HERE, (True, True)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://here"}, (True, False)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://here"}, (False, True)),
        (HERE | {"OTEL_TRACES_EXPORTER": "none"}, (False, True)),
        (HERE | {"OTEL_METRICS_EXPORTER": "none"}, (True, False)),
        (HERE | {"OTEL_SDK_DISABLED": "True"}, (False, False)),
        (HERE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, (True, True)),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, (False, False)),
    ],
)
def test_what_the_variables_ask_for(environment: dict[str, str], expected: tuple[bool, bool]) -> None:
    assert telemetry_of(environment) == Telemetry(*expected)


@pytest.mark.parametrize(
    "more",
    [
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
        {"OTEL_METRICS_EXPORTER": "prometheus"},
    ],
)
def test_what_can_not_be_spoken_is_said(more: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        telemetry_of(HERE | more)
    assert refused.value.code == "telemetry_unsupported"
    assert refused.value.fix


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(InvalidInputError) as refused:
        otel._library("opentelemetry.sdk.trace")
    assert refused.value.code == "telemetry_missing"
    assert "dragons-control-plane[otel]" in refused.value.fix


def test_no_sdk_is_imported_unless_it_is_wanted() -> None:
    program = "import sys, dragons.compose; print([n for n in sys.modules if n.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
        yield made


def test_spans_arrive_with_their_parent(collector: Collector) -> None:
    tracing = OtelTracing()
    with (
        tracing.span("ping", {"dragons.operation": "ping"}, {"traceparent": PARENT}) as span,
        tracing.span("inner", {}),
    ):
        span.note({"http.response.status_code": 503, "error.type": "store_closed"}, failed=True)
    tracing.record("redispatch", (1_800_000_000_000, 1_800_000_002_500), {"dragons.epoch": 2})
    tracing.close()
    (outer,), (inner,), (past,) = (collector.spans(name) for name in ("ping", "inner", "redispatch"))
    assert outer.trace_id.hex() == inner.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (outer.parent_span_id.hex(), inner.parent_span_id) == ("00f067aa0ba902b7", outer.span_id)
    assert (outer.kind, inner.kind) == (2, 1)  # SERVER, INTERNAL
    assert outer.status.code == 2  # ERROR
    assert attributes_of(outer) == {
        "dragons.operation": "ping", "http.response.status_code": 503, "error.type": "store_closed",
    }  # fmt: skip
    assert past.end_time_unix_nano - past.start_time_unix_nano == 2_500_000_000
    assert not past.parent_span_id
    assert collector.resource()["service.name"] == "dragons-control-plane"


@pytest.mark.parametrize("carrier", [{}, {"traceparent": "x"}, {"traceparent": "00-0-0-01"}])
def test_a_malformed_parent_is_none(collector: Collector, carrier: dict[str, str]) -> None:
    tracing = OtelTracing()
    with tracing.span("ping", {}, carrier):
        pass
    tracing.close()
    (span,) = collector.spans("ping")
    assert not span.parent_span_id


def test_the_operators_name_for_the_service_counts(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "plane-7")
    tracing = OtelTracing()
    tracing.record("redispatch", (1, 2), {})
    tracing.close()
    assert collector.resource()["service.name"] == "plane-7"


def test_figures_arrive_as_they_are_at_each_collection(collector: Collector) -> None:
    looks: list[int] = []

    def observe() -> list[otel.Observed]:
        looks.append(1)
        return [
            ("dragons_http_requests_total", "counter", "R.", [(len(looks), {"operation": "ping"})]),
            ("dragons_instances", "gauge", "I.", [(3, {"state": "running"}), (0, {"state": "degraded"})]),
        ]

    names = [("dragons_http_requests_total", "counter", "R."), ("dragons_instances", "gauge", "I.")]
    metrics = OtelMetrics(observe, names)
    metrics.value("dragons_sweep_seconds", (0.1, 1.0), 0.5, {})
    metrics._provider.force_flush()
    # Two instruments, and one look for both of them.
    assert len(looks) == 1
    metrics.close()
    assert len(looks) == 2
    found = collector.metrics()
    (requests,) = found["dragons.http_requests"].sum.data_points
    assert (requests.as_int, attributes_of(requests)) == (2, {"operation": "ping"})
    assert found["dragons.http_requests"].sum.is_monotonic
    states = {attributes_of(one)["state"]: one.as_int for one in found["dragons.instances"].gauge.data_points}
    assert states == {"running": 3, "degraded": 0}
    (sweep,) = found["dragons.sweep_seconds"].histogram.data_points
    assert (list(sweep.explicit_bounds), list(sweep.bucket_counts)) == ([0.1, 1.0], [0, 1, 0])


def test_names_are_of_the_namespace() -> None:
    assert otel_name("dragons_http_requests_total") == "dragons.http_requests"
    assert otel_name("dragons_mtboi_seconds") == "dragons.mtboi_seconds"
