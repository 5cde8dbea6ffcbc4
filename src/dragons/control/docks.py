"""Docking: an operator's signed ceiling for an agent becomes a fact of the tenant."""

from __future__ import annotations

import msgspec

from dragons.authority.dock import DOCK, Dock, check_dock
from dragons.authority.revocation import Target, entry
from dragons.control.caller import Caller
from dragons.control.catalogue import risks
from dragons.control.ports import About, Appended, Reader, Transaction
from dragons.control.rows import DockRow
from dragons.control.statements import check_date, take_operator_statement
from dragons.core.canonical import encode
from dragons.core.clock import parse_time
from dragons.core.errors import ConflictError, InvalidInputError, NotFoundError
from dragons.core.ids import DOCK as DOCK_PREFIX
from dragons.core.ids import check_id
from dragons.core.statement import Envelope, parse_envelope
from dragons.core.vocabulary import Kind


def dock_agent(tx: Transaction, caller: Caller, statement: Envelope) -> Appended:
    """Record a dock. The agent must have a version and the scope must be in the catalogue."""
    body, key = take_operator_statement(tx, caller, statement, DOCK, Dock)
    check_dock(body)
    check_id(DOCK_PREFIX, body.dock_id)
    check_date("created_at", parse_time(body.created_at), tx.now_ms)
    if body.operator != key.key_id:
        raise InvalidInputError("operator_mismatch", "The dock names another operator than its signer.")
    if not tx.versions(caller.tenant_id, body.agent):
        raise NotFoundError(
            "agent_missing", f"{body.agent} has no version on the record.", fix="Register its manifest first."
        )
    if unknown := (set(body.scope) | set(body.delegate_scope)) - set(risks(tx, caller.tenant_id)):
        raise InvalidInputError(
            "capability_unknown",
            f"The catalogue does not know {', '.join(sorted(unknown))}.",
            fix="Publish a catalogue that describes them: `dragons capabilities publish`.",
        )
    if tx.dock(caller.tenant_id, body.dock_id) is not None:
        raise ConflictError("dock_exists", f"{body.dock_id} exists already.")
    tx.put_dock(DockRow(caller.tenant_id, body.dock_id, body.agent, encode(statement), tx.now_ms))
    return tx.append(caller.tenant_id, Kind.AGENT_DOCKED, statement, About(agent=body.agent))


def dock_of(row: DockRow) -> tuple[Dock, Envelope]:
    """A stored dock with the statement it comes from."""
    envelope = parse_envelope(row.statement)
    return envelope.body(DOCK, Dock), envelope


def dock_status(reader: Reader, row: DockRow, now_ms: int) -> str:
    """`valid`, `revoked` or `expired`."""
    dock, _ = dock_of(row)
    if dock_revoked(reader, row.tenant_id, dock) is not None:
        return "revoked"
    if not isinstance(dock.not_after, msgspec.UnsetType) and now_ms >= parse_time(dock.not_after):
        return "expired"
    return "valid"


def dock_revoked(reader: Reader, tenant_id: str, dock: Dock) -> str | None:
    """The entry whose revocation ended the dock: its own, its operator's or its agent's."""
    entries = (
        entry(Target.DOCK, dock.dock_id),
        entry(Target.OPERATOR, dock.operator),
        entry(Target.AGENT, dock.agent),
    )
    return reader.is_revoked(tenant_id, entries)
