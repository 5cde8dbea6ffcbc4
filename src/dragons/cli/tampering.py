"""What the demo does to a pack: one character of one receipt changed, and the file made whole again.

A ZIP's own checksum would notice a flipped byte; whoever forges evidence writes the checksum anew, so
this does too. It shows that the chain notices, not the container.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dragons.audit.pack import RECEIPTS_FILE, Line, parse_line
from dragons.core.canonical import encode
from dragons.core.errors import InvalidInputError
from dragons.evidence.receipt import RECEIPT, Header


@dataclass(frozen=True, slots=True)
class Tampered:
    """What was changed: the receipt's index in the pack, its seq, and the value before and after."""

    index: int
    seq: int
    field: str
    before: str
    after: str


def change_one_character(pack: Path, altered: Path) -> Tampered:
    """Write `pack` to `altered` with one hex digit changed in a receipt of work, about in the middle."""
    with zipfile.ZipFile(pack) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    lines = entries[RECEIPTS_FILE].splitlines()
    candidates = [number for number, line in enumerate(lines) if _header(line) is not None]
    if not candidates:
        raise InvalidInputError(
            "pack_empty", f"{pack} holds no receipt of work.", fix="Export a session that did some."
        )
    chosen = candidates[len(candidates) // 2]
    lines[chosen], tampered = _changed(lines, chosen)
    entries[RECEIPTS_FILE] = b"".join(line + b"\n" for line in lines)
    with zipfile.ZipFile(altered, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return tampered


def _header(data: bytes) -> Header | None:
    """The header of a selected receipt that commits to a payload."""
    line = parse_line(data)
    if isinstance(line.record, msgspec.UnsetType) or line.selected is not True:
        return None
    header = line.record.header.body(RECEIPT, Header)
    return None if isinstance(header.payload_hash, msgspec.UnsetType) else header


def _changed(lines: list[bytes], chosen: int) -> tuple[bytes, Tampered]:
    line: Line = parse_line(lines[chosen])
    header = _header(lines[chosen])
    assert header is not None  # noqa: S101 - it was chosen for that
    assert not isinstance(line.record, msgspec.UnsetType)  # noqa: S101
    before = str(header.payload_hash)
    after = ("0" if before[0] != "0" else "1") + before[1:]
    payload = line.record.header.payload.replace(before.encode(), after.encode(), 1)
    line.record.header.payload = payload
    index = sum(1 for data in lines[:chosen] if not isinstance(parse_line(data).record, msgspec.UnsetType))
    return encode(line), Tampered(index, header.seq, "payload_hash", f"{before[:12]}…", f"{after[:12]}…")
