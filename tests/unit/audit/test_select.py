"""What goes into a pack: the selected, what it rests on, and hashes for the rest."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from dragons.audit.pack import Selection, parse_line
from dragons.audit.select import (
    ALWAYS_CONTEXT,
    PackLines,
    Placed,
    Wanted,
    check_selection,
    find_context,
    header_of,
    position_of,
    selects,
)
from dragons.core.errors import InvalidInputError
from dragons.core.hashing import sha256_hex
from dragons.core.vocabulary import Kind
from dragons.evidence.merkle import Node, Range, leaf_hash, root_at
from tests.property.builders import make_header
from tests.support import packs, story
from tests.support.packs import Parts

STORY = story.full(cycles=1)
BOOK = STORY.book
SESSION = packs.session_of(STORY.session.session_id)


def kinds(parts: Parts, *, selected: bool) -> list[Kind]:
    suffix = b'"selected":true}' if selected else b'"selected":false}'
    found = [i for i, at in enumerate(parts.receipts()) if parts.lines[at].endswith(suffix)]
    return [parts.header(index).kind for index in found]


@pytest.mark.parametrize(
    "selection", [packs.LEDGER, SESSION, packs.agent_of("a"), packs.window_of(BOOK, 1, 2)]
)
def test_a_selection_has_the_fields_of_its_kind(selection: Selection) -> None:
    check_selection(selection)


@pytest.mark.parametrize(
    "selection",
    [
        Selection(kind="ledger", agent="a"),
        Selection(kind="session"),
        Selection(kind="agent", agent="a", since="2027-01-15T08:00:00.000Z"),
        Selection(kind="window", since="2027-01-15T08:00:00.000Z"),
        Selection(kind="window", since="2027-01-15T08:00:00.000Z", until="2027-01-15T07:00:00.000Z"),
    ],
)
def test_other_fields_are_refused(selection: Selection) -> None:
    with pytest.raises(InvalidInputError):
        check_selection(selection)


def test_an_agent_is_selected_by_name_in_all_versions() -> None:
    agent = packs.agent_of("reconciler")
    assert [
        selects(agent, make_header(agent=a)) for a in ("reconciler", "reconciler@v7", "reconciler2@v1")
    ] == [
        True,
        True,
        False,
    ]
    assert selects(agent, make_header()) is False


def test_positions_are_the_selections_own() -> None:
    header = make_header(seq=9, session_position=3, agent_seq=5)
    assert position_of(SESSION, header) == 3
    assert position_of(packs.agent_of("a"), header) == 5
    assert position_of(packs.LEDGER, header) == 9
    assert position_of(SESSION, make_header()) is None


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


@pytest.mark.parametrize(
    "selection", [packs.LEDGER, SESSION, packs.agent_of("notifier"), packs.window_of(BOOK, 9, 9)]
)
def test_the_lines_are_the_whole_log(selection: Selection) -> None:
    parts = packs.export(BOOK, selection)
    tree = Range()
    for data in parts.lines:
        line = parse_line(data)
        if isinstance(line.gap, list):
            for node in line.gap:
                tree.append_node(Node(node.level, node.index, node.hash))
        else:
            tree.append(leaf_hash(encode_record(data)))
    assert tree.end == len(BOOK.placed)
    assert tree.root() == root_at(tree.end, BOOK.read_node)


def encode_record(data: bytes) -> bytes:
    record = parse_line(data).record
    assert record is not None
    return record.leaf()  # type: ignore[union-attr]


def test_the_digest_is_over_what_is_not_selected() -> None:
    parts = packs.export(BOOK, SESSION)
    rest = b"".join(line + b"\n" for line in parts.lines if not line.endswith(b'"selected":true}'))
    assert parts.pack().context_sha256 == sha256_hex(rest)
    assert packs.export(BOOK).pack().context_sha256 == sha256_hex(b"")


def test_a_receipt_in_both_inputs_is_selected_once() -> None:
    chosen = BOOK.placed[:3]
    lines = list(PackLines(packs.LEDGER, chosen, [BOOK.placed[1]], 3, BOOK.read_node))
    assert len(lines) == 3
    assert all(line.endswith(b'"selected":true}') for line in lines)


def test_a_selected_receipt_without_a_place_is_refused() -> None:
    lines = PackLines(packs.agent_of("reconciler"), BOOK.placed[:1], [], 1, BOOK.read_node)
    with pytest.raises(InvalidInputError, match="no place"):
        list(lines)


def test_what_is_shown_is_counted() -> None:
    pack = packs.export(BOOK, SESSION).pack()
    positions = [h.session_position for h in BOOK.headers if h.session_id == STORY.session.session_id]
    assert (pack.selected, pack.first_position, pack.last_position) == (len(positions), 0, positions[-1])
    assert pack.revocations == 5
