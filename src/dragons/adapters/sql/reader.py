"""Reading: one consistent view, every query bound to a tenant.

What runs in every request is built once: SQLAlchemy takes longer to build a query than SQLite to answer it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, and_, bindparam, func, select, text
from sqlalchemy.exc import DatabaseError

from dragons.adapters.sql import schema
from dragons.adapters.sql.asking import columns, if_given
from dragons.adapters.sql.fleet import FleetReader
from dragons.adapters.sql.liveness import LivenessReader
from dragons.adapters.sql.mapping import names
from dragons.control import rows
from dragons.control.ports import LEVELS_PER_STORED, Filter
from dragons.core.canonical import INT_MAX
from dragons.core.errors import StorageError
from dragons.core.vocabulary import Kind
from dragons.evidence.merkle import Node, Range

_PAGE = 1_000
_INTEGRITY = "PRAGMA integrity_check({})"

_RECEIPT_COLUMNS = [schema.receipts.c[name] for name in names(rows.ReceiptRow)]


def _between(hashes: Any, place: Any, *where: Any) -> Select[Any]:  # noqa: ANN401 - columns and SQL expressions
    return select(hashes).where(*where, place >= bindparam("begin"), place < bindparam("end")).order_by(place)


_LEAVES = _between(
    schema.receipts.c.leaf_hash,
    schema.receipts.c.seq,
    schema.receipts.c.tenant_id == bindparam("tenant_id"),
)
_NODES = _between(
    schema.nodes.c.hash,
    schema.nodes.c.position,
    schema.nodes.c.tenant_id == bindparam("tenant_id"),
    schema.nodes.c.level == bindparam("level"),
)
_INSTANCES = schema.MIRRORS[rows.InstanceRow].table
_INTERVENTIONS_SINCE = select(func.count()).where(
    schema.receipts.c.tenant_id == bindparam("tenant_id"),
    schema.receipts.c.kind == Kind.INTERVENTION.value,
    schema.IS_GOVERNANCE,
    schema.receipts.c.agent == bindparam("agent"),
    schema.receipts.c.issued_ms >= bindparam("since_ms"),
    # Says nothing, and makes the index of governance better than the one of the agent's work.
    schema.receipts.c.seq >= 0,
)
_LIVE_UNDER = select(func.count()).where(
    _INSTANCES.c.tenant_id == bindparam("tenant_id"),
    _INSTANCES.c.dock_id == bindparam("dock_id"),
    _INSTANCES.c.dispatch_id != bindparam("dispatch_id"),
    schema.IS_LIVE,
)
_LIVE_ON = select(*columns(rows.InstanceRow)).where(
    _INSTANCES.c.tenant_id == bindparam("tenant_id"),
    _INSTANCES.c.node == bindparam("node"),
    schema.IS_LIVE,
)


@cache
def _instances(key: tuple[str, ...], *, live: bool) -> tuple[Select[Any], ...]:
    query = select(*columns(rows.InstanceRow)).where(*(_INSTANCES.c[name] == bindparam(name) for name in key))
    if live:
        return (query.where(schema.IS_LIVE),)
    if "agent" in key and "dispatch_id" not in key:
        # Each index by agent is of live or of stopped ones, so all of an agent's are asked for in two parts.
        return query.where(schema.IS_LIVE), query.where(schema.IS_STOPPED)
    return (query,)


_SESSIONS = schema.MIRRORS[rows.SessionRow].table


@cache
def _sessions(key: tuple[str, ...], *, open_only: bool) -> Select[Any]:
    query = select(*columns(rows.SessionRow)).where(*(_SESSIONS.c[name] == bindparam(name) for name in key))
    if open_only:
        query = query.where(_SESSIONS.c.closed_ms.is_(None))
    return query.order_by(_SESSIONS.c.opened_ms.desc()).limit(bindparam("at_most"))


_LEASES = schema.MIRRORS[rows.LeaseRow].table
_LEASES_UNDER = select(*columns(rows.LeaseRow)).where(
    _LEASES.c.tenant_id == bindparam("tenant_id"),
    _LEASES.c.parent_lease_id == bindparam("parent_lease_id"),
    _LEASES.c.parent_lease_id.is_not(None),
)
_CHECKPOINT = (
    select(schema.checkpoints.c.note)
    .where(
        schema.checkpoints.c.tenant_id == bindparam("tenant_id"),
        schema.checkpoints.c.size <= bindparam("at_most"),
    )
    .order_by(schema.checkpoints.c.size.desc())
    .limit(1)
)
_REVOCATION_COUNT = select(func.count()).where(
    schema.MIRRORS[rows.RevocationRow].table.c.tenant_id == bindparam("tenant_id")
)
_EPOCH = select(schema.epochs.c.epoch).where(
    schema.epochs.c.tenant_id == bindparam("tenant_id"),
    schema.epochs.c.dispatch_id == bindparam("dispatch_id"),
)


class SqlReader(FleetReader, LivenessReader):
    """Implements `dragons.control.ports.Reader` on one connection's transaction."""

    def tenant(self, tenant_id: str) -> rows.TenantRow | None:
        return self._find(rows.TenantRow, tenant_id=tenant_id)

    def tenants(self) -> Sequence[rows.TenantRow]:
        return self._list(rows.TenantRow, "tenant_id")

    def key(self, tenant_id: str, key_id: str) -> rows.KeyRow | None:
        return self._find(rows.KeyRow, tenant_id=tenant_id, key_id=key_id)

    def keys(self, tenant_id: str) -> Sequence[rows.KeyRow]:
        return self._list(rows.KeyRow, "registered_ms", "key_id", tenant_id=tenant_id)

    def token(self, token_hash: str) -> rows.TokenRow | None:
        return self._find(rows.TokenRow, token_hash=token_hash)

    def tokens(self, tenant_id: str) -> Sequence[rows.TokenRow]:
        return self._list(rows.TokenRow, "created_ms", tenant_id=tenant_id)

    def catalogue(self, tenant_id: str) -> rows.CatalogueRow | None:
        table = schema.MIRRORS[rows.CatalogueRow].table
        query = select(*columns(rows.CatalogueRow)).where(table.c.tenant_id == tenant_id)
        found = self._rows(rows.CatalogueRow, query.order_by(table.c.version.desc()).limit(1))
        return found[0] if found else None

    def agents(self, tenant_id: str) -> Sequence[str]:
        table = schema.MIRRORS[rows.VersionRow].table
        query = select(table.c.agent).where(table.c.tenant_id == tenant_id).distinct().order_by(table.c.agent)
        return list(self._ask(query).scalars())

    def version(self, tenant_id: str, agent: str, version: int) -> rows.VersionRow | None:
        return self._find(rows.VersionRow, tenant_id=tenant_id, agent=agent, version=version)

    def version_by_hash(self, tenant_id: str, manifest_hash: str) -> rows.VersionRow | None:
        return self._find(rows.VersionRow, tenant_id=tenant_id, manifest_hash=manifest_hash)

    def versions(self, tenant_id: str, agent: str) -> Sequence[rows.VersionRow]:
        return self._list(rows.VersionRow, "version", tenant_id=tenant_id, agent=agent)

    def activations(self, tenant_id: str, agent: str) -> Sequence[rows.ActivationRow]:
        return self._list(rows.ActivationRow, "ordinal", tenant_id=tenant_id, agent=agent)

    def dock(self, tenant_id: str, dock_id: str) -> rows.DockRow | None:
        return self._find(rows.DockRow, tenant_id=tenant_id, dock_id=dock_id)

    def docks(self, tenant_id: str, agent: str | None = None) -> Sequence[rows.DockRow]:
        key = {"tenant_id": tenant_id} if agent is None else {"tenant_id": tenant_id, "agent": agent}
        return self._list(rows.DockRow, "created_ms", "dock_id", **key)

    def epoch(self, tenant_id: str, dispatch_id: str) -> int:
        key = {"tenant_id": tenant_id, "dispatch_id": dispatch_id}
        return self._value(_EPOCH, key) or 0

    def instance(self, tenant_id: str, instance_id: str) -> rows.InstanceRow | None:
        return self._find(rows.InstanceRow, tenant_id=tenant_id, instance_id=instance_id)

    def instances(
        self, tenant_id: str, *, agent: str | None = None, live: bool = False, dispatch_id: str | None = None
    ) -> Sequence[rows.InstanceRow]:
        key = {"tenant_id": tenant_id, **if_given(dispatch_id=dispatch_id, agent=agent)}
        found = [
            row
            for query in _instances(tuple(key), live=live)
            for row in self._rows(rows.InstanceRow, query, key)
        ]
        # Sorted here: SQLite would read the whole tenant by the primary key to save itself the sorting.
        return sorted(found, key=lambda row: row.instance_id)

    def live_on(self, tenant_id: str, node: str) -> Sequence[rows.InstanceRow]:
        return self._rows(rows.InstanceRow, _LIVE_ON, {"tenant_id": tenant_id, "node": node})

    def live_under(self, tenant_id: str, dock_id: str, *, but_dispatch: str) -> int:
        key = {"tenant_id": tenant_id, "dock_id": dock_id, "dispatch_id": but_dispatch}
        return self._value(_LIVE_UNDER, key) or 0

    def lease(self, tenant_id: str, lease_id: str) -> rows.LeaseRow | None:
        return self._find(rows.LeaseRow, tenant_id=tenant_id, lease_id=lease_id)

    def leases_under(self, tenant_id: str, parent_lease_id: str) -> Sequence[rows.LeaseRow]:
        return self._rows(
            rows.LeaseRow, _LEASES_UNDER, {"tenant_id": tenant_id, "parent_lease_id": parent_lease_id}
        )

    def leases(self, tenant_id: str, *, agent: str | None = None) -> Sequence[rows.LeaseRow]:
        key = {"tenant_id": tenant_id} if agent is None else {"tenant_id": tenant_id, "agent": agent}
        return self._list(rows.LeaseRow, "issued_ms", "lease_id", **key)

    def session(self, tenant_id: str, session_id: str) -> rows.SessionRow | None:
        return self._find(rows.SessionRow, tenant_id=tenant_id, session_id=session_id)

    def sessions(
        self,
        tenant_id: str,
        *,
        instance_id: str | None = None,
        open_only: bool = False,
        limit: int = 1000,
    ) -> Sequence[rows.SessionRow]:
        key = {"tenant_id": tenant_id, **if_given(instance_id=instance_id)}
        query = _sessions(tuple(key), open_only=open_only)
        return self._rows(rows.SessionRow, query, {**key, "at_most": limit})

    def revocations(self, tenant_id: str, after: int = 0) -> Sequence[rows.RevocationRow]:
        table = schema.MIRRORS[rows.RevocationRow].table
        query = select(*columns(rows.RevocationRow)).where(
            table.c.tenant_id == tenant_id, table.c.ordinal >= after
        )
        return self._rows(rows.RevocationRow, query.order_by(table.c.ordinal))

    def is_revoked(self, tenant_id: str, entries: Sequence[str]) -> str | None:
        table = schema.MIRRORS[rows.RevocationRow].table
        query = select(table.c.entry).where(table.c.tenant_id == tenant_id, table.c.entry.in_(entries))
        found = set(self._ask(query).scalars())
        return next((entry for entry in entries if entry in found), None)

    def revoked_since(self, tenant_id: str, entry: str) -> int:
        table = schema.MIRRORS[rows.RevocationRow].table
        query = select(func.min(table.c.revoked_ms)).where(
            table.c.tenant_id == tenant_id, table.c.entry == entry
        )
        return int(self._ask(query).scalar() or 0)

    def revocation_count(self, tenant_id: str) -> int:
        return self._value(_REVOCATION_COUNT, {"tenant_id": tenant_id}) or 0

    def decisions(self, tenant_id: str, session_id: str) -> Sequence[rows.DecisionRow]:
        return self._list(rows.DecisionRow, "decided_ms", tenant_id=tenant_id, session_id=session_id)

    def denial(self, tenant_id: str, subject: str, action: str, reason: str) -> rows.DenialRow | None:
        return self._find(rows.DenialRow, tenant_id=tenant_id, subject=subject, action=action, reason=reason)

    def denials(self, tenant_id: str) -> Sequence[rows.DenialRow]:
        return self._list(rows.DenialRow, "first_ms", tenant_id=tenant_id)

    def interventions_since(self, tenant_id: str, agent: str, since_ms: int) -> int:
        key = {"tenant_id": tenant_id, "agent": agent, "since_ms": since_ms}
        return self._value(_INTERVENTIONS_SINCE, key) or 0

    def receipt(self, tenant_id: str, receipt_id: str) -> rows.ReceiptRow | None:
        return self._receipt(schema.receipts.c.receipt_id == receipt_id, tenant_id)

    def receipt_at(self, tenant_id: str, seq: int) -> rows.ReceiptRow | None:
        return self._receipt(schema.receipts.c.seq == seq, tenant_id)

    def receipt_by_claim(self, tenant_id: str, claim_id: str) -> rows.ReceiptRow | None:
        return self._receipt(schema.receipts.c.claim_id == claim_id, tenant_id)

    def _receipt(self, condition: Any, tenant_id: str) -> rows.ReceiptRow | None:  # noqa: ANN401 - a SQL expression
        query = select(*_RECEIPT_COLUMNS).where(schema.receipts.c.tenant_id == tenant_id, condition)
        found = self._rows(rows.ReceiptRow, query)
        return found[0] if found else None

    def receipts(self, tenant_id: str, wanted: Filter) -> Sequence[rows.ReceiptRow]:
        table = schema.receipts
        order = table.c.seq.desc() if wanted.newest_first else table.c.seq
        query = select(*_RECEIPT_COLUMNS).where(_matches(tenant_id, wanted)).order_by(order)
        return self._rows(rows.ReceiptRow, query.limit(wanted.limit))

    def iter_receipts(self, tenant_id: str, wanted: Filter) -> Iterator[rows.ReceiptRow]:
        """Every matching receipt by seq, read in pages; `limit` and `newest_first` don't count here."""
        after = wanted.after
        while True:
            page = self.receipts(tenant_id, wanted._replace(after=after, limit=_PAGE, newest_first=False))
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].seq

    def tree_size(self, tenant_id: str) -> int:
        table = schema.receipts
        last = self._ask(select(func.max(table.c.seq)).where(table.c.tenant_id == tenant_id)).scalar()
        return 0 if last is None else int(last) + 1

    def node(self, tenant_id: str, level: int, index: int) -> bytes:
        stored, between = level - level % LEVELS_PER_STORED, level % LEVELS_PER_STORED
        begin, end = index << between, (index + 1) << between
        hashes = self._hashes(tenant_id, stored, begin, end)
        if len(hashes) != end - begin:
            raise StorageError(
                "ledger_damaged",
                f"Hashes of level {stored} between {begin} and {end} are missing.",
                fix="Run `dragons ledger fsck`.",
            )
        tree = Range()
        for place, value in enumerate(hashes):
            tree.append_node(Node(0, place, value))
        return tree.root()

    def _hashes(self, tenant_id: str, level: int, begin: int, end: int) -> list[bytes]:
        key: dict[str, object] = {"tenant_id": tenant_id, "begin": begin, "end": end}
        if level:
            return [value for (value,) in self._values(_NODES, {**key, "level": level})]
        return [value for (value,) in self._values(_LEAVES, key)]

    def checkpoint(self, tenant_id: str, at_most: int | None = None) -> str | None:
        key = {"tenant_id": tenant_id, "at_most": INT_MAX if at_most is None else at_most}
        note: str | None = self._value(_CHECKPOINT, key)
        return note

    def checkpoint_sizes(self, tenant_id: str) -> Sequence[int]:
        """The sizes that were signed, smallest first."""
        table = schema.checkpoints
        query = select(table.c.size).where(table.c.tenant_id == tenant_id).order_by(table.c.size)
        return list(self._ask(query).scalars())

    def storage_faults(self) -> Sequence[str]:
        """Damaged pages, and rows that an index does not have, in SQLite's words, table by table."""
        faults: list[str] = []
        for table in schema.metadata.tables:
            found: list[str] = []
            try:
                # One by one: after some kinds of damage SQLite ends the list with an error.
                for fault in self._ask(text(_INTEGRITY.format(table))).scalars():
                    found.append(str(fault).strip())  # noqa: PERF401 - what came before an error counts
            except DatabaseError as error:
                found.append(str(error.orig))
            faults.extend(f"table {table}: {fault}" for fault in found if fault != "ok")
        return faults


def _matches(tenant_id: str, wanted: Filter) -> Any:  # noqa: ANN401 - a SQL expression
    table = schema.receipts
    conditions = [table.c.tenant_id == tenant_id]
    if wanted.newest_first:
        if wanted.after >= 0:
            conditions.append(table.c.seq < wanted.after)
    else:
        conditions.append(table.c.seq > wanted.after)
    if wanted.kind is not None and wanted.kind != Kind.WORK:
        conditions.append(schema.IS_GOVERNANCE)
    for value, condition in (
        (wanted.agent, table.c.agent == wanted.agent),
        (wanted.session_id, table.c.session_id == wanted.session_id),
        (wanted.kind, table.c.kind == wanted.kind),
        (wanted.since_ms, table.c.issued_ms >= (wanted.since_ms or 0)),
        (wanted.until_ms, table.c.issued_ms < (wanted.until_ms or 0)),
    ):
        if value is not None:
            conditions.append(condition)
    return and_(*conditions)
