"""What an attacker can do to one receipt of a pack. Each attack returns the spoiled pack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dragons.audit.pack import Line, gap_line, record_line
from dragons.core.canonical import decode, encode
from dragons.core.keys import KeyRole
from dragons.core.statement import Envelope, Signature, pae, payload_type
from dragons.evidence.merkle import Node, cover
from dragons.evidence.receipt import Header, Record
from tests.support.ledger import Book, signer_of
from tests.support.packs import Parts

Attack = Callable[[Parts, int], Parts]
FOREIGN = signer_of("mallory/ledger", KeyRole.LEDGER)


def on_header(change: Callable[[Envelope], Envelope]) -> Attack:
    """An attack that changes the header's envelope."""

    def attack(parts: Parts, index: int) -> Parts:
        record = parts.record(index)
        return parts.with_record(index, Record(header=change(record.header), statement=record.statement))

    return attack


def on_statement(change: Callable[[Envelope], Envelope]) -> Attack:
    """An attack that changes the statement's envelope."""

    def attack(parts: Parts, index: int) -> Parts:
        record = parts.record(index)
        return parts.with_record(index, Record(header=record.header, statement=change(record.statement)))

    return attack


def changed_byte(envelope: Envelope) -> Envelope:
    return _with(envelope, payload=envelope.payload[:-1] + b"]")


def changed_signature(envelope: Envelope) -> Envelope:
    first = envelope.signatures[0]
    sig = bytes([first.sig[0] ^ 1]) + first.sig[1:]
    return _with(envelope, signatures=[Signature(keyid=first.keyid, sig=sig), *envelope.signatures[1:]])


def changed_keyid(envelope: Envelope) -> Envelope:
    first = envelope.signatures[0]
    keyid = first.keyid[:-1] + ("0" if first.keyid[-1] != "0" else "1")
    return _with(envelope, signatures=[Signature(keyid=keyid, sig=first.sig), *envelope.signatures[1:]])


def changed_type(envelope: Envelope) -> Envelope:
    return _with(envelope, payloadType=payload_type("nothing"))


def without_signatures(envelope: Envelope) -> Envelope:
    return _with(envelope, signatures=[])


def resigned(envelope: Envelope) -> Envelope:
    """Signed by a key that nobody vouches for, and named after it."""
    sig = FOREIGN.sign(pae(envelope.payloadType, envelope.payload))
    return _with(envelope, signatures=[Signature(keyid=FOREIGN.key_id, sig=sig)])


def impersonated(envelope: Envelope) -> Envelope:
    """Signed by a key that nobody vouches for, under the true signer's name."""
    sig = FOREIGN.sign(pae(envelope.payloadType, envelope.payload))
    return _with(envelope, signatures=[Signature(keyid=envelope.signatures[0].keyid, sig=sig)])


def changed_field(envelope: Envelope) -> Envelope:
    """A header field rewritten in canonical form: only a signature can tell."""
    header = decode(Header, envelope.payload)
    name = header.receipt_id[:-1] + ("0" if header.receipt_id[-1] != "0" else "1")
    return _with(envelope, payload=encode(msgspec.structs.replace(header, receipt_id=name)))


def changed_text(envelope: Envelope) -> Envelope:
    """A time in the statement rewritten in canonical form."""
    at = (
        envelope.payload.index(b'000Z"')
        if b'000Z"' in envelope.payload
        else envelope.payload.index(b'Z"') - 3
    )
    return _with(envelope, payload=envelope.payload[: at + 2] + b"7" + envelope.payload[at + 3 :])


def removed(parts: Parts, index: int) -> Parts:
    at = parts.receipts()[index]
    return parts.with_lines([*parts.lines[:at], *parts.lines[at + 1 :]])


def duplicated(parts: Parts, index: int) -> Parts:
    at = parts.receipts()[index]
    return parts.with_lines([*parts.lines[: at + 1], *parts.lines[at:]])


def forged(parts: Parts, index: int) -> Parts:
    """A receipt of the attacker's own after the one at `index`, in its place and chained to it."""
    at = parts.receipts()[index]
    before = parts.record(index)
    header = parts.header(index)
    mine = msgspec.structs.replace(header, seq=header.seq + 1, parent_root=header.chain_root())
    data = encode(mine)
    envelope = resigned(_with(before.header, payload=data))
    line = record_line(
        Record(header=envelope, statement=before.statement), selected=is_selected(parts, index)
    )
    return parts.with_lines([*parts.lines[: at + 1], line, *parts.lines[at + 1 :]])


def swapped(parts: Parts, index: int) -> Parts:
    """This receipt and the next line change places."""
    at = parts.receipts()[index]
    lines = list(parts.lines)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    return parts.with_lines(lines)


def truncated(parts: Parts, index: int) -> Parts:
    """This receipt and all after it are gone."""
    return parts.with_lines(parts.lines[: parts.receipts()[index]])


def hidden(book: Book) -> Attack:
    """The receipt replaced by its own leaf hash, so that the root still comes out right."""

    def attack(parts: Parts, index: int) -> Parts:
        at, seq = parts.receipts()[index], parts.header(index).seq
        lines = list(parts.lines)
        lines[at] = gap_line([Node(0, seq, book.nodes[0, seq])])
        return parts.with_lines(lines)

    return attack


def tail_hidden(book: Book) -> Attack:
    """This receipt and all after it replaced by hashes, so that the root still comes out right."""

    def attack(parts: Parts, index: int) -> Parts:
        at, seq = parts.receipts()[index], parts.header(index).seq
        places = list(cover(seq, parts.pack().tree_size))
        return parts.with_lines([*parts.lines[:at], gap_line(book.nodes_of(places))])

    return attack


def is_selected(parts: Parts, index: int) -> bool:
    return parts.lines[parts.receipts()[index]].endswith(b'"selected":true}')


def flag_flipped(parts: Parts, index: int) -> Parts:
    """A selected receipt called context, or the other way round."""
    at = parts.receipts()[index]
    line = decode(Line, parts.lines[at])
    lines = list(parts.lines)
    lines[at] = encode(msgspec.structs.replace(line, selected=not line.selected))
    return parts.with_lines(lines)


def _with(envelope: Envelope, **changes: Any) -> Envelope:
    return msgspec.structs.replace(envelope, **changes)
