"""Exporting evidence: a redacted pack of a session, an agent, a window or the whole ledger, as a stream.

Reads one snapshot. Payloads are not here: whoever holds the tenant's payload store adds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

import msgspec

from dragons.audit.context import Wanted, find_context
from dragons.audit.pack import (
    FORMAT,
    PACK,
    Contents,
    Head,
    HeartbeatDigest,
    Pack,
    Selection,
    write_pack,
)
from dragons.audit.page import EmbeddedPage
from dragons.audit.select import PackLines, Placed, check_selection, pack_statement
from dragons.control.ports import Filter, Reader
from dragons.control.records import record_of
from dragons.control.rows import ReceiptRow
from dragons.core.clock import format_time, parse_time
from dragons.core.errors import NotFoundError
from dragons.core.ids import PACK as PACK_PREFIX
from dragons.core.ids import SESSION, check_agent_name, check_id, new_id
from dragons.core.keys import Signer
from dragons.core.statement import parse_envelope, sign
from dragons.core.vocabulary import Kind
from dragons.evidence.checkpoint import parse_note, sign_checkpoint
from dragons.evidence.merkle import consistency_proof, root_at

# The last heartbeats of this many instances; a verifier reads no more than `HEAD_BYTES_MAX` of them.
HEARTBEATS_MAX = 2_000

README = b"""This is a Dragons evidence pack. Verify it without trusting it, or anyone who gave it to you:

  dragons verify PACK --root FINGERPRINT

or open verify.html in a browser. FINGERPRINT is the tenant's root fingerprint; get it from the
tenant's owner by another way than this file.
"""


class Tree(NamedTuple):
    """The log as it is exported."""

    size: int
    root: bytes


def export_pack(
    reader: Reader, ledger: Signer, tenant_id: str, selection: Selection, file: IO[bytes], *, now_ms: int
) -> Pack:
    """Write the pack to `file` and return its signed statement's body.

    InvalidInputError when the selection is malformed, NotFoundError when it selects nothing.
    """
    _check(selection)
    size = reader.tree_size(tenant_id)
    wanted = _filter(selection)
    first = next(iter(reader.iter_receipts(tenant_id, wanted)), None)
    if first is None:
        raise NotFoundError(
            "selection_empty",
            "Nothing is selected.",
            fix="`dragons sessions list` and `dragons agents list`.",
        )
    newest = reader.receipt_at(tenant_id, size - 1)
    # Never dated before what it holds, though a clock was set back.
    now_ms = now_ms if newest is None else max(now_ms, newest.issued_ms)
    tree = Tree(size, root_at(size, lambda level, index: reader.node(tenant_id, level, index)))
    context, leases = _context(reader, tenant_id, selection)
    lines = PackLines(
        selection,
        _place(reader.iter_receipts(tenant_id, wanted)),
        context,
        size,
        lambda level, index: reader.node(tenant_id, level, index),
    )
    made: list[Pack] = []

    def head() -> Head:
        body = pack_statement(
            selection,
            lines.shown,
            pack_id=new_id(PACK_PREFIX, now_ms),
            tenant_id=tenant_id,
            tree_size=size,
            root=tree.root.hex(),
            exported_at=format_time(now_ms),
        )
        made.append(body)
        return _head(reader, ledger, body, tree, first.seq)

    heartbeats = _heartbeats(reader, tenant_id, selection, leases)
    write_pack(file, Contents(lines, None, heartbeats, EmbeddedPage(), README), head)
    return made[0]


def _check(selection: Selection) -> None:
    check_selection(selection)
    if isinstance(selection.session_id, str):
        check_id(SESSION, selection.session_id)
    if isinstance(selection.agent, str):
        check_agent_name(selection.agent)


def _filter(selection: Selection) -> Filter:
    return Filter(
        session_id=selection.session_id if isinstance(selection.session_id, str) else None,
        agent=selection.agent if isinstance(selection.agent, str) else None,
        since_ms=parse_time(selection.since) if isinstance(selection.since, str) else None,
        until_ms=parse_time(selection.until) if isinstance(selection.until, str) else None,
    )


def _place(found: Iterable[ReceiptRow]) -> Iterator[Placed]:
    return (Placed(row.seq, record_of(row)) for row in found)


def _context(reader: Reader, tenant_id: str, selection: Selection) -> tuple[list[Placed], set[str]]:
    """The context and the leases that the pack shows; every lease when it shows the whole ledger."""
    if selection.kind == "ledger":
        return [], set()
    wanted = Wanted(selection)
    first = last = -1
    for row in reader.iter_receipts(tenant_id, _filter(selection)):
        wanted.note(record_of(row))
        first, last = (row.seq if first < 0 else first), row.seq
    neighbours: list[Placed] = []
    if selection.kind == "window":
        for seq in (first - 1, last + 1):
            edge = reader.receipt_at(tenant_id, seq) if seq >= 0 else None
            if edge is not None:
                neighbours.append(Placed(seq, record_of(edge)))

    def scan(kinds: frozenset[Kind]) -> Iterator[Placed]:
        for kind in sorted(kinds):
            yield from _place(reader.iter_receipts(tenant_id, Filter(kind=kind.value)))

    return find_context(wanted, scan, neighbours=neighbours), wanted.leases


def _head(reader: Reader, ledger: Signer, body: Pack, tree: Tree, first_seq: int) -> Head:
    tenant_id = body.tenant_id

    def node(level: int, index: int) -> bytes:
        return reader.node(tenant_id, level, index)

    note = reader.checkpoint(tenant_id, at_most=first_seq) if first_seq else None
    start = None if note is None else parse_note(note).checkpoint
    proof = [] if start is None else consistency_proof(start.size, tree.size, node)
    return Head(
        format=FORMAT,
        statement=sign(PACK, body, ledger),
        end=sign_checkpoint(tenant_id, tree.size, tree.root, ledger),
        redacted=True,
        start=msgspec.UNSET if note is None else note,
        consistency=proof,
    )


def _heartbeats(
    reader: Reader, tenant_id: str, selection: Selection, leases: set[str]
) -> list[HeartbeatDigest]:
    if isinstance(selection.session_id, str):
        session = reader.session(tenant_id, selection.session_id)
        if session is None:
            raise NotFoundError("session_missing", f"There is no session {selection.session_id}.")
        found = reader.instance(tenant_id, session.instance_id)
        instances = [] if found is None else [found]
    else:
        agent = selection.agent if isinstance(selection.agent, str) else None
        instances = [
            one
            for one in reader.instances(tenant_id, agent=agent)
            # A heartbeat counts under its lease, which a window may not show.
            if selection.kind == "ledger" or one.lease_id in leases
        ]
        instances.sort(key=lambda one: one.pulse_ms or 0)
        instances = instances[-HEARTBEATS_MAX:]
    return [
        HeartbeatDigest(instance_id=one.instance_id, accepted=one.beats, last=parse_envelope(one.last_beat))
        for one in instances
        if one.last_beat
    ]
