"""Incidents: a dispatch's time away from running, from its first transition to its end; and whom to tell."""

from __future__ import annotations

from msgspec.structs import replace

from dragons.control.messages import QUARANTINED, enqueue
from dragons.control.ports import Appended, Transaction
from dragons.control.rows import IncidentRow, InstanceRow
from dragons.core.clock import format_time
from dragons.core.ids import INCIDENT, new_id
from dragons.core.vocabulary import OrganismState
from dragons.liveness.organism import Enter, Trigger

# A stop that nobody needs to look into.
_ORDINARY = frozenset({Trigger.ENDED, Trigger.REPLACED, Trigger.OPERATOR_STOPPED})
_TOPICS = {
    OrganismState.RUNNING: "recovered",
    OrganismState.DEGRADED: "degraded",
    OrganismState.AUTOHEALING: "autohealing",
    OrganismState.STOPPED: "stopped",
}


def note_transition(tx: Transaction, instance: InstanceRow, move: Enter) -> InstanceRow:
    """The instance with the incident that `move` opens, if it opens one."""
    if instance.incident_id or (move.after is OrganismState.STOPPED and move.trigger in _ORDINARY):
        return instance
    return replace(instance, incident_id=new_id(INCIDENT, tx.now_ms))


def close_incident(tx: Transaction, instance: InstanceRow, move: Enter, appended: Appended) -> InstanceRow:
    """Write the instance's incident as `move` left it; closed when the instance runs again or is stopped.

    One that was healed stays open until the next instance of the dispatch holds a lease (`resolve_incident`).
    """
    if not instance.incident_id:
        return instance
    row = tx.incident(instance.tenant_id, instance.incident_id)
    if row is None:
        row = IncidentRow(
            tenant_id=instance.tenant_id,
            incident_id=instance.incident_id,
            agent=instance.agent,
            dispatch_id=instance.dispatch_id,
            instance_id=instance.instance_id,
            opened_ms=tx.now_ms,
            opened_seq=appended.seq,
            state=move.after.value,
            reason=move.reason,
        )
    over = move.after in {OrganismState.RUNNING, OrganismState.STOPPED}
    state = row.state if over else move.after.value
    tx.put_incident(replace(row, state=state, reason=row.reason if over else move.reason))
    if not over or move.trigger is Trigger.REPLACED:
        return instance
    resolve_incident(tx, instance, appended.seq, move.trigger.value)
    if move.after is OrganismState.RUNNING:
        instance = replace(instance, incident_id="")
        tx.put_instance(instance)
    return instance


def resolve_incident(tx: Transaction, instance: InstanceRow, seq: int, how: str) -> None:
    """Close the incident of an instance, if one is open; `seq` is the receipt that ended it."""
    row = tx.incident(instance.tenant_id, instance.incident_id) if instance.incident_id else None
    if row is not None and row.closed_ms is None:
        tx.put_incident(replace(row, closed_ms=tx.now_ms, closed_seq=seq, resolution=how))


def tell(tx: Transaction, instance: InstanceRow, move: Enter) -> None:
    """Tell of a move whoever's routes ask for it. A quarantine is told by `escalate`, or was a person's own doing."""
    if move.after is OrganismState.QUARANTINED or move.trigger in _ORDINARY:
        return
    topic = "released" if move.trigger is Trigger.OPERATOR_RELEASED else _TOPICS[move.after]
    facts = _facts(tx, instance, move.reason)
    enqueue(tx, instance.tenant_id, topic, facts, incident_id=instance.incident_id)


def escalate(tx: Transaction, instance: InstanceRow, reason: str) -> None:
    """Tell a person that an agent is quarantined."""
    facts = _facts(tx, instance, reason)
    enqueue(tx, instance.tenant_id, QUARANTINED, facts, incident_id=instance.incident_id)


def _facts(tx: Transaction, instance: InstanceRow, reason: str) -> dict[str, object]:
    dispatch = tx.dispatch(instance.tenant_id, instance.dispatch_id)
    lease = tx.lease(instance.tenant_id, instance.lease_id)
    return {
        "agent": instance.agent,
        "version": instance.version,
        "instance_id": instance.instance_id,
        "dispatch_id": instance.dispatch_id,
        "epoch": instance.epoch,
        "state": instance.state.value,
        "reason": reason,
        "at": format_time(tx.now_ms),
        "started_at": format_time(instance.started_ms),
        "last_heartbeat_at": None if instance.pulse_ms is None else format_time(instance.pulse_ms),
        "last_progress_at": None if instance.progress_ms is None else format_time(instance.progress_ms),
        "progress_source": instance.progress_source,
        "lease_expires_at": None if lease is None else format_time(lease.expires_ms),
        "restarts": 0 if dispatch is None else len(dispatch.restarts),
    }
