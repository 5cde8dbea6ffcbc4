"""Metrics for a scraper with an API token: its tenant's, and for who runs this process, the process's."""

from __future__ import annotations

from starlette.responses import Response as HttpResponse

from dragons.api.exposition import MEDIA_TYPE, Family, render
from dragons.api.operation import Call, Operation
from dragons.control.ports import Reader
from dragons.core.vocabulary import Role
from dragons.wire.base import Empty


async def show(call: Call[Empty]) -> HttpResponse:
    """The tenant's figures in the Prometheus text format.

    The process's own figures (requests, sweeps, the writer) are of all tenants together: they are added for
    an admin of the only tenant, or of the one that DRAGONS_METRICS_TENANT names.
    """
    backend, tenant_id = call.backend, call.caller.tenant_id
    now_ms = backend.clock.now_ms()

    def job(reader: Reader) -> tuple[list[Family], bool]:
        found = backend.ledger_metrics.families(reader, tenant_id, now_ms)
        return found, call.caller.role is Role.ADMIN and _runs_the_process(call, reader)

    families, whole = await call.read(job)
    if whole:
        families += backend.measures.families()
    return HttpResponse(render(families), media_type=MEDIA_TYPE, headers={"cache-control": "no-store"})


def _runs_the_process(call: Call[Empty], reader: Reader) -> bool:
    named = call.backend.settings.metrics_tenant
    if named:
        return named == call.caller.tenant_id
    return [row.tenant_id for row in reader.tenants()] == [call.caller.tenant_id]


OPERATIONS = (Operation("metrics.show", "GET", "/metrics", show, answer=MEDIA_TYPE),)
