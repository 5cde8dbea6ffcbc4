"""Writing: rows and receipts are gathered in memory and reach the database in few, large statements.

Rows that decisions need again and again are cached between transactions; the writer empties the
cache when any other process has written (`Cache.clear`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Result, func, select

from dragons.adapters.sql import schema
from dragons.adapters.sql.books import Book
from dragons.adapters.sql.driving import Query, fetch, fetch_text
from dragons.adapters.sql.mapping import names, to_values
from dragons.adapters.sql.pending import Pending
from dragons.adapters.sql.reader import SqlReader
from dragons.adapters.sql.writes import insert_text, key_of
from dragons.control import rows
from dragons.control.ports import About, Appended, Keyring
from dragons.control.statements import key_holds
from dragons.core.errors import ConflictError, StorageError
from dragons.core.keys import KeyRole
from dragons.core.statement import Envelope
from dragons.core.vocabulary import Kind

T = TypeVar("T")
R = TypeVar("R")

_CACHE_MAX = 50_000
_ABSENT = object()
# What is asked for by its key in many transactions; the others are not worth the memory.
_CACHED = frozenset(
    {
        rows.KeyRow,
        rows.InstanceRow,
        rows.LeaseRow,
        rows.SessionRow,
        rows.DenialRow,
        rows.DispatchRow,
        rows.PresenceRow,
    }
)
_ISSUER = f"{KeyRole.ISSUER.value}_"


class Cache:
    """What the writer remembers between transactions. Only right while nobody else writes."""

    def __init__(self) -> None:
        self.books: dict[str, Book] = {}
        self.rows: dict[tuple[object, ...], Any] = {}
        self.revoked: dict[str, set[str]] = {}
        self.outages: dict[str, list[rows.OutageRow]] = {}
        self.figures: dict[tuple[str, ...], tuple[int, Any]] = {}
        self.latest_ms: int | None = None
        # The furthest that a receipt's time was ahead of the boot clock; of this process, not of the data.
        self.lead_ms: int | None = None

    def clear(self) -> None:
        """Forget what was read; the next use reads the data again."""
        self.books.clear()
        self.rows.clear()
        self.revoked.clear()
        self.outages.clear()
        self.figures.clear()
        self.latest_ms = None


class SqlTransaction(SqlReader):
    """Implements `dragons.control.ports.Transaction`."""

    def __init__(self, connection: Connection, cache: Cache, keyring: Keyring) -> None:
        super().__init__(connection)
        self._cache = cache
        self._keyring = keyring
        self._pending = Pending()
        self._receipts: list[tuple[Any, ...]] = []
        self._nodes: list[tuple[Any, ...]] = []
        self._claims: set[tuple[str, str]] = set()
        self._begun: set[str] = set()
        self._now_ms = 0
        self.touched = False
        if len(cache.rows) > _CACHE_MAX:
            cache.rows.clear()

    @property
    def now_ms(self) -> int:
        return self._now_ms

    def begin_job(self, now_ms: int, boot_ms: int) -> None:
        """Start the next job of the group at its own time: never before the last receipt's, and never still.

        A wall clock that was set back would let leases live again that the ledger has seen end, and
        time that waited for it would let none of them end. So the boot clock counts on from the receipt.
        """
        cache = self._cache
        if cache.latest_ms is None:
            cache.latest_ms = self._connection.exec_driver_sql(_LATEST).scalar() or 0
        lead_ms = cache.latest_ms - boot_ms
        cache.lead_ms = lead_ms if cache.lead_ms is None else max(lead_ms, cache.lead_ms)
        self._now_ms = max(now_ms, boot_ms + cache.lead_ms)
        self.touched = False

    def remember(self, key: tuple[str, ...], ttl_ms: int, make: Callable[[], T]) -> T:
        found = self._cache.figures.get(key)
        if found is not None and 0 <= self._now_ms - found[0] < ttl_ms:
            value: T = found[1]
            return value
        made = make()
        if len(self._cache.figures) > _CACHE_MAX:
            self._cache.figures.clear()
        self._cache.figures[key] = (self._now_ms, made)
        return made

    def append(
        self,
        tenant_id: str,
        kind: Kind,
        statement: Envelope,
        about: About | None = None,
        *,
        claim_id: str | None = None,
    ) -> Appended:
        self.touched = True
        book = self._book(tenant_id)
        self._check_key(tenant_id, book.key_id)
        signer = statement.signatures[0].keyid
        # A rotation carries the replaced key's signature too, and that key may have expired.
        if signer.startswith(_ISSUER) and len(statement.signatures) == 1:
            self._check_key(tenant_id, signer)
        appended, row, nodes = book.seal(
            kind, statement, About() if about is None else about, self._now_ms, claim_id
        )
        self._receipts.append(row)
        self._nodes.extend(nodes)
        self._cache.latest_ms = max(self._now_ms, self._cache.latest_ms or 0)
        if claim_id is not None:
            self._claims.add((tenant_id, claim_id))
        return appended

    def tree_size(self, tenant_id: str) -> int:
        return self._book(tenant_id).size

    def node(self, tenant_id: str, level: int, index: int) -> bytes:
        return self._book(tenant_id).node(level, index) or super().node(tenant_id, level, index)

    def _book(self, tenant_id: str) -> Book:
        book = self._cache.books.get(tenant_id)
        if book is None:
            self._sync()
            book = Book(self._connection, tenant_id, self._keyring.ledger(tenant_id))
            self._cache.books[tenant_id] = book
        if tenant_id not in self._begun:
            # Asked once a transaction, so that a rotated key takes over without a restart.
            book.begin(self._keyring.ledger(tenant_id))
            self._begun.add(tenant_id)
        return book

    def _check_key(self, tenant_id: str, key_id: str) -> None:
        # What such a key signed no verifier would accept, so it does not get into the ledger.
        row = self.key(tenant_id, key_id)
        if row is None or not key_holds(row, self._now_ms):
            raise StorageError(
                "signing_key_invalid",
                f"The control plane's key {key_id} is not on the record, revoked or expired.",
                fix="Rotate it first: `dragons keys rotate`.",
            )

    def _ask(self, query: Executable, key: dict[str, Any] | None = None) -> Result[Any]:
        self._sync()
        return super()._ask(query, key)

    def _sync(self) -> None:
        self._pending.flush(self._connection)
        if self._receipts:
            self._connection.exec_driver_sql(_INSERT_RECEIPT, self._receipts)
            self._receipts = []
            self._claims.clear()
        if self._nodes:
            self._connection.exec_driver_sql(_INSERT_NODE, self._nodes)
            self._nodes = []

    def finish(self) -> None:
        """Send everything that is still pending to the database."""
        self._sync()

    def _values(self, query: Query, key: dict[str, Any] | None = None) -> list[Any]:
        if key is None:
            return super()._values(query)
        self._sync()
        return fetch(self._connection, query, key)

    def _put(self, row: rows.Row) -> None:
        self.touched = True
        kind = type(row)
        key = key_of(kind)(row)
        before = None
        if kind in _CACHED:
            place = (kind, *key)
            before = self._cache.rows.get(place)
            self._cache.rows[place] = row
        self._pending.put(row, key, before)

    def _cached(self, kind: type[R], read: Callable[..., R | None], *key: str) -> R | None:
        place = (kind, *key)
        found: R | None = self._cache.rows.get(place)
        if found is None:
            found = read(self, *key)
            if found is not None:
                self._cache.rows[place] = found
        return found

    def key(self, tenant_id: str, key_id: str) -> rows.KeyRow | None:
        return self._cached(rows.KeyRow, SqlReader.key, tenant_id, key_id)

    def instance(self, tenant_id: str, instance_id: str) -> rows.InstanceRow | None:
        return self._cached(rows.InstanceRow, SqlReader.instance, tenant_id, instance_id)

    def lease(self, tenant_id: str, lease_id: str) -> rows.LeaseRow | None:
        return self._cached(rows.LeaseRow, SqlReader.lease, tenant_id, lease_id)

    def session(self, tenant_id: str, session_id: str) -> rows.SessionRow | None:
        return self._cached(rows.SessionRow, SqlReader.session, tenant_id, session_id)

    def catalogue(self, tenant_id: str) -> rows.CatalogueRow | None:
        read = super().catalogue
        place = ("newest catalogue", tenant_id)
        found = self._cache.rows.get(place, _ABSENT)
        if found is _ABSENT:
            found = self._cache.rows[place] = read(tenant_id)
        return found  # type: ignore[no-any-return]

    def epoch(self, tenant_id: str, dispatch_id: str) -> int:
        place = ("epoch", tenant_id, dispatch_id)
        found = self._cache.rows.get(place)
        if found is None:
            found = self._cache.rows[place] = super().epoch(tenant_id, dispatch_id)
        return int(found)

    def is_revoked(self, tenant_id: str, entries: Sequence[str]) -> str | None:
        revoked = self._cache.revoked.get(tenant_id)
        if revoked is None:
            revoked = self._cache.revoked[tenant_id] = {r.entry for r in self.revocations(tenant_id)}
        return next((entry for entry in entries if entry in revoked), None)

    def receipt_by_claim(self, tenant_id: str, claim_id: str) -> rows.ReceiptRow | None:
        is_here = (tenant_id, claim_id) in self._claims
        if not is_here and not fetch_text(self._connection, _CLAIM_KNOWN, (claim_id, tenant_id)):
            return None
        return super().receipt_by_claim(tenant_id, claim_id)

    def put_tenant(self, row: rows.TenantRow) -> None:
        self._put(row)

    def put_key(self, row: rows.KeyRow) -> None:
        self._put(row)

    def put_token(self, row: rows.TokenRow) -> None:
        self._put(row)

    def put_catalogue(self, row: rows.CatalogueRow) -> None:
        self._insert(row)
        self._cache.rows[("newest catalogue", row.tenant_id)] = row

    def put_version(self, row: rows.VersionRow) -> None:
        self._insert(row)

    def put_activation(self, row: rows.ActivationRow) -> None:
        self._insert(row)

    def put_dock(self, row: rows.DockRow) -> None:
        self._put(row)

    def put_epoch(self, tenant_id: str, dispatch_id: str, epoch: int, *, expected: int) -> None:
        self.touched = True
        self._sync()
        done = self._connection.exec_driver_sql(
            _INSERT_EPOCH if expected == 0 else _RAISE_EPOCH,
            (tenant_id, dispatch_id, epoch) if expected == 0 else (epoch, tenant_id, dispatch_id, expected),
        )
        if done.rowcount != 1:
            raise ConflictError("epoch_conflict", f"{dispatch_id} is no longer at epoch {expected}.")
        self._cache.rows[("epoch", tenant_id, dispatch_id)] = epoch

    def put_instance(self, row: rows.InstanceRow) -> None:
        self._put(row)

    def put_lease(self, row: rows.LeaseRow) -> None:
        self._put(row)

    def put_session(self, row: rows.SessionRow) -> None:
        self._put(row)

    def put_revocation(self, row: rows.RevocationRow) -> None:
        revoked = self._cache.revoked.get(row.tenant_id)
        self._insert(row)
        if revoked is not None:
            revoked.add(row.entry)

    def put_decision(self, row: rows.DecisionRow) -> None:
        self._put(row)

    def drop_decision(self, tenant_id: str, decision_id: str) -> None:
        self._drop(rows.DecisionRow, tenant_id, decision_id)

    def put_denial(self, row: rows.DenialRow) -> None:
        self._put(row)

    def denial(self, tenant_id: str, subject: str, action: str, reason: str) -> rows.DenialRow | None:
        return self._cached(rows.DenialRow, SqlReader.denial, tenant_id, subject, action, reason)

    def drop_denial(self, row: rows.DenialRow) -> None:
        self._drop(rows.DenialRow, *key_of(rows.DenialRow)(row))

    def put_dispatch(self, row: rows.DispatchRow) -> None:
        self._put(row)

    def put_order(self, row: rows.OrderRow) -> None:
        self._put(row)

    def put_node(self, row: rows.NodeRow) -> None:
        self._put(row)

    def put_hold(self, row: rows.HoldRow) -> None:
        self._put(row)

    def put_incident(self, row: rows.IncidentRow) -> None:
        self._put(row)

    def put_timer(self, row: rows.TimerRow) -> None:
        self._put(row)

    def put_message(self, row: rows.MessageRow) -> None:
        self._put(row)

    def put_step(self, row: rows.StepRow) -> None:
        self._put(row)

    def put_presence(self, row: rows.PresenceRow) -> None:
        self._put(row)

    def put_outage(self, row: rows.OutageRow) -> None:
        self._put(row)
        self._cache.outages.pop(row.tenant_id, None)

    def put_policy(self, row: rows.PolicyRow) -> None:
        self._insert(row)
        self._cache.rows[("newest policy", row.tenant_id, row.agent)] = row

    def drop_hold(self, tenant_id: str, agent: str) -> None:
        self._drop(rows.HoldRow, tenant_id, agent)

    def drop_message(self, tenant_id: str, message_id: str) -> None:
        self._drop(rows.MessageRow, tenant_id, message_id)

    def drop_timer(self, tenant_id: str, kind: str, key: str) -> None:
        self._drop(rows.TimerRow, tenant_id, kind, key)

    def policy(self, tenant_id: str, agent: str) -> rows.PolicyRow | None:
        place = ("newest policy", tenant_id, agent)
        found = self._cache.rows.get(place, _ABSENT)
        if found is _ABSENT:
            found = self._cache.rows[place] = super().policy(tenant_id, agent)
        return found  # type: ignore[no-any-return]

    def dispatch(self, tenant_id: str, dispatch_id: str) -> rows.DispatchRow | None:
        place = (rows.DispatchRow, tenant_id, dispatch_id)
        found = self._cache.rows.get(place, _ABSENT)
        if found is _ABSENT:
            found = self._cache.rows[place] = super().dispatch(tenant_id, dispatch_id)
        return found  # type: ignore[no-any-return]

    def presence(self, tenant_id: str) -> rows.PresenceRow | None:
        return self._cached(rows.PresenceRow, SqlReader.presence, tenant_id)

    def outages(self, tenant_id: str, since_ms: int) -> Sequence[rows.OutageRow]:
        known = self._cache.outages.get(tenant_id)
        if known is None:
            known = self._cache.outages[tenant_id] = list(super().outages(tenant_id, 0))
        # From the newest back: of many outages, few matter to whoever is alive.
        first = len(known)
        while first and known[first - 1].until_ms > since_ms:
            first -= 1
        return known[first:]

    def put_checkpoint(self, tenant_id: str, size: int, note: str) -> None:
        self.touched = True
        self._sync()
        known = select(func.count()).where(
            schema.checkpoints.c.tenant_id == tenant_id, schema.checkpoints.c.size == size
        )
        if not self._connection.execute(known).scalar():
            self._connection.execute(
                schema.checkpoints.insert().values(tenant_id=tenant_id, size=size, note=note)
            )

    def _insert(self, row: rows.Row) -> None:
        # For append-only tables, where an upsert would be an UPDATE.
        self.touched = True
        self._sync()
        mirror = schema.MIRRORS[type(row)]
        self._connection.execute(
            mirror.table.insert().values(dict(zip(names(type(row)), to_values(row), strict=True)))
        )

    def _drop(self, kind: type[rows.Row], *key: str) -> None:
        self.touched = True
        self._pending.drop(kind, key)
        self._cache.rows.pop((kind, *key), None)


_INSERT_RECEIPT = insert_text("receipts", [column.name for column in schema.receipts.columns])
_INSERT_NODE = insert_text("ledger_nodes", [column.name for column in schema.nodes.columns])
_INSERT_EPOCH = insert_text("epochs", ["tenant_id", "dispatch_id", "epoch"])
_RAISE_EPOCH = "UPDATE epochs SET epoch = ? WHERE tenant_id = ? AND dispatch_id = ? AND epoch = ?"
_CLAIM_KNOWN = "SELECT 1 FROM receipts WHERE claim_id = ? AND tenant_id = ?"
_LATEST = (
    "SELECT max((SELECT issued_ms FROM receipts WHERE receipts.tenant_id = tenants.tenant_id "
    "ORDER BY seq DESC LIMIT 1)) FROM tenants"
)
