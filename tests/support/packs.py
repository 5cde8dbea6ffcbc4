"""Evidence packs out of a `Book`, and the means to spoil them: a pack taken apart, changed, rewritten.

The exporter here is the pure part of the product's own (`dragons.audit.select`) over memory instead
of a store, so a pack made here has the same bytes in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec

from dragons.audit.context import Wanted, find_context
from dragons.audit.pack import (
    FORMAT,
    PACK,
    Contents,
    Head,
    HeartbeatDigest,
    Line,
    Pack,
    Selection,
    gap_line,
    open_pack,
    write_pack,
)
from dragons.audit.select import PackLines, Placed, Shown, pack_statement, selects
from dragons.audit.verdicts import Report
from dragons.audit.verify import verify_file
from dragons.core.canonical import decode, encode
from dragons.core.hashing import sha256_hex
from dragons.core.keys import Signer
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind
from dragons.evidence.checkpoint import sign_checkpoint
from dragons.evidence.merkle import consistency_proof, root_at
from dragons.evidence.payload import Payload
from dragons.evidence.receipt import RECEIPT, Header, Record
from tests.support.ledger import Book

LEDGER = Selection(kind="ledger")
README = b"Verify with: dragons verify <file> --root <fingerprint>\n"


def session_of(session_id: str) -> Selection:
    return Selection(kind="session", session_id=session_id)


def agent_of(agent: str) -> Selection:
    return Selection(kind="agent", agent=agent)


def window_of(book: Book, first: int, last: int) -> Selection:
    """The window that holds exactly the receipts `first` to `last`."""
    return Selection(
        kind="window", since=book.headers[first].issued_at, until=book.headers[last + 1].issued_at
    )


class FixedPage:
    """A page that holds no data, so that packs in tests stay small."""

    def take(self, name: str, data: bytes) -> None:
        assert name
        assert isinstance(data, bytes)

    def finish(self) -> bytes:
        return b"<!doctype html><title>Evidence pack</title>\n"


PAGE = FixedPage()


@dataclass(slots=True)
class Parts:
    """A pack taken apart. `lines` are those of receipts.jsonl, gaps included."""

    head: Head
    lines: list[bytes]
    payloads: list[Payload]
    heartbeats: list[HeartbeatDigest] = field(default_factory=list)

    def pack(self) -> Pack:
        return self.head.statement.body(PACK, Pack)

    def receipts(self) -> list[int]:
        """The places in `lines` of receipts, by the index that verdicts use."""
        return [at for at, line in enumerate(self.lines) if line.startswith(b'{"record"')]

    def record(self, index: int) -> Record:
        line = decode(Line, self.lines[self.receipts()[index]])
        assert isinstance(line.record, Record)
        return line.record

    def header(self, index: int) -> Header:
        return self.record(index).header.body(RECEIPT, Header)

    def index_of(self, kind: Kind, nth: int = 0) -> int:
        """The index of the nth receipt of a kind."""
        found = [at for at in range(len(self.receipts())) if self.header(at).kind is kind]
        return found[nth]

    def with_lines(self, lines: Sequence[bytes]) -> Parts:
        return replace(self, lines=list(lines))

    def with_record(self, index: int, record: Record) -> Parts:
        """The same pack with another record in one place."""
        at = self.receipts()[index]
        line = decode(Line, self.lines[at])
        lines = list(self.lines)
        lines[at] = encode(msgspec.structs.replace(line, record=record))
        return self.with_lines(lines)

    def with_head(self, **changes: Any) -> Parts:
        return replace(self, head=msgspec.structs.replace(self.head, **changes))

    def with_pack(self, signer: Signer, **changes: Any) -> Parts:
        """The pack statement changed and signed again, as a ledger that lies would."""
        body = msgspec.structs.replace(self.pack(), **changes)
        return self.with_head(statement=sign(PACK, body, signer))

    def resealed(self, signer: Signer) -> Parts:
        """The pack statement made to agree with the lines again, which only the ledger could."""
        rest = [line for line in self.lines if not line.endswith(b',"selected":true}')]
        return self.with_pack(signer, context_sha256=sha256_hex(b"".join(line + b"\n" for line in rest)))


def export(
    book: Book,
    selection: Selection = LEDGER,
    *,
    redacted: bool = False,
    start_size: int = 0,
    size: int = 0,
    context: Callable[[Placed], bool] = lambda _: True,
    heartbeats: Iterable[HeartbeatDigest] = (),
) -> Parts:
    """The pack of a selection of the first `size` receipts; `context` may leave some of it out."""
    tree_size = size or len(book.placed)
    placed = book.placed[:tree_size]
    chosen = [p for p in placed if selects(selection, book.headers[p.seq])]
    wanted = Wanted(selection)
    for one in chosen:
        wanted.note(one.record)
    edges = [] if selection.kind != "window" else [p for p in _edges(placed, chosen) if context(p)]
    found = find_context(
        wanted, lambda kinds: [p for p in placed if book.headers[p.seq].kind in kinds], neighbours=edges
    )
    lines = PackLines(selection, chosen, filter(context, found), tree_size, book.read_node)
    written = list(lines)
    exported_at = book.time() if tree_size == len(book.placed) else book.headers[tree_size - 1].issued_at
    return Parts(
        head=_head(
            book, selection, lines.shown, tree_size, exported_at, redacted=redacted, start_size=start_size
        ),
        lines=written,
        payloads=[] if redacted else payloads_of(book, chosen),
        heartbeats=list(heartbeats),
    )


def gap_of(book: Book, seq: int) -> bytes:
    """The line that stands for one receipt left out."""
    return gap_line(book.nodes_of([(0, seq)]))


def payloads_of(book: Book, chosen: Iterable[Placed]) -> list[Payload]:
    """The payloads that are still there, in the order of their receipts."""
    hashes = [book.headers[one.seq].payload_hash for one in chosen]
    return [book.payloads[name] for name in hashes if isinstance(name, str) and name in book.payloads]


def write(parts: Parts, path: Path) -> Path:
    """The pack as a file."""
    path.write_bytes(to_bytes(parts))
    return path


def to_bytes(parts: Parts, *, compress: bool = False) -> bytes:
    file = BytesIO()
    write_pack(
        file,
        Contents(
            lines=parts.lines,
            payloads=None if parts.head.redacted and not parts.payloads else parts.payloads,
            heartbeats=parts.heartbeats,
            page=PAGE,
            readme=README,
        ),
        lambda: parts.head,
        compress=compress,
    )
    return file.getvalue()


def read(path: Path) -> Parts:
    """A file taken apart."""
    with open_pack(path) as reader:
        return Parts(reader.head, list(reader.lines()), list(reader.payloads()), list(reader.heartbeats()))


def judge(parts: Parts, pin: str, folder: Path, **options: Any) -> Report:
    """What the verifier says of a pack, without a pool of workers."""
    return verify_file(write(parts, folder / "pack.zip"), pin, **{"workers": 1, **options})


def _head(
    book: Book,
    selection: Selection,
    shown: Shown,
    tree_size: int,
    exported_at: str,
    *,
    redacted: bool,
    start_size: int,
) -> Head:
    root = root_at(tree_size, book.read_node)
    body = pack_statement(
        selection,
        shown,
        pack_id=f"pck_{shown.digest[:32]}",
        tenant_id=book.tenant_id,
        tree_size=tree_size,
        root=root.hex(),
        exported_at=exported_at,
    )
    head = Head(
        format=FORMAT,
        statement=sign(PACK, body, book.ledger),
        end=sign_checkpoint(book.tenant_id, tree_size, root, book.ledger),
        redacted=redacted,
    )
    if start_size:
        first = root_at(start_size, book.read_node)
        head.start = sign_checkpoint(book.tenant_id, start_size, first, book.ledger)
        head.consistency = consistency_proof(start_size, tree_size, book.read_node)
    return head


def _edges(placed: list[Placed], chosen: list[Placed]) -> list[Placed]:
    """The receipts just before and just after the selected ones."""
    if not chosen:
        return []
    around = (chosen[0].seq - 1, chosen[-1].seq + 1)
    return [placed[seq] for seq in around if 0 <= seq < len(placed)]
