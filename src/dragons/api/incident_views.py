"""Incidents as the wire shows them. The row says where to look, the ledger what happened."""

from __future__ import annotations

from dragons.control.incident_receipts import gather_receipts
from dragons.control.ports import Reader
from dragons.control.reconstruction import Line, Phase, reconstruct
from dragons.control.rows import IncidentRow
from dragons.core.clock import format_time
from dragons.core.errors import NotFoundError
from dragons.wire.incidents import IncidentDetail, IncidentLine, Incidents, IncidentView

OPEN = -1


def incidents(reader: Reader, tenant_id: str, agent: str | None, *, open_only: bool, limit: int) -> Incidents:
    """The newest incidents."""
    rows = reader.incidents(tenant_id, agent=agent, open_only=open_only, limit=limit)
    return Incidents(incidents=[_incident(row) for row in rows])


def incident(reader: Reader, tenant_id: str, incident_id: str) -> IncidentDetail:
    """The reconstruction of one; NotFoundError when the tenant has none of this id."""
    row = reader.incident(tenant_id, incident_id)
    if row is None:
        raise NotFoundError(
            "incident_missing",
            f"There is no incident {incident_id}.",
            fix="`dragons incidents list` shows the incidents.",
        )
    gathered = gather_receipts(reader, row)
    story = reconstruct(row, gathered.receipts)
    told_ms = [line.issued_ms for line in story.lines if line.phase is not Phase.IDENTITY]
    since_ms, until_ms = min(told_ms, default=row.opened_ms), max(told_ms, default=row.opened_ms) + 1
    return IncidentDetail(
        view=_incident(row),
        lines=[_line(line) for line in story.lines],
        limits=list(gathered.limits),
        unrelated=story.unrelated,
        since=format_time(since_ms),
        until=format_time(until_ms),
    )


def _incident(row: IncidentRow) -> IncidentView:
    return IncidentView(
        incident_id=row.incident_id,
        agent=row.agent,
        dispatch_id=row.dispatch_id,
        instance_id=row.instance_id,
        state=row.state,
        reason=row.reason,
        opened_at=format_time(row.opened_ms),
        opened_seq=row.opened_seq,
        closed_at="" if row.closed_ms is None else format_time(row.closed_ms),
        closed_seq=OPEN if row.closed_seq is None else row.closed_seq,
        resolution=row.resolution,
    )


def _line(line: Line) -> IncidentLine:
    return IncidentLine(
        seq=line.seq,
        receipt_id=line.receipt_id,
        at=format_time(line.issued_ms),
        kind=line.kind,
        phase=line.phase.value,
        what=line.what,
        signed_by=line.signed_by,
        instance_id=line.instance_id,
        facts=dict(line.facts),
        payload_hash=line.payload_hash,
    )
