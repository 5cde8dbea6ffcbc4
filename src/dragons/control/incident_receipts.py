"""Finding the receipts of an incident: a few bounded reads of the ledger, never all of it.

What decides a story (states, leases, orders, interventions, denials) is looked for by its kind, so that
a flood of work can't crowd it out; work is read from both ends of the incident. What was left out is counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dragons.control.ports import Filter, Reader
from dragons.control.rows import IncidentRow, ReceiptRow
from dragons.core.vocabulary import Kind

# How many of the agent's receipts before the incident, and after it, are looked at.
BEFORE_MAX = 60
AFTER_MAX = 12
# How many of each kind of event, and of work, within the incident.
KIND_MAX = 200
WORK_MAX = 1_000
IDENTITY_MAX = 500

_IDENTITY = (
    Kind.MANIFEST_REGISTERED,
    Kind.VERSION_ACTIVATED,
    Kind.AGENT_DOCKED,
    Kind.DISPATCH_ORDERED,
    Kind.POLICY_PUBLISHED,
)
_EVENTS = (
    Kind.STATE_CHANGED,
    Kind.REDISPATCHED,
    Kind.INTERVENTION,
    Kind.REVOKED,
    Kind.LEASE_ISSUED,
    Kind.LEASE_RENEWED,
    Kind.LEASE_RELEASED,
    Kind.DENIED,
    Kind.DISPATCH_ENDED,
    Kind.NOTIFIED,
    Kind.POLICY_PUBLISHED,
    Kind.VERSION_ACTIVATED,
)
# These name no agent: an operator revokes a dock or a key, and publishes a policy for all.
_OF_ALL = frozenset({Kind.REVOKED, Kind.POLICY_PUBLISHED})


class Gathered(NamedTuple):
    """The receipts to tell an incident from; `limits` names the reads that found more than they took."""

    receipts: tuple[ReceiptRow, ...]
    limits: tuple[str, ...]


def gather_receipts(reader: Reader, incident: IncidentRow) -> Gathered:
    """What the ledger has on `incident`, with the identity that it happened to."""
    reading = _Reading(reader, incident)
    reading.identity()
    reading.before()
    reading.events()
    reading.work()
    reading.after()
    return Gathered(tuple(reading.found[seq] for seq in sorted(reading.found)), tuple(reading.limits))


class _Reading:
    def __init__(self, reader: Reader, incident: IncidentRow) -> None:
        self._reader = reader
        self._incident = incident
        self._tenant_id = incident.tenant_id
        newest = reader.tree_size(self._tenant_id) - 1
        self._end = newest if incident.closed_seq is None else incident.closed_seq
        self.found: dict[int, ReceiptRow] = {}
        self.limits: list[str] = []

    def identity(self) -> None:
        """The newest registrations, docks and orders before it, and the receipt that began the instance."""
        for kind in _IDENTITY:
            self._take(self._before(kind, IDENTITY_MAX), IDENTITY_MAX, kind.value)
        instance = self._reader.instance(self._tenant_id, self._incident.instance_id)
        if instance is not None and instance.begun_seq is not None:
            row = self._reader.receipt_at(self._tenant_id, instance.begun_seq)
            self._take([] if row is None else [row], 2, "the first lease")

    def before(self) -> None:
        """What led to it: the agent's last receipts, and what was revoked last."""
        self._take(self._before(None, BEFORE_MAX), BEFORE_MAX + 1, "before")
        self._take(self._before(Kind.REVOKED, BEFORE_MAX), BEFORE_MAX + 1, "revoked before")

    def events(self) -> None:
        """What happened to it. Messages may be delivered after its end."""
        for kind in _EVENTS:
            wanted = self._filter(kind, KIND_MAX)._replace(after=self._incident.opened_seq - 1)
            rows = self._reader.receipts(self._tenant_id, wanted)
            late = kind is Kind.NOTIFIED
            self._take(rows if late else self._within(rows), KIND_MAX, kind.value)

    def work(self) -> None:
        """What the agent did meanwhile: the first half of the limit from its start, the rest up to its end."""
        wanted = Filter(after=self._incident.opened_seq - 1, agent=self._incident.agent, limit=WORK_MAX // 2)
        first = self._within(self._reader.receipts(self._tenant_id, wanted))
        self._take(first, WORK_MAX, "work")
        if len(first) < WORK_MAX // 2:
            return
        wanted = wanted._replace(after=self._end + 1, newest_first=True)
        last = [row for row in self._reader.receipts(self._tenant_id, wanted) if row.seq > first[-1].seq]
        self._take(last, WORK_MAX // 2, "work")

    def after(self) -> None:
        """The beginning of what came next."""
        if self._incident.closed_seq is not None:
            wanted = Filter(after=self._end, agent=self._incident.agent, limit=AFTER_MAX)
            self._take(self._reader.receipts(self._tenant_id, wanted), AFTER_MAX + 1, "after")

    def _filter(self, kind: Kind | None, limit: int) -> Filter:
        return Filter(
            agent=None if kind in _OF_ALL else self._incident.agent,
            kind=None if kind is None else kind.value,
            limit=limit,
        )

    def _before(self, kind: Kind | None, limit: int) -> Iterable[ReceiptRow]:
        wanted = self._filter(kind, limit)._replace(after=self._incident.opened_seq, newest_first=True)
        return self._reader.receipts(self._tenant_id, wanted)

    def _within(self, rows: Iterable[ReceiptRow]) -> list[ReceiptRow]:
        return [row for row in rows if row.seq <= self._end]

    def _take(self, rows: Iterable[ReceiptRow], limit: int, what: str) -> None:
        taken = list(rows)
        self.found.update((row.seq, row) for row in taken)
        if len(taken) >= limit and what not in self.limits:
            self.limits.append(what)
