"""Sealing: each receipt continues the one before, in the chain and in the tree."""

from __future__ import annotations

import pytest

from dragons.core.clock import format_time
from dragons.core.hashing import ZERO, sha256_hex
from dragons.core.keys import KeyRole, PublicKey
from dragons.core.statement import Envelope, is_signed_by, sign
from dragons.core.vocabulary import Kind
from dragons.evidence.chain import REVOCATION_KINDS, Head, Sealed, seal
from dragons.evidence.merkle import EMPTY_ROOT, leaf_hash, node_hash
from dragons.evidence.receipt import Header, Intervention, Record
from tests.property.builders import NOW_MS, make_header, name, signer

LEDGER = signer(5, KeyRole.LEDGER)
BODY = Intervention(
    tenant_id=name("tnt", 1), instance_id=f"{1:032x}", action="stop", reason="test", at=format_time(NOW_MS)
)
STATEMENT = sign("intervention", BODY, signer(1, KeyRole.OPERATOR))


def seal_next(head: Head, **changes: object) -> Sealed:
    return seal(head, make_header(head.next_seq, head.chain_root, **changes), STATEMENT, LEDGER)


class BrokenSigner:
    key_id = LEDGER.key_id

    @property
    def public_key(self) -> PublicKey:
        return LEDGER.public_key

    def sign(self, _message: bytes) -> bytes:
        raise OSError("the key store is gone")


def test_an_empty_ledger_begins_at_zero() -> None:
    head = Head()
    assert (head.next_seq, head.chain_root, head.issued_at, head.revocations) == (0, ZERO, "", 0)
    assert head.tree.root() == EMPTY_ROOT


def test_two_heads_share_nothing() -> None:
    one, other = Head(), Head()
    seal_next(one)
    assert other.tree.root() == EMPTY_ROOT


def test_a_sealed_receipt_is_signed_by_the_ledger_over_its_header() -> None:
    sealed = seal_next(Head())
    assert sealed.record.header.body("receipt", Header) == sealed.header
    assert sealed.record.header.payload == sealed.header_bytes
    assert is_signed_by(sealed.record.header, LEDGER.key_id, LEDGER.public_key)
    assert sealed.record.statement is STATEMENT
    assert sealed.chain_root == sealed.header.chain_root() == sha256_hex(sealed.header_bytes)


def test_the_leaf_is_the_record_with_its_signatures() -> None:
    record = seal_next(Head()).record
    assert seal_next(Head()).leaf == leaf_hash(record.leaf())
    stripped = Record(
        header=Envelope(payload=record.header.payload, payloadType=record.header.payloadType, signatures=[]),
        statement=STATEMENT,
    )
    assert stripped.leaf() != record.leaf()


def test_the_head_moves_past_each_receipt() -> None:
    head = Head()
    first, second, third = (seal_next(head) for _ in range(3))
    assert [sealed.header.parent_root for sealed in (first, second, third)] == [
        ZERO,
        first.chain_root,
        second.chain_root,
    ]
    assert head.next_seq == 3
    assert head.chain_root == third.chain_root
    assert head.issued_at == third.header.issued_at
    assert head.tree.root() == node_hash(node_hash(first.leaf, second.leaf), third.leaf)


def test_completed_subtrees_are_handed_on() -> None:
    head = Head()
    sealed = [seal_next(head) for _ in range(4)]
    assert [[(node.level, node.offset) for node in one.completed] for one in sealed] == [
        [],
        [(1, 0)],
        [],
        [(1, 1), (2, 0)],
    ]
    assert sealed[3].completed[1].hash == head.tree.root()


@pytest.mark.parametrize(("seq", "parent_root"), [(0, "f" * 64), (1, ZERO), (2, None), (0, None)])
def test_a_header_that_does_not_continue_the_head_is_refused(seq: int, parent_root: str | None) -> None:
    head = Head()
    seal_next(head)
    before = (head.next_seq, head.chain_root, head.issued_at, head.tree.root())
    with pytest.raises(ValueError, match="does not continue"):
        seal(head, make_header(seq, parent_root or head.chain_root), STATEMENT, LEDGER)
    assert (head.next_seq, head.chain_root, head.issued_at, head.tree.root()) == before


def test_a_signer_that_fails_leaves_the_head_where_it_was() -> None:
    head = Head()
    seal_next(head)
    before = (head.next_seq, head.chain_root, head.issued_at, head.revocations, head.tree.root())
    with pytest.raises(OSError, match="gone"):
        seal(head, make_header(1, head.chain_root), STATEMENT, BrokenSigner())
    assert (head.next_seq, head.chain_root, head.issued_at, head.revocations, head.tree.root()) == before


def test_revocations_are_counted() -> None:
    head = Head()
    seal_next(head)
    assert head.revocations == 0
    seal_next(head, kind=Kind.REVOKED, revocation_seq=0)
    assert head.revocations == 1
    seal_next(head)
    seal_next(head, kind=Kind.KEY_REVOKED, revocation_seq=1)
    assert head.revocations == 2


def test_both_kinds_of_revocation_are_counted_together() -> None:
    assert frozenset({Kind.REVOKED, Kind.KEY_REVOKED}) == REVOCATION_KINDS
