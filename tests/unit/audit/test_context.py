"""What a pack brings along: what its selected receipts rest on, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from dragons.audit.context import ALWAYS_CONTEXT, Wanted, find_context
from dragons.audit.select import Placed, header_of, selects
from dragons.core.vocabulary import Kind
from tests.support import packs, story
from tests.support.packs import Parts

STORY = story.full(cycles=1)
BOOK = STORY.book
SESSION = packs.session_of(STORY.session.session_id)


def kinds(parts: Parts, *, selected: bool) -> list[Kind]:
    suffix = b'"selected":true}' if selected else b'"selected":false}'
    found = [i for i, at in enumerate(parts.receipts()) if parts.lines[at].endswith(suffix)]
    return [parts.header(index).kind for index in found]


def test_a_session_pack_brings_what_it_rests_on() -> None:
    parts = packs.export(BOOK, SESSION)
    context = kinds(parts, selected=False)
    assert set(kinds(parts, selected=True)) >= {Kind.SESSION_OPENED, Kind.WORK, Kind.SESSION_CLOSED}
    assert set(context) >= ALWAYS_CONTEXT | {
        Kind.AGENT_DOCKED,
        Kind.LEASE_ISSUED,
        Kind.LEASE_RENEWED,
        Kind.LEASE_RELEASED,
        Kind.MANIFEST_REGISTERED,
        Kind.VERSION_ACTIVATED,
        Kind.STATE_CHANGED,
    }
    assert Kind.WORK not in context
    assert Kind.DENIED not in context


def test_the_ledger_needs_no_context() -> None:
    parts = packs.export(BOOK)
    assert kinds(parts, selected=False) == []
    assert len(kinds(parts, selected=True)) == len(BOOK.placed) == len(parts.lines)


def test_a_newer_epoch_of_the_same_dispatch_is_context() -> None:
    parts = packs.export(BOOK, SESSION)
    epochs = {
        parts.header(i).epoch
        for i in range(len(parts.receipts()))
        if parts.header(i).kind is Kind.LEASE_ISSUED
    }
    assert epochs == {1, 2}


def test_a_session_of_an_ordered_dispatch_brings_how_it_came_to_be() -> None:
    """Every start, the lives of the instances before, and what people did to them; of other agents nothing."""
    parts = packs.export(BOOK, packs.session_of(STORY.names["healed_session"]))
    context = [parts.header(i) for i in range(len(parts.receipts()))]
    found = [header.kind for header in context]
    assert found.count(Kind.REDISPATCHED) == 3
    assert found.count(Kind.DISPATCH_ORDERED) == found.count(Kind.DISPATCH_ENDED) == 1
    assert {h.epoch for h in context if h.kind is Kind.LEASE_ISSUED} == {1, 2, 3}
    hands = [header for header in context if header.kind is Kind.INTERVENTION]
    assert [hand.agent for hand in hands] == ["reconciler@v1", "reconciler@v1"]
    assert Kind.NOTIFIED not in found


def test_a_childs_session_brings_its_parent() -> None:
    child = next(h for h in BOOK.headers if h.kind is Kind.SESSION_OPENED and h.agent == "notifier@v1")
    parts = packs.export(BOOK, packs.session_of(str(child.session_id)))
    headers = [parts.header(i) for i in range(len(parts.receipts()))]
    agents = {h.agent for h in headers if h.kind is Kind.AGENT_DOCKED}
    assert agents == {"notifier", "reconciler"}
    assert Kind.LEASE_DELEGATED in {h.kind for h in headers}


def test_a_window_brings_the_beginnings_it_cuts_off() -> None:
    work = [h.seq for h in BOOK.headers if h.kind is Kind.WORK and h.action == "pay:suppliers"]
    parts = packs.export(BOOK, packs.window_of(BOOK, work[0], work[0]))
    context = kinds(parts, selected=False)
    assert Kind.ACTION_AUTHORIZED in context
    assert Kind.SESSION_OPENED in context


def test_context_is_found_once_and_in_order() -> None:
    wanted = Wanted(SESSION)
    chosen = [p for p in BOOK.placed if selects(SESSION, header_of(p.record))]
    for one in chosen:
        wanted.note(one.record)

    def scan(asked: frozenset[Kind]) -> Iterable[Placed]:
        return [p for p in reversed(BOOK.placed) if header_of(p.record).kind in asked]

    found = find_context(wanted, scan)
    seqs = [p.seq for p in found]
    assert seqs == sorted(set(seqs))
    assert not set(seqs) & {p.seq for p in chosen}
