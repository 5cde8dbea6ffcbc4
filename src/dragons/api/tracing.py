"""Spans as the server makes them: of requests, of sweeps, and of starts that healing ordered.

Written against a protocol, so that nothing of a tracing library is imported unless it is configured
(`dragons.adapters.otel`). A span holds ids and codes; never a body, a query or a credential.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Protocol

from dragons.authority.lease import LEASE, Lease
from dragons.control.ports import Filter, Reader
from dragons.control.records import record_of
from dragons.control.rows import ReceiptRow
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import REDISPATCH, Redispatch

Value = str | int | bool
# Starts that nobody carried out yet; more are forgotten, the oldest first.
PENDING_MAX = 10_000
PAGE = 500
_TRACE_HEADERS = {b"traceparent": "traceparent", b"tracestate": "tracestate"}


class Span(Protocol):
    """A span that is open."""

    def note(self, attributes: Mapping[str, Value], *, failed: bool = False) -> None: ...


class Tracing(Protocol):
    """Where spans go."""

    def span(
        self, name: str, attributes: Mapping[str, Value], carrier: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Span]:
        """A span around what the caller does; `carrier` is the W3C trace context of who asked."""
        ...

    def record(self, name: str, span_ms: tuple[int, int], attributes: Mapping[str, Value]) -> None:
        """A span that is over already, by its begin and end in epoch milliseconds."""
        ...

    @property
    def wanted(self) -> bool:
        """False when nobody wants spans, so that no work is done for them."""
        ...


class _Silent:
    def note(self, attributes: Mapping[str, Value], *, failed: bool = False) -> None:
        del attributes, failed


class NoTracing:
    """Nobody wants spans."""

    wanted = False
    _span = _Silent()

    @contextmanager
    def span(
        self, name: str, attributes: Mapping[str, Value], carrier: Mapping[str, str] | None = None
    ) -> Iterator[Span]:
        """Nothing around what the caller does."""
        del name, attributes, carrier
        yield self._span

    def record(self, name: str, span_ms: tuple[int, int], attributes: Mapping[str, Value]) -> None:
        """Nothing."""
        del name, span_ms, attributes


def trace_context(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The caller's W3C trace context; empty when there is none, or more than one and so none to believe."""
    found: dict[str, str] = {}
    for name, value in headers:
        known = _TRACE_HEADERS.get(name)
        if known in found:
            return {}
        if known is not None:
            found[known] = value.decode("latin-1")
    return found if "traceparent" in found else {}


class Start(NamedTuple):
    """A start that was ordered: when, and what its span says."""

    issued_ms: int
    attributes: dict[str, Value]


class StartWatch:
    """Makes a span of every start that a dispatch orders: from the order to the lease that carries it out.

    Reads receipts that were committed since it looked last, so each is told once and by what is on the record.
    """

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._after: dict[str, int] = {}
        self._pending: dict[tuple[str, str, int], Start] = {}

    def look(self, reader: Reader, tenant_id: str) -> None:
        """Take in what is new of a tenant. The first look only says where to begin."""
        end = reader.tree_size(tenant_id) - 1
        after = self._after.get(tenant_id)
        self._after[tenant_id] = end
        if after is None:
            return
        for row in _between(reader, tenant_id, Kind.REDISPATCHED, after, end):
            self._ordered(row)
        for row in _between(reader, tenant_id, Kind.LEASE_ISSUED, after, end):
            self._launched(row)

    def _ordered(self, row: ReceiptRow) -> None:
        body = record_of(row).statement.body(REDISPATCH, Redispatch)
        key = (row.tenant_id, body.dispatch_id, body.epoch)
        # Ordered again because it was not carried out: the one before ends here.
        self._end(key, row.issued_ms, "superseded")
        while len(self._pending) >= PENDING_MAX:
            del self._pending[next(iter(self._pending))]
        self._pending[key] = Start(
            row.issued_ms,
            {
                "dragons.dispatch_id": body.dispatch_id,
                "dragons.order_id": body.order_id,
                "dragons.receipt_id": row.receipt_id,
                "dragons.epoch": body.epoch,
                "dragons.fenced_by": body.fenced_by,
            },
        )

    def _launched(self, row: ReceiptRow) -> None:
        body = record_of(row).statement.body(LEASE, Lease)
        self._end((row.tenant_id, body.dispatch_id, body.epoch), row.issued_ms, "launched")

    def _end(self, key: tuple[str, str, int], at_ms: int, outcome: str) -> None:
        start = self._pending.pop(key, None)
        if start is not None:
            attributes = {**start.attributes, "dragons.outcome": outcome}
            self._tracing.record("redispatch", (start.issued_ms, at_ms), attributes)


def _between(reader: Reader, tenant_id: str, kind: Kind, after: int, end: int) -> Iterator[ReceiptRow]:
    while True:
        rows = reader.receipts(tenant_id, Filter(after=after, limit=PAGE, kind=kind.value))
        yield from (row for row in rows if row.seq <= end)
        if len(rows) < PAGE or rows[-1].seq >= end:
            return
        after = rows[-1].seq
