"""A tenant's book: the head of its ledger in memory, recovered from the receipts themselves.

Never trusts anything but the data: there is no side file or counter that could be lost. A book is
thrown away after any failure and read again.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from dragons.adapters.sql import schema
from dragons.adapters.sql.reader import SqlReader
from dragons.control.ports import LEVELS_PER_STORED, About, Appended
from dragons.core.canonical import decode
from dragons.core.clock import format_time, parse_time
from dragons.core.errors import StorageError
from dragons.core.hashing import sha256_hex
from dragons.core.ids import RECEIPT as RECEIPT_PREFIX
from dragons.core.ids import new_id
from dragons.core.keys import Signer
from dragons.core.statement import Envelope
from dragons.core.vocabulary import Kind
from dragons.evidence.chain import REVOCATION_KINDS, Head, seal
from dragons.evidence.merkle import Node, Range, cover
from dragons.evidence.receipt import Header

_signatures = msgspec.json.Encoder(order="sorted")
# Heads of sessions and agents kept in memory; beyond it they are read again from the receipts.
_HEADS_MAX = 20_000


class Book:
    """Seals receipts for one tenant, one after the other."""

    def __init__(self, connection: Connection, tenant_id: str, ledger: Signer) -> None:
        """Read where the ledger ends; StorageError when it ends before a checkpoint that was signed."""
        self._connection = connection
        self._tenant_id = tenant_id
        self._ledger = ledger
        self._agents: dict[str, int] = {}
        self._sessions: dict[str, tuple[int, str]] = {}
        self._head = _recover(connection, tenant_id)
        self._issued_ms = parse_time(self._head.issued_at) if self._head.issued_at else 0

    @property
    def key_id(self) -> str:
        """The key that signs."""
        return self._ledger.key_id

    @property
    def size(self) -> int:
        """How many receipts the ledger has, pending ones included."""
        return self._head.next_seq

    def node(self, level: int, index: int) -> bytes | None:
        """A subtree's hash when it is one of those that the present root is made of, else None."""
        nodes = self._head.tree.nodes()
        return next((one.hash for one in nodes if (one.level, one.offset) == (level, index)), None)

    def begin(self, ledger: Signer) -> None:
        """Start a transaction, in which nothing is pending yet; `ledger` signs from now on."""
        self._ledger = ledger
        for heads in (self._agents, self._sessions):
            if len(heads) > _HEADS_MAX:
                heads.clear()

    def seal(
        self, kind: Kind, statement: Envelope, known: About, now_ms: int, claim_id: str | None
    ) -> tuple[Appended, tuple[Any, ...], list[tuple[Any, ...]]]:
        """The next receipt: what it is, its row, and the rows of Merkle nodes it completed."""
        head = self._head
        # The ledger's own time never goes back, whatever the clock does.
        issued_ms = self._issued_ms = max(now_ms, self._issued_ms)
        issued_at = format_time(issued_ms)
        receipt_id = new_id(RECEIPT_PREFIX, now_ms)
        agent = known.get("agent", "").partition("@")[0] or None
        agent_seq = None if agent is None else self._next_of_agent(agent)
        session_id = known.get("session_id")
        position, parent = (None, "") if session_id is None else self._next_of_session(session_id)
        header = Header(
            receipt_id=receipt_id,
            tenant_id=self._tenant_id,
            seq=head.next_seq,
            kind=kind,
            parent_root=head.chain_root,
            statement_hash=statement.payload_digest(),
            issued_at=issued_at,
            agent_seq=msgspec.UNSET if agent_seq is None else agent_seq,
            session_position=msgspec.UNSET if position is None else position,
            session_parent=parent or msgspec.UNSET,
            revocation_seq=head.revocations if kind in REVOCATION_KINDS else msgspec.UNSET,
            **known,
        )
        sealed = seal(head, header, statement, self._ledger)
        if agent is not None and agent_seq is not None:
            self._agents[agent] = agent_seq + 1
        if session_id is not None and position is not None:
            self._sessions[session_id] = (position + 1, sealed.chain_root)
        row = (
            self._tenant_id, header.seq, receipt_id, kind.value, issued_ms, sealed.header_bytes,
            sealed.record.header.signatures[0].sig, self._ledger.key_id, statement.payloadType,
            statement.payload, _signatures.encode(statement.signatures), sealed.leaf,
            agent, agent_seq, session_id, position, claim_id,
        )  # fmt: skip
        nodes = [
            (self._tenant_id, node.level, node.offset, node.hash)
            for node in sealed.completed
            if node.level % LEVELS_PER_STORED == 0
        ]
        return Appended(receipt_id, header.seq, sealed.chain_root, issued_at), row, nodes

    def _next_of_agent(self, agent: str) -> int:
        known = self._agents.get(agent)
        if known is None:
            table = schema.receipts
            query = select(func.max(table.c.agent_seq)).where(
                table.c.tenant_id == self._tenant_id, table.c.agent == agent
            )
            last = self._connection.execute(query).scalar()
            known = self._agents[agent] = 0 if last is None else int(last) + 1
        return known

    def _next_of_session(self, session_id: str) -> tuple[int, str]:
        known = self._sessions.get(session_id)
        if known is None:
            table = schema.receipts
            query = (
                select(table.c.session_position, table.c.header)
                .where(table.c.tenant_id == self._tenant_id, table.c.session_id == session_id)
                .order_by(table.c.session_position.desc())
                .limit(1)
            )
            last = self._connection.execute(query).first()
            known = (0, "") if last is None else (int(last[0]) + 1, sha256_hex(last[1]))
            self._sessions[session_id] = known
        return known


def _recover(connection: Connection, tenant_id: str) -> Head:
    table = schema.receipts
    last = connection.execute(
        select(table.c.seq, table.c.header)
        .where(table.c.tenant_id == tenant_id)
        .order_by(table.c.seq.desc())
        .limit(1)
    ).first()
    size = 0 if last is None else int(last[0]) + 1
    signed = connection.execute(
        select(func.max(schema.checkpoints.c.size)).where(schema.checkpoints.c.tenant_id == tenant_id)
    ).scalar()
    if signed is not None and signed > size:
        raise StorageError(
            "ledger_truncated",
            f"A checkpoint of {signed} receipts was signed, but the ledger ends at {size}.",
            fix="Restore the database from a backup; writing on would fork the ledger.",
        )
    if last is None:
        return Head()
    header = decode(Header, last[1])
    reader = SqlReader(connection)
    revocations = connection.execute(
        select(func.count())
        .select_from(table)
        .where(table.c.tenant_id == tenant_id, table.c.kind.in_([kind.value for kind in REVOCATION_KINDS]))
    ).scalar()
    nodes = [Node(level, at, reader.node(tenant_id, level, at)) for level, at in cover(0, size)]
    return Head(size, sha256_hex(last[1]), header.issued_at, revocations or 0, Range(0, nodes))
