"""A receiver of OTLP over HTTP: keeps what it was sent, as the protocol's own messages."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
metrics_service = pytest.importorskip("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2")

WAIT_SECONDS = 30


class Collector:
    """What came: requests by path."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._changed = threading.Condition()
        self._traces: list[Any] = []
        self._metrics: list[Any] = []

    def take(self, path: str, body: bytes) -> None:
        """One request of an exporter."""
        kept, message = {
            "/v1/traces": (self._traces, trace_service.ExportTraceServiceRequest()),
            "/v1/metrics": (self._metrics, metrics_service.ExportMetricsServiceRequest()),
        }[path]
        message.ParseFromString(body)
        with self._changed:
            kept.append(message)
            self._changed.notify_all()

    def spans(self, name: str = "") -> list[Any]:
        """The spans that came, of this name when one is given."""
        return [
            span
            for message in list(self._traces)
            for of_resource in message.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
            if name in {"", span.name}
        ]

    def metrics(self) -> dict[str, Any]:
        """The newest of each metric that came."""
        return {
            metric.name: metric
            for message in list(self._metrics)
            for of_resource in message.resource_metrics
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
        }

    def resource(self) -> dict[str, str]:
        """What the sender says of itself."""
        message = (self._traces or self._metrics)[0]
        (found, *_) = getattr(message, "resource_spans", None) or message.resource_metrics
        return attributes_of(found.resource)

    def wait(self, found: Any) -> Any:
        """The first true result of `found()`; the test fails when none comes."""
        with self._changed:
            assert self._changed.wait_for(found, WAIT_SECONDS), "nothing like it was sent"
        return found()


def attributes_of(thing: Any) -> dict[str, Any]:
    """Attributes as a dictionary."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in thing.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A receiver on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.headers["content-type"] == "application/x-protobuf"
            collector.take(self.path, body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
