"""Payloads against their commitments: opened, withheld or erased.

Payloads and receipts come in the same order, so one look ahead is enough. Where payloads are
expected, the ids of receipts without one are kept until the end, since an erasure comes later;
otherwise they are only counted.
"""

from __future__ import annotations

from collections.abc import Iterator

from dragons.audit.verdicts import Fault
from dragons.core.canonical import decode
from dragons.core.errors import InvalidInputError
from dragons.evidence.payload import Payload, opens
from dragons.evidence.receipt import Erasure, Header


class PayloadCheck:
    """Takes payloads as their receipts come by. `expected` is False for a redacted pack."""

    def __init__(self, lines: Iterator[bytes], *, expected: bool) -> None:
        self._lines = lines
        self._expected = expected
        self._withheld: dict[str, tuple[int, int]] = {}
        self.opened = self.withheld = self.erased = 0
        self.broken: Fault | None = None
        self._next: Payload | None = None
        self._advance()

    def follow(self, header: Header, index: int) -> Fault | None:
        """The next selected receipt that commits to a payload."""
        found = self._next
        if found is None or found.payload_hash != header.payload_hash:
            self.withheld += 1
            if self._expected:
                self._withheld[header.receipt_id] = (index, header.seq)
            return None
        self._advance()
        self.opened += 1
        if opens(found, found.payload_hash):
            return None
        return Fault("payload_altered", "the payload does not open its payload_hash", index, header.seq)

    def erase(self, body: Erasure) -> None:
        """Payloads of these receipts were destroyed, on the record."""
        for receipt_id in body.receipts:
            if self._withheld.pop(receipt_id, None) is not None:
                self.erased += 1
                self.withheld -= 1

    def end(self) -> list[Fault]:
        """What is wrong when all receipts have come by."""
        found = [] if self.broken is None else [self.broken]
        if self._next is not None:
            found.append(Fault("payload_unclaimed", "a payload is not of the receipt whose turn it is"))
        if self._withheld:
            index, seq = min(self._withheld.values())
            found.append(Fault("payload_withheld", "its payload is not in the pack", index, seq))
        return found

    def _advance(self) -> None:
        self._next = None
        try:
            line = next(self._lines, None)
            if line is not None:
                self._next = decode(Payload, line)
        except InvalidInputError as error:
            self.broken = Fault("payload_malformed", error.code)
