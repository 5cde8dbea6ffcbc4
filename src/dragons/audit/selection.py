"""Whether the selection is whole: every position there, none foreign, both ends where they must be."""

from __future__ import annotations

from dragons.audit.pack import Pack
from dragons.audit.select import check_selection, position_of, selects
from dragons.audit.verdicts import Fault
from dragons.core.errors import InvalidInputError
from dragons.evidence.receipt import Header

_NOT_COUNTED = "it belongs to the selection but is not counted in it"


class SelectionCheck:
    """Follows the receipts of one pack against what its signed statement says was selected."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._selection = pack.selection
        self._all = pack.selection.kind == "ledger"
        self._window = pack.selection.kind == "window"
        self._next = pack.first_position if self._window else 0
        self._last_seq = -1
        self.selected = 0

    def malformed(self) -> Fault | None:
        """What is wrong with the selection itself."""
        try:
            check_selection(self._selection)
        except InvalidInputError as error:
            return Fault("selection_malformed", error.code)
        return None

    def follow(self, header: Header, index: int, previous: int, *, selected: bool) -> Fault | None:
        """The next receipt; `previous` is the seq of the pack's receipt before it."""
        seq = header.seq
        if self._all:
            position: int | None = seq
        else:
            if fault := self._foreign(header, index, previous, selected=selected):
                return fault
            position = position_of(self._selection, header)
        if not selected:
            return Fault("receipt_missing", _NOT_COUNTED, index, seq) if self._all else None
        first = self.selected == 0
        self.selected += 1
        expected, self._next = self._next, (self._next if position is None else position) + 1
        self._last_seq = seq
        if position != expected:
            return Fault("receipt_missing", f"position {expected} of the selection is missing", index, seq)
        if first and self._window and seq != previous + 1:
            return Fault("window_edge", f"receipt {seq - 1}, before the window, is not shown", index, seq)
        return None

    def _foreign(self, header: Header, index: int, previous: int, *, selected: bool) -> Fault | None:
        seq = header.seq
        if self._window and not selected and previous == self._last_seq >= 0 and seq != previous + 1:
            return Fault("window_edge", f"receipt {previous + 1}, after the window, is not shown", index, seq)
        if selected is selects(self._selection, header):
            return None
        if selected:
            return Fault("receipt_foreign", "it does not belong to the selection", index, seq)
        return Fault("receipt_missing", _NOT_COUNTED, index, seq)

    def end(self, index: int, last_seq: int) -> Fault | None:
        """What is missing when the lines have ended; `last_seq` is that of the last receipt."""
        pack, reached = self._pack, self._next - 1
        whole = pack.tree_size if self._all else pack.selected
        if not self.selected == pack.selected == whole or reached != pack.last_position:
            return Fault(
                "selection_truncated",
                f"{self.selected} of {whole} receipts, up to position {reached} of {pack.last_position}",
                index,
            )
        if self._window and last_seq == self._last_seq and last_seq != pack.tree_size - 1:
            return Fault("window_edge", f"receipt {last_seq + 1}, after the window, is not shown", index)
        return None
