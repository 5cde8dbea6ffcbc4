"""Whether a selection is whole. What a whole pack says of it is in tests/tamper."""

from __future__ import annotations

from typing import Any

import pytest

from dragons.audit.pack import Pack, Selection
from dragons.audit.selection import SelectionCheck
from dragons.core.hashing import ZERO
from dragons.evidence.receipt import Header
from tests.property.builders import make_header, name

TIMES = [f"2027-01-15T08:00:0{n}.000Z" for n in range(10)]
WINDOW = Selection(kind="window", since=TIMES[2], until=TIMES[5])
AGENT = Selection(kind="agent", agent="reconciler")


def check(selection: Selection, selected: int, last: int, first: int = 0) -> SelectionCheck:
    return SelectionCheck(
        Pack(
            pack_id=name("pck", 1),
            tenant_id=name("tnt", 1),
            selection=selection,
            tree_size=8,
            root=ZERO,
            selected=selected,
            first_position=first,
            last_position=last,
            revocations=0,
            context_sha256=ZERO,
            exported_at=TIMES[9],
        )
    )


def header(seq: int, **changes: Any) -> Header:
    return make_header(seq=seq, issued_at=TIMES[seq], **changes)


def follow(one: SelectionCheck, *receipts: tuple[int, bool]) -> list[str]:
    """Seqs with whether each is selected; the codes of what is wrong."""
    found, previous = [], -1
    for seq, selected in receipts:
        fault = one.follow(header(seq), seq, previous, selected=selected)
        previous = seq
        if fault is not None:
            found.append(fault.code)
    end = one.end(99, previous)
    return found if end is None else [*found, end.code]


def test_a_whole_ledger() -> None:
    ledger = Selection(kind="ledger")
    assert follow(check(ledger, 8, 7), *[(seq, True) for seq in range(8)]) == []
    assert follow(check(ledger, 7, 6), *[(seq, True) for seq in range(7)]) == ["selection_truncated"]
    assert follow(check(ledger, 8, 7), *[(seq, seq != 3) for seq in range(8)])[0] == "receipt_missing"


def test_a_window_with_both_edges() -> None:
    inside = [(2, True), (3, True), (4, True)]
    assert follow(check(WINDOW, 3, 4, 2), (1, False), *inside, (5, False)) == []
    assert follow(check(WINDOW, 3, 4, 2), *inside, (5, False)) == ["window_edge"]
    assert follow(check(WINDOW, 3, 4, 2), (1, False), *inside) == ["window_edge"]
    assert follow(check(WINDOW, 3, 4, 2), (1, False), *inside, (6, False)) == ["window_edge"]
    assert follow(check(WINDOW, 2, 4, 3), (1, False), (2, False), *inside[1:], (5, False)) == [
        "receipt_missing"
    ]
    assert follow(check(WINDOW, 4, 5, 2), (1, False), *inside, (5, True), (6, False))[0] == "receipt_foreign"


def test_an_agent_counts_from_zero() -> None:
    one = check(AGENT, 2, 1)
    assert one.follow(header(3, agent="reconciler@v1", agent_seq=0), 0, -1, selected=True) is None
    assert one.follow(header(4, agent="reconcilers@v1", agent_seq=1), 1, 3, selected=False) is None
    assert one.follow(header(5, agent="reconciler@v2", agent_seq=1), 2, 4, selected=True) is None
    assert one.end(3, 5) is None
    late = check(AGENT, 1, 1, first=1).follow(
        header(5, agent="reconciler", agent_seq=1), 0, -1, selected=True
    )
    assert late is not None
    assert late.code == "receipt_missing"


def test_a_receipt_without_a_position() -> None:
    fault = check(AGENT, 1, 0).follow(header(3, agent="reconciler"), 0, -1, selected=True)
    assert fault is not None
    assert fault.code == "receipt_missing"


@pytest.mark.parametrize("selection", [Selection(kind="agent"), Selection(kind="window", since=TIMES[1])])
def test_a_selection_has_the_fields_of_its_kind(selection: Selection) -> None:
    fault = check(selection, 0, 0).malformed()
    assert fault is not None
    assert fault.code == "selection_malformed"
    assert check(AGENT, 0, 0).malformed() is None
