from __future__ import annotations

import subprocess
import sys

import pytest

from dragons.sdk.trace import trace_headers
from tests.unit.sdk.test_client import Server, operator, server  # noqa: F401 - fixtures

PROGRAM = "import sys; from dragons.sdk.trace import trace_headers; print(trace_headers(), 'opentelemetry' in sys.modules)"


def test_an_agent_that_does_not_trace_sends_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{} False"


def test_an_open_span_is_handed_on_and_baggage_is_not(operator, server: Server) -> None:  # noqa: F811 - fixtures
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    baggage = pytest.importorskip("opentelemetry.baggage")
    context = pytest.importorskip("opentelemetry.context")
    pytest.importorskip("opentelemetry.trace.propagation.tracecontext")
    assert trace_headers() == {}
    token = context.attach(baggage.set_baggage("customer", "secret"))
    try:
        with trace.TracerProvider().get_tracer("agent").start_as_current_span("work") as span:
            operator.tenant()
            expected = f"00-{span.get_span_context().trace_id:032x}-{span.get_span_context().span_id:016x}-"
    finally:
        context.detach(token)
    headers = server.seen[-1][3]
    assert headers["traceparent"].startswith(expected)
    assert "baggage" not in headers
    operator.tenant()
    assert "traceparent" not in server.seen[-1][3]
