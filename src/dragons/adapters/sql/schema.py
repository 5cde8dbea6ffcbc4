"""The tables. What must never change is protected by triggers, so that not even our own code can.

Rows beside the ledger mirror the dataclasses of `dragons.control.rows` by name.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
    inspect,
    literal_column,
    select,
    text,
)
from sqlalchemy.types import TypeEngine

from dragons.control import rows
from dragons.core.errors import StorageError

SCHEMA_VERSION = 2

metadata = MetaData()


class Keyed(NamedTuple):
    """A table that mirrors a row class, and the names of its primary key."""

    table: Table
    key: tuple[str, ...]


def _mirror(name: str, row: type, key: tuple[str, ...]) -> Keyed:
    columns: list[Column[object]] = []
    for field, annotation in row.__annotations__.items():
        kind = str(annotation)
        optional = kind.endswith("| None")
        base = kind.removesuffix(" | None")
        sql_type: TypeEngine[object] = {"int": BigInteger(), "bytes": LargeBinary()}.get(base, Text())  # type: ignore[assignment]
        columns.append(
            Column(field, sql_type, nullable=optional, primary_key=field in key, autoincrement=False)
        )
    return Keyed(Table(name, metadata, *columns), key)


MIRRORS: dict[type, Keyed] = {
    rows.TenantRow: _mirror("tenants", rows.TenantRow, ("tenant_id",)),
    rows.KeyRow: _mirror("keys", rows.KeyRow, ("tenant_id", "key_id")),
    rows.TokenRow: _mirror("tokens", rows.TokenRow, ("token_id",)),
    rows.CatalogueRow: _mirror("catalogues", rows.CatalogueRow, ("tenant_id", "version")),
    rows.VersionRow: _mirror("versions", rows.VersionRow, ("tenant_id", "agent", "version")),
    rows.ActivationRow: _mirror("activations", rows.ActivationRow, ("tenant_id", "agent", "ordinal")),
    rows.DockRow: _mirror("docks", rows.DockRow, ("tenant_id", "dock_id")),
    rows.InstanceRow: _mirror("instances", rows.InstanceRow, ("tenant_id", "instance_id")),
    rows.LeaseRow: _mirror("leases", rows.LeaseRow, ("tenant_id", "lease_id")),
    rows.SessionRow: _mirror("sessions", rows.SessionRow, ("tenant_id", "session_id")),
    rows.RevocationRow: _mirror("revocations", rows.RevocationRow, ("tenant_id", "ordinal")),
    rows.DecisionRow: _mirror("decisions", rows.DecisionRow, ("tenant_id", "decision_id")),
    rows.DenialRow: _mirror("denials", rows.DenialRow, ("tenant_id", "subject", "action", "reason")),
    rows.PolicyRow: _mirror("policies", rows.PolicyRow, ("tenant_id", "agent", "version")),
    rows.DispatchRow: _mirror("dispatches", rows.DispatchRow, ("tenant_id", "dispatch_id")),
    rows.OrderRow: _mirror("orders", rows.OrderRow, ("tenant_id", "order_id")),
    rows.NodeRow: _mirror("nodes", rows.NodeRow, ("tenant_id", "node")),
    rows.HoldRow: _mirror("holds", rows.HoldRow, ("tenant_id", "agent")),
    rows.IncidentRow: _mirror("incidents", rows.IncidentRow, ("tenant_id", "incident_id")),
    rows.TimerRow: _mirror("timers", rows.TimerRow, ("tenant_id", "kind", "key")),
    rows.MessageRow: _mirror("messages", rows.MessageRow, ("tenant_id", "message_id")),
    rows.StepRow: _mirror("steps", rows.StepRow, ("tenant_id", "step_key")),
    rows.PresenceRow: _mirror("presence", rows.PresenceRow, ("tenant_id",)),
    rows.OutageRow: _mirror("outages", rows.OutageRow, ("tenant_id", "from_ms")),
}

epochs = Table(
    "epochs",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("dispatch_id", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
)

receipts = Table(
    "receipts",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("receipt_id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
    Column("header", LargeBinary, nullable=False),
    Column("header_signature", LargeBinary, nullable=False),
    Column("ledger_key_id", Text, nullable=False),
    Column("statement_type", Text, nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("statement_signatures", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("agent", Text),
    Column("agent_seq", BigInteger),
    Column("session_id", Text),
    Column("session_position", BigInteger),
    Column("claim_id", Text),
)
Index("receipts_by_agent", receipts.c.tenant_id, receipts.c.agent, receipts.c.agent_seq, unique=True)
Index(
    "receipts_by_session",
    receipts.c.tenant_id,
    receipts.c.session_id,
    receipts.c.session_position,
    unique=True,
)
# By the claim first: names are random, so that the tenant only settles who may use one again.
Index("receipts_by_claim", receipts.c.claim_id, receipts.c.tenant_id, unique=True)
# A literal: an index of a part is used only by a query that says the part in the same words.
IS_GOVERNANCE = receipts.c.kind != literal_column("'work'")
Index(
    "receipts_of_governance",
    receipts.c.tenant_id,
    receipts.c.kind,
    receipts.c.seq,
    sqlite_where=IS_GOVERNANCE,
    postgresql_where=IS_GOVERNANCE,
)

nodes = Table(
    "ledger_nodes",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
)

versions = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

_instances = MIRRORS[rows.InstanceRow].table
# Indexes end with what their rows are ordered by, or SQLite takes the primary key and reads the whole tenant.
Index("instances_by_dispatch", _instances.c.tenant_id, _instances.c.dispatch_id, _instances.c.instance_id)
# Literally, because an index with a condition serves only queries that state it as it is.
IS_LIVE = _instances.c.state != literal_column("'stopped'")
for _name, _columns in {
    "instances_live": (_instances.c.instance_id,),
    "instances_live_by_agent": (_instances.c.agent, _instances.c.instance_id),
    "instances_live_by_dock": (_instances.c.dock_id, _instances.c.dispatch_id),
    "instances_live_by_node": (_instances.c.node, _instances.c.instance_id),
    "instances_live_by_state": (_instances.c.state, _instances.c.instance_id),
}.items():
    Index(_name, _instances.c.tenant_id, *_columns, sqlite_where=IS_LIVE, postgresql_where=IS_LIVE)
# Those that ended since a time; a live one is not in it, so a heartbeat costs nothing here.
IS_STOPPED = _instances.c.state == literal_column("'stopped'")
Index(
    "instances_stopped",
    _instances.c.tenant_id,
    _instances.c.agent,
    _instances.c.stopped_ms,
    sqlite_where=IS_STOPPED,
    postgresql_where=IS_STOPPED,
)
_sessions = MIRRORS[rows.SessionRow].table
Index("sessions_by_instance", _sessions.c.tenant_id, _sessions.c.instance_id, _sessions.c.closed_ms)
_tokens = MIRRORS[rows.TokenRow].table
Index("tokens_by_hash", _tokens.c.token_hash, unique=True)
_versions = MIRRORS[rows.VersionRow].table
Index("versions_by_hash", _versions.c.tenant_id, _versions.c.manifest_hash, unique=True)
_revocations = MIRRORS[rows.RevocationRow].table
Index("revocations_by_entry", _revocations.c.tenant_id, _revocations.c.entry)
_decisions = MIRRORS[rows.DecisionRow].table
Index("decisions_by_session", _decisions.c.tenant_id, _decisions.c.session_id)
_timers = MIRRORS[rows.TimerRow].table
Index("timers_by_due", _timers.c.tenant_id, _timers.c.due_ms)
_messages = MIRRORS[rows.MessageRow].table
Index(
    "messages_waiting",
    _messages.c.tenant_id,
    _messages.c.due_ms,
    sqlite_where=_messages.c.done_ms.is_(None),
    postgresql_where=_messages.c.done_ms.is_(None),
)
_orders = MIRRORS[rows.OrderRow].table
Index("orders_by_dispatch", _orders.c.tenant_id, _orders.c.dispatch_id, _orders.c.order_id)
Index(
    "orders_waiting",
    _orders.c.tenant_id,
    _orders.c.target,
    _orders.c.order_id,
    sqlite_where=_orders.c.done_ms.is_(None),
    postgresql_where=_orders.c.done_ms.is_(None),
)
_dispatches = MIRRORS[rows.DispatchRow].table
Index("dispatches_by_agent", _dispatches.c.tenant_id, _dispatches.c.agent, _dispatches.c.created_ms)
Index(
    "dispatches_open",
    _dispatches.c.tenant_id,
    _dispatches.c.state,
    sqlite_where=_dispatches.c.ended_ms.is_(None),
    postgresql_where=_dispatches.c.ended_ms.is_(None),
)
_incidents = MIRRORS[rows.IncidentRow].table
Index("incidents_by_agent", _incidents.c.tenant_id, _incidents.c.agent, _incidents.c.opened_seq)
Index(
    "incidents_open",
    _incidents.c.tenant_id,
    _incidents.c.opened_seq,
    sqlite_where=_incidents.c.closed_ms.is_(None),
    postgresql_where=_incidents.c.closed_ms.is_(None),
)
_leases = MIRRORS[rows.LeaseRow].table
Index("leases_by_agent", _leases.c.tenant_id, _leases.c.agent)
Index(
    "leases_by_parent",
    _leases.c.tenant_id,
    _leases.c.parent_lease_id,
    sqlite_where=_leases.c.parent_lease_id.is_not(None),
    postgresql_where=_leases.c.parent_lease_id.is_not(None),
)

# Evidence, and what decisions about the past rest on.
APPEND_ONLY = (
    "receipts",
    "ledger_nodes",
    "checkpoints",
    "revocations",
    "activations",
    "versions",
    "catalogues",
    "policies",
)


def prepare(connection: Connection) -> None:
    """Create the tables of a new database; StorageError when one that is there is not whole or not ours."""
    found = set(inspect(connection).get_table_names()) & set(metadata.tables)
    if found:
        _check_whole(connection, found)
    else:
        metadata.create_all(connection)
        connection.execute(versions.insert().values(version=SCHEMA_VERSION))
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            connection.execute(
                text(
                    f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
            )


def _check_whole(connection: Connection, found: set[str]) -> None:
    # All is made in one transaction. A table that is missing was lost, and an empty one in its place would
    # let a second history begin; a lost index no longer keeps a claim from being appended twice.
    if missing := set(metadata.tables) - found:
        raise _lost("table", missing)
    present = {one["name"] for found in inspect(connection).get_multi_indexes().values() for one in found}
    if missing := {str(one.name) for table in metadata.tables.values() for one in table.indexes} - present:
        raise _lost("index", missing)
    version = connection.execute(select(func.max(versions.c.version))).scalar()
    if version != SCHEMA_VERSION:
        raise StorageError(
            "schema_version",
            f"The database has schema version {version}; this program needs {SCHEMA_VERSION}.",
            fix="Use the release of Dragons that wrote it, or export and start anew.",
        )


def _lost(what: str, missing: set[str]) -> StorageError:
    return StorageError(
        "storage_damaged",
        f"The database has lost its {what} {', '.join(sorted(missing))}.",
        fix="Restore the database from a backup.",
    )
