"""OpenTelemetry: traces and metrics by OTLP over HTTP, when the standard OTEL_… variables ask for them.

The libraries are an extra and are imported only when this module builds something. Endpoints, headers,
sampling and intervals are the SDK's own variables; nothing of them is read here but whether they are set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from dragons import __version__
from dragons.core.errors import InvalidInputError

SERVICE = "dragons-control-plane"
_UNKNOWN = "unknown_service"
_NS_PER_MS = 1_000_000
_PROTOCOL = "http/protobuf"

Value = str | int | bool
# Name, kind (counter or gauge), meaning, and numbers with their attributes.
Observed = tuple[str, str, str, list[tuple[float, dict[str, str]]]]
Observe = Callable[[], Iterable[Observed]]


class Telemetry(NamedTuple):
    """What the environment asks for."""

    traces: bool
    metrics: bool


def telemetry_of(environment: Mapping[str, str]) -> Telemetry:
    """What the standard variables ask for: nothing without an endpoint. InvalidInputError for another protocol.

    As the specification of the variables says: a signal is off when its exporter is `none`, and all are when
    OTEL_SDK_DISABLED is true.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Telemetry(traces=False, metrics=False)
    wanted = [_wants(environment, signal) for signal in ("TRACES", "METRICS")]
    return Telemetry(*wanted)


def _wants(environment: Mapping[str, str], signal: str) -> bool:
    exporter = environment.get(f"OTEL_{signal}_EXPORTER", "otlp").strip() or "otlp"
    endpoint = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or environment.get(
        "OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    if exporter == "none" or not endpoint:
        return False
    if exporter != "otlp":
        raise InvalidInputError(
            "telemetry_unsupported",
            f"OTEL_{signal}_EXPORTER asks for {exporter!r}; only otlp and none are known.",
            fix=f"Set OTEL_{signal}_EXPORTER to otlp or none.",
        )
    protocol = (
        environment.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL")
        or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or _PROTOCOL
    )
    if protocol != _PROTOCOL:
        raise InvalidInputError(
            "telemetry_unsupported",
            f"OTLP over {protocol!r} is asked for; only {_PROTOCOL} is spoken.",
            fix=f"Set OTEL_EXPORTER_OTLP_PROTOCOL to {_PROTOCOL}, and the endpoint to its port, usually 4318.",
        )
    return True


class OtelSpan:
    """An open span."""

    def __init__(self, span: Any, failed: Any) -> None:  # noqa: ANN401 - the library's own
        self._span = span
        self._failed = failed

    def note(self, attributes: Mapping[str, Value], *, failed: bool = False) -> None:
        """Add attributes; `failed` makes the span an error."""
        self._span.set_attributes(attributes)
        if failed:
            self._span.set_status(self._failed)


class OtelTracing:
    """Implements `dragons.api.tracing.Tracing`."""

    wanted = True

    def __init__(self) -> None:
        self._trace = _library("opentelemetry.trace")
        propagation = _library("opentelemetry.trace.propagation.tracecontext")
        export = _library("opentelemetry.sdk.trace.export")
        exporter = _library("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        provider = _library("opentelemetry.sdk.trace").TracerProvider(resource=_resource())
        provider.add_span_processor(export.BatchSpanProcessor(exporter.OTLPSpanExporter()))
        self._provider = provider
        self._tracer = provider.get_tracer(SERVICE, __version__)
        self._propagator = propagation.TraceContextTextMapPropagator()
        self._failed = self._trace.Status(self._trace.StatusCode.ERROR)

    @contextmanager
    def span(
        self, name: str, attributes: Mapping[str, Value], carrier: Mapping[str, str] | None = None
    ) -> Iterator[OtelSpan]:
        """A span around what the caller does: a server's, when a request carried it here."""
        kind = self._trace.SpanKind.INTERNAL if carrier is None else self._trace.SpanKind.SERVER
        context = self._propagator.extract(carrier) if carrier else None
        with self._tracer.start_as_current_span(
            name, context=context, kind=kind, attributes=attributes, record_exception=False
        ) as span:
            yield OtelSpan(span, self._failed)

    def record(self, name: str, span_ms: tuple[int, int], attributes: Mapping[str, Value]) -> None:
        """A span that is over already."""
        begin_ms, end_ms = span_ms
        span = self._tracer.start_span(name, attributes=attributes, start_time=begin_ms * _NS_PER_MS)
        span.end(end_time=end_ms * _NS_PER_MS)

    def close(self) -> None:
        """Send what waits, and stop."""
        self._provider.shutdown()


class OtelMetrics:
    """The figures of `/metrics` by a meter. `observe` says them all; it is asked once for each collection."""

    def __init__(self, observe: Observe, names: Iterable[tuple[str, str, str]]) -> None:
        export = _library("opentelemetry.sdk.metrics.export")
        exporter = _library("opentelemetry.exporter.otlp.proto.http.metric_exporter")
        self._observation = _library("opentelemetry.metrics").Observation
        self._observe = observe
        self._rest: dict[str, list[tuple[float, dict[str, str]]]] = {}
        reader = export.PeriodicExportingMetricReader(exporter.OTLPMetricExporter())
        metrics = _library("opentelemetry.sdk.metrics")
        self._provider = metrics.MeterProvider(metric_readers=[reader], resource=_resource())
        self._meter = self._provider.get_meter(SERVICE, __version__)
        self._histograms: dict[str, Any] = {}
        for name, kind, meaning in names:
            make = {
                "counter": self._meter.create_observable_counter,
                "gauge": self._meter.create_observable_gauge,
            }[kind]
            make(otel_name(name), callbacks=[self._callback(name)], description=meaning)

    def value(self, name: str, bounds: tuple[float, ...], value: float, labels: Mapping[str, str]) -> None:
        """A value of a histogram, when it is measured."""
        found = self._histograms.get(name)
        if found is None:
            found = self._histograms[name] = self._meter.create_histogram(
                otel_name(name), explicit_bucket_boundaries_advisory=bounds
            )
        found.record(value, dict(labels))

    def close(self) -> None:
        """Send the figures once more, and stop."""
        self._provider.shutdown()

    def _callback(self, name: str) -> Callable[[Any], list[Any]]:
        def observations(_: object) -> list[Any]:
            if name not in self._rest:
                # A name that was told already begins the next collection.
                self._rest = {one: samples for one, _, _, samples in self._observe()}
            return [self._observation(value, labels) for value, labels in self._rest.pop(name, [])]

        return observations


def otel_name(name: str) -> str:
    """`dragons.http_requests` of `dragons_http_requests_total`: a dot for the namespace, no unit of counting."""
    return name.removesuffix("_total").replace("_", ".", 1)


def _resource() -> Any:  # noqa: ANN401 - the library's own
    resources = _library("opentelemetry.sdk.resources")
    found = resources.Resource.create({"service.version": __version__})
    if str(found.attributes.get("service.name", _UNKNOWN)).startswith(_UNKNOWN):
        found = found.merge(resources.Resource({"service.name": SERVICE}))
    return found


def _library(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise InvalidInputError(
            "telemetry_missing",
            f"OTEL_… variables ask for telemetry, and {error.name} is not installed.",
            fix="Install dragons-control-plane[otel], or set OTEL_SDK_DISABLED=true.",
        ) from error
