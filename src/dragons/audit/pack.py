"""The evidence pack: one ZIP file, read and written as streams (spec/pack.md).

`receipts.jsonl` walks the tenant's whole log from leaf 0 to the checkpoint: a line is a receipt or
the hashes of the subtrees that stand for receipts left out, so one pass proves where each receipt
stands. Nothing in the file is believed because the file says so; `dragons.audit.verify` judges.
"""

from __future__ import annotations

import errno
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, NamedTuple, Protocol

import msgspec

from dragons.core.canonical import Count, Document, decode, encode
from dragons.core.clock import Timestamp
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.hashing import Digest
from dragons.core.ids import Id, InstanceId
from dragons.core.statement import Envelope
from dragons.evidence.merkle import HASH_BYTES, Node
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
LINE_BYTES_MAX = 2 * max(RECORD_BYTES_MAX, PAYLOAD_BYTES_MAX)
_CHUNK_BYTES = 1 << 16
# Level 6 makes packs 8 % smaller and writing them twice as slow; stored ones are five times as large.
_COMPRESS_LEVEL = 1
# Where the canonical record, which is the leaf of the Merkle log, lies in the line of a receipt.
RECORD_START = len('{"record":')
RECORD_END_SELECTED = len(',"selected":true}')
RECORD_END_UNSELECTED = len(',"selected":false}')
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
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
    `session_position` for a session, `agent_seq` for an agent. `context_sha256` is over the lines that
    are not selected receipts, each with its newline: what was selected is counted, the rest is hashed.
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
    context_sha256: Digest
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

    level: Annotated[int, msgspec.Meta(ge=0, le=52)]
    index: Count
    hash: Annotated[bytes, msgspec.Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]


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
    """A pack opened for reading; its lines come as they are, unverified.

    InvalidInputError comes out of every method when the file is damaged or an entry is missing.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._entries: list[IO[bytes]] = []
        names = archive.namelist()
        self._names = set(names)
        if len(self._names) != len(names):
            raise InvalidInputError("pack_ambiguous", "The pack holds two entries of one name.")
        if RECEIPTS_FILE not in self._names:
            raise InvalidInputError("pack_incomplete", f"The pack has no {RECEIPTS_FILE}.")
        self.head = decode(Head, self._read(HEAD_FILE, HEAD_BYTES_MAX))
        if self.head.format != FORMAT:
            raise InvalidInputError(
                "pack_format", f"The pack's format is {self.head.format!r}; this verifier reads {FORMAT}."
            )

    def lines(self) -> Iterator[bytes]:
        """The lines of `receipts.jsonl` without their newlines."""
        return self._lines(RECEIPTS_FILE)

    def payload_lines(self) -> Iterator[bytes]:
        """The lines of `payloads.jsonl`, in the order of the receipts that commit to them."""
        return self._lines(PAYLOADS_FILE) if PAYLOADS_FILE in self._names else iter(())

    def payloads(self) -> Iterator[Payload]:
        """The payloads in the order of the receipts that commit to them."""
        for line in self.payload_lines():
            yield decode(Payload, line)

    def heartbeats(self) -> list[HeartbeatDigest]:
        """The heartbeat digests, empty when there are none."""
        if HEARTBEATS_FILE not in self._names:
            return []
        data = self._read(HEARTBEATS_FILE, HEAD_BYTES_MAX)
        try:
            digests = msgspec.json.decode(data, type=list[HeartbeatDigest])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInputError(
                "document_malformed", f"{HEARTBEATS_FILE} is malformed: {error}."
            ) from error
        if _heartbeats_json(digests) != data:
            raise InvalidInputError("not_canonical", f"{HEARTBEATS_FILE} is not canonical.")
        return digests

    def _read(self, name: str, limit: int) -> bytes:
        with _readable(), self._open(name) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise InvalidInputError("pack_too_large", f"{name} is larger than {limit} bytes.")
        return data

    def _lines(self, name: str) -> Iterator[bytes]:
        # By chunks: `readline` of a ZIP entry costs more than parsing what it returns.
        rest = b""
        with _readable(), self._open(name) as file:
            while chunk := file.read(_CHUNK_BYTES):
                lines = (rest + chunk).split(b"\n")
                rest = lines.pop()
                # Only what began before this chunk can be too long.
                if len(lines[0] if lines else rest) > LINE_BYTES_MAX:
                    raise InvalidInputError("pack_too_large", f"{name} has a line that is too long.")
                yield from lines
        if rest:
            raise InvalidInputError("pack_truncated", f"{name} ends within a line.")

    def _open(self, name: str) -> IO[bytes]:
        if name not in self._names:
            raise InvalidInputError("pack_incomplete", f"The pack has no {name}.")
        info = self._archive.getinfo(name)
        if info.compress_type not in _METHODS:
            raise InvalidInputError("pack_damaged", f"{name} is compressed in a way that no pack uses.")
        # How far `zipfile` would read such an entry depends on how much it is asked for at once.
        if info.header_offset + info.compress_size > self._archive.start_dir:
            raise InvalidInputError("pack_damaged", f"{name} is said to reach beyond the entries.")
        entry = self._archive.open(name)
        self._entries.append(entry)
        return entry

    def close(self) -> None:
        """Close what is still being read: a verification may stop in the middle."""
        for entry in self._entries:
            entry.close()


@contextmanager
def _readable() -> Iterator[None]:
    # What `zipfile` raises for damaged, encrypted or foreign archives; nothing else runs inside. It seeks
    # to where the archive says, which may be nowhere.
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, UnicodeDecodeError) as error:
        raise InvalidInputError("pack_damaged", f"The file is not a readable pack: {error}.") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise InvalidInputError(
            "pack_damaged", "The file is not a readable pack: a broken offset."
        ) from error


@contextmanager
def open_pack(path: Path) -> Iterator[PackReader]:
    """The pack at `path`; InvalidInputError or NotFoundError when it is no pack."""
    try:
        with _readable():
            archive = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise NotFoundError("pack_missing", f"There is no pack at {path}.", fix="Check the path.") from error
    with archive:
        reader = PackReader(archive)
        try:
            yield reader
        finally:
            reader.close()


def parse_line(data: bytes) -> Line:
    """A line that is either a receipt or a gap; InvalidInputError otherwise."""
    line = decode(Line, data)
    if line.record is _UNSET:
        if line.gap is _UNSET or line.selected is not _UNSET:
            raise InvalidInputError("line_malformed", "A line is a receipt, or a gap that is not selected.")
    elif line.selected is _UNSET or line.gap is not _UNSET:
        raise InvalidInputError("line_malformed", "A line is a receipt that is selected or not, or a gap.")
    return line


def record_line(record: Record, *, selected: bool) -> bytes:
    """The line of a receipt."""
    return encode(Line(record=record, selected=selected))


def gap_line(nodes: Iterable[Node]) -> bytes:
    """The line that stands for receipts left out."""
    return encode(Line(gap=[GapNode(level=n.level, index=n.offset, hash=n.hash) for n in nodes]))


class Page(Protocol):
    """Makes `verify.html` of what goes into a pack."""

    def take(self, name: str, data: bytes) -> None:
        """Hear the next bytes of an entry."""

    def finish(self) -> bytes:
        """The page, once every other entry is written."""


class Contents(NamedTuple):
    """What a pack holds besides its head; `payloads` None leaves their entry out."""

    lines: Iterable[bytes]
    payloads: Iterable[Payload] | None
    heartbeats: Sequence[HeartbeatDigest]
    page: Page
    readme: bytes


def write_pack(
    file: IO[bytes], contents: Contents, head: Callable[[], Head], *, compress: bool = True
) -> None:
    """Write a pack as a stream; equal content gives equal bytes (compressed, with one zlib).

    `head` is asked when all lines are written, because the pack statement counts and hashes them. The
    page comes last, because it holds the other entries.
    """
    with zipfile.ZipFile(file, "w") as archive:

        def info(name: str) -> zipfile.ZipInfo:
            return _info(name, zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED)

        def add(name: str, data: bytes) -> None:
            archive.writestr(info(name), data)
            contents.page.take(name, data)

        archive.writestr(info(README_FILE), contents.readme)
        _write_lines(archive, info(RECEIPTS_FILE), contents.lines, contents.page)
        if contents.payloads is not None:
            _write_lines(archive, info(PAYLOADS_FILE), map(encode, contents.payloads), contents.page)
        if contents.heartbeats:
            add(HEARTBEATS_FILE, _heartbeats_json(contents.heartbeats))
        add(HEAD_FILE, encode(head()))
        archive.writestr(info(PAGE_FILE), contents.page.finish())


def _write_lines(archive: zipfile.ZipFile, info: zipfile.ZipInfo, lines: Iterable[bytes], page: Page) -> None:
    with archive.open(info, "w", force_zip64=True) as entry:

        def write(data: bytes) -> None:
            entry.write(data)
            page.take(info.filename, data)

        buffer = bytearray()
        for line in lines:
            buffer += line
            buffer += b"\n"
            if len(buffer) >= _CHUNK_BYTES:
                write(bytes(buffer))
                buffer.clear()
        write(bytes(buffer))


def _heartbeats_json(digests: Sequence[HeartbeatDigest]) -> bytes:
    return b"[" + b",".join(encode(digest) for digest in digests) + b"]"


def _info(name: str, method: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _ZIP_TIME)
    info.compress_type = method
    setattr(info, "_compresslevel", _COMPRESS_LEVEL)  # noqa: B010 - public only since Python 3.13
    info.external_attr = 0o644 << 16
    return info
