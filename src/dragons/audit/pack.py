"""The evidence pack: one ZIP file, read and written as streams (spec/pack.md).

`receipts.jsonl` walks the tenant's whole log from leaf 0 to the checkpoint: a line is a receipt or
the hashes of the subtrees that stand for receipts left out, so one pass proves where each receipt
stands. Nothing in the file is believed because the file says so; `dragons.audit.verify` judges.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import msgspec

from dragons.core.canonical import Count, Document, decode, encode
from dragons.core.clock import Timestamp
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.hashing import Digest
from dragons.core.ids import Id, InstanceId
from dragons.core.statement import Envelope
from dragons.evidence.merkle import Node
from dragons.evidence.payload import PAYLOAD_BYTES_MAX, Payload
from dragons.evidence.receipt import RECORD_BYTES_MAX, Record

FORMAT = "dragons-pack/1"
PACK = "pack"
HEAD_FILE = "pack.json"
RECEIPTS_FILE = "receipts.jsonl"
PAYLOADS_FILE = "payloads.jsonl"
HEARTBEATS_FILE = "heartbeats.json"
PAGE_FILE = "verify.html"
README_FILE = "README.txt"

HEAD_BYTES_MAX = 4_000_000
GAP_NODES_MAX = 128
_LINE_BYTES_MAX = 2 * max(RECORD_BYTES_MAX, PAYLOAD_BYTES_MAX)
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)

_Unset = msgspec.UnsetType
_UNSET = msgspec.UNSET


class Selection(Document):
    """What was asked for: `kind` is ledger, session, agent or window; times are [since, until)."""

    kind: Annotated[str, msgspec.Meta(pattern="^(ledger|session|agent|window)$")]
    session_id: Id | _Unset = _UNSET
    agent: str | _Unset = _UNSET
    since: Timestamp | _Unset = _UNSET
    until: Timestamp | _Unset = _UNSET


class Pack(Document):
    """Signed by the ledger at export: how much there is to show, so that nothing can be cut off.

    Positions are those of the selection's own count: `seq` for ledger and window,
    `session_position` for a session, `agent_seq` for an agent.
    """

    pack_id: Id
    tenant_id: Id
    selection: Selection
    tree_size: Count
    root: Digest
    selected: Count
    first_position: Count
    last_position: Count
    revocations: Count
    exported_at: Timestamp


class Head(Document):
    """`pack.json`. `start` is the newest earlier checkpoint at or below the first selected receipt."""

    format: str
    statement: Envelope
    end: str
    redacted: bool
    start: str | _Unset = _UNSET
    consistency: Annotated[list[bytes], msgspec.Meta(max_length=GAP_NODES_MAX)] = []


class GapNode(Document):
    """A complete subtree of the Merkle log whose receipts are not in the pack."""

    level: Count
    index: Count
    hash: bytes


class Line(Document):
    """A line of `receipts.jsonl`: a record, selected or context, or the nodes of a gap."""

    record: Record | _Unset = _UNSET
    selected: bool | _Unset = _UNSET
    gap: Annotated[list[GapNode], msgspec.Meta(max_length=GAP_NODES_MAX)] | _Unset = _UNSET


class HeartbeatDigest(Document):
    """The last heartbeat of an instance and how many were accepted."""

    instance_id: InstanceId
    accepted: Count
    last: Envelope


class PackReader:
    """A pack opened for reading; its lines come as they are, unverified."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = set(archive.namelist())
        self.head = decode(Head, self._read(HEAD_FILE, HEAD_BYTES_MAX))
        if self.head.format != FORMAT:
            raise InvalidInputError(
                "pack_format", f"The pack's format is {self.head.format!r}; this verifier reads {FORMAT}."
            )

    def lines(self) -> Iterator[bytes]:
        """The lines of `receipts.jsonl` without their newlines."""
        yield from self._lines(RECEIPTS_FILE)

    def payloads(self) -> Iterator[Payload]:
        """The payloads in the order of the receipts that commit to them."""
        if PAYLOADS_FILE in self._names:
            for line in self._lines(PAYLOADS_FILE):
                yield decode(Payload, line)

    def heartbeats(self) -> list[HeartbeatDigest]:
        """The heartbeat digests, empty when there are none."""
        if HEARTBEATS_FILE not in self._names:
            return []
        data = self._read(HEARTBEATS_FILE, HEAD_BYTES_MAX)
        digests = msgspec.json.decode(data, type=list[HeartbeatDigest])
        if b"[" + b",".join(encode(digest) for digest in digests) + b"]" != data:
            raise InvalidInputError("not_canonical", f"{HEARTBEATS_FILE} is not canonical.")
        return digests

    def _read(self, name: str, limit: int) -> bytes:
        if name not in self._names:
            raise InvalidInputError("pack_incomplete", f"The pack has no {name}.")
        with self._archive.open(name) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise InvalidInputError("pack_too_large", f"{name} is larger than {limit} bytes.")
        return data

    def _lines(self, name: str) -> Iterator[bytes]:
        if name not in self._names:
            raise InvalidInputError("pack_incomplete", f"The pack has no {name}.")
        with self._archive.open(name) as file:
            while line := file.readline(_LINE_BYTES_MAX):
                if not line.endswith(b"\n"):
                    raise InvalidInputError("pack_truncated", f"{name} ends within a line, or a line is too long.")
                yield line[:-1]


@contextmanager
def open_pack(path: Path) -> Iterator[PackReader]:
    """The pack at `path`; InvalidInputError or NotFoundError when it is no pack."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield PackReader(archive)
    except FileNotFoundError as error:
        raise NotFoundError("pack_missing", f"There is no pack at {path}.", fix="Check the path.") from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise InvalidInputError("pack_damaged", f"{path} is not a readable pack: {error}.") from error


def parse_line(data: bytes) -> Line:
    """A line that is either a receipt or a gap; InvalidInputError otherwise."""
    line = decode(Line, data)
    if isinstance(line.record, _Unset) == isinstance(line.gap, _Unset):
        raise InvalidInputError("line_malformed", "A line is either a receipt or a gap.")
    if isinstance(line.record, _Unset) != isinstance(line.selected, _Unset):
        raise InvalidInputError("line_malformed", "A receipt, and only a receipt, is selected or not.")
    return line


def record_line(record: Record, *, selected: bool) -> bytes:
    """The line of a receipt."""
    return encode(Line(record=record, selected=selected))


def gap_line(nodes: Iterable[Node]) -> bytes:
    """The line that stands for receipts left out."""
    return encode(Line(gap=[GapNode(level=n.level, index=n.offset, hash=n.hash) for n in nodes]))


class PackWriter:
    """Writes a pack entry by entry; equal content gives equal bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6)

    def write(self, name: str, data: bytes) -> None:
        """A whole entry."""
        self._archive.writestr(_info(name), data)

    def write_lines(self, name: str, lines: Iterable[bytes]) -> int:
        """An entry of lines, streamed; returns how many there were."""
        count = 0
        with self._archive.open(_info(name), "w", force_zip64=True) as entry:
            for line in lines:
                entry.write(line + b"\n")
                count += 1
        return count

    def close(self) -> None:
        """Write the directory; the file itself stays open."""
        self._archive.close()


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _ZIP_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info
