"""A tenant's figures, from the store as it is when they are asked for.

States and backlogs are counted by indexes. What happened is counted from receipts that were committed
since this process first looked, so a figure counts what is on the record and nothing twice.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from dragons.api.exposition import COUNTER, GAUGE, Family, counted, single
from dragons.control.mtboi import fleet_mtboi, window_at
from dragons.control.ports import Filter, Reader, Tallies
from dragons.core.vocabulary import Kind, OrganismState, Reason
from dragons.liveness.organism import Act, Trigger

# How many receipts of a kind one look takes in; the rest is counted by the next.
TAIL_MAX = 10_000
OTHER = "other"
_PAGE = 1_000

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Event(NamedTuple):
    """A kind of receipt that is counted: by which field of its statement, out of which words."""

    name: str
    meaning: str
    label: str
    field: str
    words: frozenset[str]


EVENTS: Mapping[Kind, Event] = {
    Kind.STATE_CHANGED: Event(
        "dragons_transitions_total",
        "Changes of organism state, by trigger.",
        "trigger",
        "trigger",
        frozenset(one.value for one in Trigger),
    ),
    Kind.REDISPATCHED: Event(
        "dragons_redispatches_total",
        "Starts that were ordered, by what fenced the instance before.",
        "fenced_by",
        "fenced_by",
        frozenset({"none", "death", "staleness", "expiry"}),
    ),
    Kind.INTERVENTION: Event(
        "dragons_interventions_total",
        "Operators' interventions, by action.",
        "action",
        "action",
        frozenset(one.value for one in Act),
    ),
    Kind.DENIED: Event(
        "dragons_denials_total",
        "Actions that the control plane denied, by reason code.",
        "reason",
        "reason",
        frozenset(one.value for one in Reason),
    ),
    Kind.NOTIFIED: Event(
        "dragons_notifications_total",
        "Messages that are over, by outcome.",
        "outcome",
        "outcome",
        frozenset({"delivered", "failed"}),
    ),
}


class _Now(NamedTuple):
    """What a tenant has at a moment."""

    tallies: Tallies
    mtboi_seconds: int
    receipts: int
    now_ms: int


class _Tail:
    """How far a tenant's receipts were counted, and the counts."""

    def __init__(self, after: int) -> None:
        self.after = dict.fromkeys(EVENTS, after)
        self.counts: dict[Kind, Counter[str]] = {kind: Counter() for kind in EVENTS}
        self.quarantines = 0
        self.lock = threading.Lock()


class LedgerMetrics:
    """One per process: remembers for each tenant up to where its receipts were counted."""

    def __init__(self) -> None:
        self._tails: dict[str, _Tail] = {}
        self._lock = threading.Lock()

    def begin(self, reader: Reader) -> None:
        """Count from now on, for every tenant there is."""
        for tenant in reader.tenants():
            self._tail(reader, tenant.tenant_id)

    def families(self, reader: Reader, tenant_id: str, now_ms: int) -> list[Family]:
        """The tenant's figures as of `now_ms`."""
        tail = self._tail(reader, tenant_id)
        with tail.lock:
            for kind in EVENTS:
                _count(reader, tenant_id, tail, kind)
            counts = {kind: dict(tail.counts[kind]) for kind in EVENTS}
            quarantines = tail.quarantines
        mtboi, _ = fleet_mtboi(reader, tenant_id, window_at(now_ms))
        now = _Now(reader.tallies(tenant_id), mtboi.seconds, reader.tree_size(tenant_id), now_ms)
        return _families(now, counts, quarantines)

    @staticmethod
    def described() -> list[Family]:
        """Every family there can be, all of them at nothing."""
        nothing = Tallies({}, {}, 0, (), 0, 0, 0)
        return _families(_Now(nothing, 0, 0, 0), {kind: {} for kind in EVENTS}, 0)

    def _tail(self, reader: Reader, tenant_id: str) -> _Tail:
        with self._lock:
            found = self._tails.get(tenant_id)
            if found is None:
                found = self._tails[tenant_id] = _Tail(reader.tree_size(tenant_id) - 1)
            return found


def _count(reader: Reader, tenant_id: str, tail: _Tail, kind: Kind) -> None:
    event, taken = EVENTS[kind], 0
    while taken < TAIL_MAX:
        limit = min(_PAGE, TAIL_MAX - taken)
        wanted = Filter(after=tail.after[kind], limit=limit, kind=kind.value)
        rows = reader.receipts(tenant_id, wanted)
        for row in rows:
            body = _decode(row.statement)
            word = str(body.get(event.field, ""))
            number = body.get("count", 1)
            tail.counts[kind][word if word in event.words else OTHER] += int(number)
            if body.get("after") == OrganismState.QUARANTINED.value:
                tail.quarantines += 1
            tail.after[kind] = row.seq
        taken += len(rows)
        if len(rows) < limit:
            return


def _families(now: _Now, counts: Mapping[Kind, Mapping[str, float]], quarantines: int) -> list[Family]:
    tallies = now.tallies
    states = {
        state.value: tallies.states.get(state.value, 0) for state in OrganismState if state != "stopped"
    }
    dispatches = {state: tallies.dispatches.get(state, 0) for state in ("open", "held")}
    waiting_ms = max(0, now.now_ms - tallies.oldest_message_ms) if tallies.messages_waiting else 0
    gauges: list[tuple[str, str, float]] = [
        ("dragons_agents_held", "Agents that an operator quarantined.", len(tallies.holds)),
        ("dragons_incidents_open", "Incidents that have not ended.", tallies.incidents_open),
        ("dragons_orders_waiting", "Orders to dispatchers that are not over.", tallies.orders_waiting),
        ("dragons_messages_waiting", "Messages to people that are not over.", tallies.messages_waiting),
        ("dragons_oldest_message_seconds", "Age of the oldest of them.", waiting_ms / 1000),
        ("dragons_mtboi_seconds", "Mean time between operator interventions, 30 days.", now.mtboi_seconds),
    ]
    quarantined = "Instances that were quarantined, by healing or by an operator."
    return [
        counted("dragons_instances", "Live instances by organism state.", "state", states, GAUGE),
        counted("dragons_dispatches", "Dispatches that are not over, by state.", "state", dispatches, GAUGE),
        *(single(name, meaning, value) for name, meaning, value in gauges),
        single("dragons_receipts_total", "Receipts on the ledger.", now.receipts, COUNTER),
        *(counted(event.name, event.meaning, event.label, counts[kind]) for kind, event in EVENTS.items()),
        single("dragons_quarantines_total", quarantined, quarantines, COUNTER),
    ]
