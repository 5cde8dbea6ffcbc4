"""What goes into an evidence pack: the selected receipts, the context they rest on, gaps for the rest.

Pure: the caller says how to read receipts and Merkle nodes. `dragons.audit.context` finds what they rest on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

import msgspec

from dragons.audit.pack import Pack, Selection, gap_line, record_line
from dragons.core.errors import InvalidInputError
from dragons.evidence.merkle import Node, NodeReader, cover
from dragons.evidence.receipt import RECEIPT, Header, Record


class Placed(NamedTuple):
    """A receipt and where it stands in the ledger."""

    seq: int
    record: Record


class Shown(NamedTuple):
    """What a pack shows, as its signed statement counts it; `digest` is over the lines not selected."""

    selected: int
    first_position: int
    last_position: int
    revocations: int
    digest: str


def check_selection(selection: Selection) -> None:
    """InvalidInputError unless the selection has exactly the fields that its kind needs."""
    needs = {
        "ledger": set[str](),
        "session": {"session_id"},
        "agent": {"agent"},
        "window": {"since", "until"},
    }
    given = set(msgspec.to_builtins(selection)) - {"kind"}
    if given != needs[selection.kind]:
        raise InvalidInputError(
            "selection_malformed",
            f"A selection of kind {selection.kind} has the fields {sorted(needs[selection.kind])}, not {sorted(given)}.",
        )
    if selection.kind == "window" and not str(selection.since) < str(selection.until):
        raise InvalidInputError("selection_malformed", "A window ends after it begins.")


def selects(selection: Selection, header: Header) -> bool:
    """True when the receipt belongs to the selection."""
    if selection.kind == "session":
        return header.session_id == selection.session_id
    if selection.kind == "agent":
        return isinstance(header.agent, str) and header.agent.partition("@")[0] == selection.agent
    if selection.kind == "window":
        return str(selection.since) <= header.issued_at < str(selection.until)
    return True


def position_of(selection: Selection, header: Header) -> int | None:
    """The receipt's place in the selection's own count, None when the header has none."""
    if selection.kind == "session":
        return header.session_position if isinstance(header.session_position, int) else None
    if selection.kind == "agent":
        return header.agent_seq if isinstance(header.agent_seq, int) else None
    return header.seq


class PackLines:
    """The lines of `receipts.jsonl`, once: both inputs in ledger order, merged, gaps covered.

    `shown` is complete when the iteration has ended.
    """

    def __init__(
        self,
        selection: Selection,
        selected: Iterable[Placed],
        context: Iterable[Placed],
        tree_size: int,
        read_node: NodeReader,
    ) -> None:
        check_selection(selection)
        self._selection = selection
        self._inputs = (selected, context)
        self._tree_size = tree_size
        self._read_node = read_node
        self._digest = sha256()
        self._count = self._revocations = 0
        self._first = self._last = 0

    def __iter__(self) -> Iterator[bytes]:
        end = 0
        for seq, record, selected in _merge(*self._inputs):
            if seq > end:
                yield self._gap(end, seq)
            self._tally(record, selected=selected)
            line = record_line(record, selected=selected)
            if not selected:
                self._digest.update(line + b"\n")
            yield line
            end = seq + 1
        if end < self._tree_size:
            yield self._gap(end, self._tree_size)

    @property
    def shown(self) -> Shown:
        """What the lines so far show."""
        return Shown(self._count, self._first, self._last, self._revocations, self._digest.hexdigest())

    def _gap(self, begin: int, end: int) -> bytes:
        line = gap_line(Node(level, at, self._read_node(level, at)) for level, at in cover(begin, end))
        self._digest.update(line + b"\n")
        return line

    def _tally(self, record: Record, *, selected: bool) -> None:
        header = header_of(record)
        if isinstance(header.revocation_seq, int):
            self._revocations += 1
        if selected:
            position = position_of(self._selection, header)
            if position is None:
                raise InvalidInputError(
                    "position_missing",
                    f"Receipt {header.seq} has no place in a {self._selection.kind} selection.",
                )
            if self._count == 0:
                self._first = position
            self._last = position
            self._count += 1


def pack_statement(
    selection: Selection,
    shown: Shown,
    *,
    pack_id: str,
    tenant_id: str,
    tree_size: int,
    root: str,
    exported_at: str,
) -> Pack:
    """The body that the ledger signs over an exported pack."""
    return Pack(
        pack_id=pack_id,
        tenant_id=tenant_id,
        selection=selection,
        tree_size=tree_size,
        root=root,
        selected=shown.selected,
        first_position=shown.first_position,
        last_position=shown.last_position,
        revocations=shown.revocations,
        context_sha256=shown.digest,
        exported_at=exported_at,
    )


def header_of(record: Record) -> Header:
    """The parsed header of a record that is known to be sound."""
    return record.header.body(RECEIPT, Header)


def _merge(selected: Iterable[Placed], context: Iterable[Placed]) -> Iterator[tuple[int, Record, bool]]:
    # A receipt that is in both is selected.
    waiting = iter(context)
    other = next(waiting, None)
    for seq, record in selected:
        while other is not None and other.seq < seq:
            yield other.seq, other.record, False
            other = next(waiting, None)
        if other is not None and other.seq == seq:
            other = next(waiting, None)
        yield seq, record, True
    while other is not None:
        yield other.seq, other.record, False
        other = next(waiting, None)
