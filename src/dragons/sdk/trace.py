"""The trace that an agent is in, handed on to the control plane, so that its spans hang together.

Only where the agent traces itself with OpenTelemetry: nothing is imported here, and without it nothing is sent.
Baggage is never handed on: it may hold what has no business outside the tenant.
"""

from __future__ import annotations

import sys

_LIBRARY = "opentelemetry.trace.propagation.tracecontext"


def trace_headers() -> dict[str, str]:
    """`traceparent` and `tracestate` of the span that is open here (W3C Trace Context); empty without one."""
    library = sys.modules.get(_LIBRARY)
    found: dict[str, str] = {}
    if library is not None:
        library.TraceContextTextMapPropagator().inject(found)
    return found
