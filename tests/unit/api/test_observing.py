"""A meter tells the figures of every tenant, each with its tenant."""

from __future__ import annotations

from dragons.api.observing import TENANT, names, observed
from tests.support.server import Plane


def test_every_tenant_and_the_process(plane: Plane) -> None:
    acme, globex = plane.tenant(), plane.tenant()
    acme.launch()
    backend = plane.app.state.dispatcher._backend
    found = {name: (kind, samples) for name, kind, _, samples in observed(backend)}
    running = {
        labels[TENANT]: value
        for value, labels in found["dragons_instances"][1]
        if labels["state"] == "running"
    }
    assert (running[acme.tenant_id], running[globex.tenant_id]) == (1, 0)
    requests = found["dragons_http_requests_total"]
    assert requests[0] == "counter"
    assert all(TENANT not in labels for _, labels in requests[1])
    # What can be told is known before there is anything to tell.
    assert {(name, kind) for name, kind, _ in names()} == {(name, kind) for name, (kind, _) in found.items()}
