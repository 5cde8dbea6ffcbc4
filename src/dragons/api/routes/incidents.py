"""Incidents: the times away from running, and what the ledger says of each."""

from __future__ import annotations

from dragons.api import incident_views
from dragons.api.operation import Call, Operation
from dragons.api.query import IncidentQuery
from dragons.core.ids import INCIDENT, check_id
from dragons.wire.base import Empty
from dragons.wire.incidents import IncidentDetail, Incidents


async def list_incidents(call: Call[IncidentQuery]) -> Incidents:
    """The tenant's incidents, the newest first."""
    wanted = call.input
    return await call.read(
        lambda reader: incident_views.incidents(
            reader, call.caller.tenant_id, wanted.agent or None, open_only=wanted.open, limit=wanted.limit
        )
    )


async def show(call: Call[Empty]) -> IncidentDetail:
    """One incident, reconstructed from receipts: identity, actions, states, interventions, resolution."""
    incident_id = check_id(INCIDENT, call.path["incident_id"])
    return await call.read(lambda reader: incident_views.incident(reader, call.caller.tenant_id, incident_id))


OPERATIONS = (
    Operation("incidents.list", "GET", "/v1/incidents", list_incidents, IncidentQuery, Incidents),
    Operation("incidents.show", "GET", "/v1/incidents/{incident_id}", show, answer=IncidentDetail),
)
