"""What goes into a pack: the selected, what it rests on, and hashes for the rest."""

from __future__ import annotations

import pytest

from dragons.audit.pack import Selection, parse_line
from dragons.audit.select import PackLines, check_selection, position_of, selects
from dragons.core.errors import InvalidInputError
from dragons.core.hashing import sha256_hex
from dragons.evidence.merkle import Node, Range, leaf_hash, root_at
from tests.property.builders import make_header
from tests.support import packs, story

STORY = story.full(cycles=1)
BOOK = STORY.book
SESSION = packs.session_of(STORY.session.session_id)


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
