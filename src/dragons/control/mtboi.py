"""MTBOI with what it is made of: running spans and interventions, each with its receipts.

The figure of an agent, or of the fleet: all agents' running time by all their interventions. It is
computed from the same rows that the expansion lists, so that a reader can add them up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dragons.control.ports import Filter, Reader, Span
from dragons.control.records import record_of
from dragons.control.rows import ReceiptRow
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import INTERVENTION, Intervention
from dragons.liveness.mtboi import WINDOW_MS, mean_seconds, running_ms


class Window(NamedTuple):
    """Epoch milliseconds: running time in [since_ms, until_ms), interventions up to `until_ms` itself."""

    since_ms: int
    until_ms: int


class Mtboi(NamedTuple):
    """The figure, and what it is the quotient of."""

    running_ms: int
    interventions: int

    @property
    def seconds(self) -> int:
        """Whole seconds of running time per intervention."""
        return mean_seconds(self.running_ms, self.interventions)


class ProvenSpan(NamedTuple):
    """A span with the part of it that lies in the window; a receipt that is not known is empty.

    `began_by` is the lease's, `ended_by` that of the state change which ended its authority for good.
    """

    span: Span
    counted_ms: int
    began_by: str
    ended_by: str


class Hand(NamedTuple):
    """An intervention as it counts: on an instance, a dispatch, or all of an agent (both ids are empty)."""

    receipt_id: str
    seq: int
    issued_ms: int
    agent: str
    instance_id: str
    dispatch_id: str
    action: str
    reason: str
    operator: str


class Expansion(NamedTuple):
    """One page of what a figure is made of; `more` says that there is another."""

    window: Window
    mtboi: Mtboi
    spans: Sequence[ProvenSpan]
    interventions: Sequence[Hand]
    more: bool


def window_at(now_ms: int) -> Window:
    """The window that ends at `now_ms`."""
    return Window(max(0, now_ms - WINDOW_MS), now_ms)


def expand_mtboi(
    reader: Reader, tenant_id: str, agent: str | None, window: Window, *, page: int, limit: int
) -> Expansion:
    """The figure of `agent`, or of the fleet, with page `page` (from 0) of its spans and interventions."""
    spans = [
        span for span in reader.spans(tenant_id, window.since_ms, agent) if span.started_ms < window.until_ms
    ]
    hands = [_hand(row) for row in _interventions(reader, tenant_id, agent, window)]
    total_ms = sum(_counted_ms(span, window) for span in spans)
    shown = spans[page * limit : (page + 1) * limit]
    seqs = {seq for span in shown for seq in (span.begun_seq, span.ended_seq) if seq is not None}
    names = reader.receipt_ids(tenant_id, seqs)
    return Expansion(
        window,
        Mtboi(total_ms, len(hands)),
        [_proven(span, window, names) for span in shown],
        hands[page * limit : (page + 1) * limit],
        more=max(len(spans), len(hands)) > (page + 1) * limit,
    )


def fleet_mtboi(reader: Reader, tenant_id: str, window: Window) -> tuple[Mtboi, Mapping[str, Mtboi]]:
    """The fleet's figure and every agent's that ran or was laid hand on, in two queries."""
    totals = reader.running_totals(tenant_id, window.since_ms, window.until_ms)
    counts: dict[str, int] = {}
    for row in _interventions(reader, tenant_id, None, window):
        counts[row.agent or ""] = counts.get(row.agent or "", 0) + 1
    each = {
        agent: Mtboi(totals.get(agent, 0), counts.get(agent, 0)) for agent in totals.keys() | counts.keys()
    }
    return Mtboi(sum(totals.values()), sum(counts.values())), each


def _interventions(reader: Reader, tenant_id: str, agent: str | None, window: Window) -> list[ReceiptRow]:
    # With what happened in this very millisecond: an operator who intervened sees it counted at once.
    until_ms = window.until_ms + 1
    wanted = Filter(kind=Kind.INTERVENTION.value, agent=agent, since_ms=window.since_ms, until_ms=until_ms)
    return list(reader.iter_receipts(tenant_id, wanted))


def _counted_ms(span: Span, window: Window) -> int:
    until_ms = window.until_ms if span.ended_ms is None else span.ended_ms
    return running_ms([(span.started_ms, until_ms)], window.until_ms)


def _proven(span: Span, window: Window, names: Mapping[int, str]) -> ProvenSpan:
    # An end that came after the window is none of it.
    ended = span.ended_seq if span.ended_ms is not None and span.ended_ms <= window.until_ms else None
    return ProvenSpan(
        span,
        _counted_ms(span, window),
        "" if span.begun_seq is None else names.get(span.begun_seq, ""),
        "" if ended is None else names.get(ended, ""),
    )


def _hand(row: ReceiptRow) -> Hand:
    statement = record_of(row).statement
    body = statement.body(INTERVENTION, Intervention)
    return Hand(
        receipt_id=row.receipt_id,
        seq=row.seq,
        issued_ms=row.issued_ms,
        agent=row.agent or "",
        instance_id=body.instance_id if isinstance(body.instance_id, str) else "",
        dispatch_id=body.dispatch_id if isinstance(body.dispatch_id, str) else "",
        action=body.action,
        reason=body.reason,
        operator=statement.signatures[0].keyid,
    )
