"""Failures seen in comparable projects; none of them may happen here."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import create_engine

from dragons.adapters.sql import schema
from dragons.authority.lease import refuse_outside_dock, refuse_outside_parent
from dragons.core.capability import check_capability
from dragons.core.clock import format_time
from dragons.core.errors import InvalidInputError, UnauthenticatedError
from dragons.core.hashing import ZERO, sha256_hex
from dragons.core.ids import check_agent_name
from dragons.core.keys import KeyRole, PublicKey
from dragons.core.statement import Envelope, is_signed_by, sign, valid_signers
from dragons.core.vocabulary import Kind, Reason
from dragons.evidence.chain import Head, seal
from dragons.evidence.checkpoint import count_witnesses, sign_checkpoint, verify_checkpoint
from dragons.evidence.merkle import EMPTY_ROOT, Range, leaf_hash, node_hash, root_at, verify_consistency
from dragons.evidence.receipt import Intervention, Record
from dragons.identity.tokens import Confirmation, Workload, issue_token, verify_token
from tests.property.builders import (
    MINUTE_MS,
    NOW_MS,
    make_child,
    make_dock,
    make_header,
    make_lease,
    name,
    signer,
)

LEDGER, ATTACKER = signer(5, KeyRole.LEDGER), signer(66, KeyRole.LEDGER)
TENANT = name("tnt", 1)
STATEMENT = sign(
    "intervention",
    Intervention(
        tenant_id=TENANT, instance_id=f"{1:032x}", action="stop", reason="test", at=format_time(NOW_MS)
    ),
    signer(1, KeyRole.OPERATOR),
)
PARENT_HASH = sha256_hex(b"parent")


@pytest.mark.parametrize("size", range(1, 34))
def test_the_incremental_root_equals_its_own_rebuild(size: int) -> None:
    tree, nodes = Range(), {}
    for index in range(size):
        nodes[0, index] = leaf_hash(bytes([index]))
        tree.append(nodes[0, index], lambda node: nodes.__setitem__((node.level, node[1]), node.hash))
    assert tree.root() == root_at(size, lambda level, index: nodes[level, index])


def test_a_consistency_proof_from_nothing_is_rejected() -> None:
    root = leaf_hash(b"x")
    for proof in ([], [root], [EMPTY_ROOT]):
        assert not verify_consistency(0, 1, EMPTY_ROOT, root, proof)
        assert not verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, proof)


def test_a_cut_tail_has_another_root() -> None:
    head = Head()
    roots = []
    for seq in range(4):
        seal(head, make_header(seq, head.chain_root), STATEMENT, LEDGER)
        roots.append(head.tree.root())
    assert len({*roots, EMPTY_ROOT}) == 5


@pytest.mark.parametrize("field", ["keyid", "sig"])
@pytest.mark.parametrize("part", ["header", "statement"])
def test_nothing_in_a_receipt_lies_outside_the_hash(part: str, field: str) -> None:
    record = seal(Head(), make_header(), STATEMENT, LEDGER).record
    envelope: Envelope = getattr(record, part)
    signature = replace(envelope.signatures[0], **{field: "other" if field == "keyid" else bytes(64)})
    edited = replace(record, **{part: replace(envelope, signatures=[signature])})
    assert leaf_hash(edited.leaf()) != leaf_hash(record.leaf())


@pytest.mark.parametrize("changes", [{"payload": b"{}"}, {"payloadType": "text/plain"}, {"signatures": []}])
def test_no_part_of_an_envelope_lies_outside_the_hash(changes: dict[str, object]) -> None:
    record: Record = seal(Head(), make_header(), STATEMENT, LEDGER).record
    for part in ("header", "statement"):
        edited = replace(record, **{part: replace(getattr(record, part), **changes)})
        assert leaf_hash(edited.leaf()) != leaf_hash(record.leaf())


def test_a_log_signed_again_by_an_attacker_verifies_under_no_empty_trust() -> None:
    forged = sign_checkpoint(TENANT, 7, bytes(32), ATTACKER)
    assert verify_checkpoint(forged, TENANT, []) is None
    assert verify_checkpoint(forged, TENANT, [LEDGER.public_key]) is None
    assert count_witnesses(forged, []) == 0
    envelope = sign("receipt", make_header(), ATTACKER)
    assert list(valid_signers(envelope, {})) == []
    assert list(valid_signers(envelope, {LEDGER.key_id: LEDGER.public_key})) == []


def test_a_key_that_came_along_is_only_a_name() -> None:
    forged = sign("receipt", make_header(), ATTACKER)
    renamed = replace(forged, signatures=[replace(forged.signatures[0], keyid=LEDGER.key_id)])
    assert not is_signed_by(renamed, LEDGER.key_id, LEDGER.public_key)


def test_a_token_without_trusted_issuers_is_refused() -> None:
    claims = Workload(
        tenant_id=TENANT,
        sub=f"{1:032x}",
        agent="a",
        lease_id=name("lse", 1),
        epoch=1,
        iat=1,
        exp=2,
        cnf=Confirmation(jkt="x"),
    )
    with pytest.raises(UnauthenticatedError):
        verify_token(issue_token(claims, ATTACKER), {})


def test_a_credential_check_does_not_try_every_key() -> None:
    """Of a hundred issuers, past and present, one signature is checked: that of the key the token names."""
    tried = []

    class Counting(PublicKey):
        def verify(self, signature: bytes, message: bytes) -> bool:
            tried.append(self.raw)
            return super().verify(signature, message)

    several = [signer(100 + n, KeyRole.ISSUER) for n in range(100)]
    issuers: dict[str, PublicKey] = {one.key_id: Counting(one.public_key.raw) for one in several}
    claims = Workload(
        tenant_id=TENANT,
        sub=f"{1:032x}",
        agent="a",
        lease_id=name("lse", 1),
        epoch=1,
        iat=1,
        exp=2,
        cnf=Confirmation(jkt="x"),
    )
    assert verify_token(issue_token(claims, several[-1]), issuers).issuer_key_id == several[-1].key_id
    assert tried == [several[-1].public_key.raw]
    with pytest.raises(UnauthenticatedError):
        verify_token(issue_token(claims, ATTACKER), issuers)
    assert len(tried) == 1


def test_a_credential_is_found_by_its_index(tmp_path: Path) -> None:
    """The lookup of an API token is one search in a unique index, however many tokens there are."""
    engine = create_engine(f"sqlite:///{tmp_path / 'tokens.db'}")
    schema.metadata.create_all(engine)
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT * FROM tokens WHERE token_hash = 'x'"
        ).all()
    engine.dispose()
    assert [row[3] for row in plan] == ["SEARCH tokens USING INDEX tokens_by_hash (token_hash=?)"]


def test_a_delegation_with_a_forged_signature_is_signed_by_nobody() -> None:
    lease = make_child(make_lease(), PARENT_HASH)
    envelope = sign("lease", lease, signer(1))
    wider = sign("lease", replace(lease, scope=["zap:all"]), signer(66))
    forged = replace(envelope, payload=wider.payload)
    assert not is_signed_by(forged, signer(1).key_id, signer(1).public_key)


def test_a_delegation_under_an_unknown_parent_is_denied() -> None:
    parent = make_lease()
    for child in (
        make_child(parent, PARENT_HASH, parent_lease_id=name("lse", 99)),
        make_child(parent, ZERO),
        make_lease(depth=1),
    ):
        refusal = refuse_outside_parent(child, parent, PARENT_HASH)
        assert refusal is not None
        assert refusal.reason is Reason.LEASE_MISSING


def test_a_delegation_under_a_parent_that_expired_is_denied() -> None:
    long_ago = NOW_MS - 3 * 365 * 24 * 60 * MINUTE_MS
    parent = make_lease(
        issued_at=format_time(long_ago),
        not_before=format_time(long_ago),
        expires_at=format_time(long_ago + MINUTE_MS),
    )
    fresh = make_child(
        parent, PARENT_HASH, issued_at=format_time(NOW_MS), expires_at=format_time(NOW_MS + MINUTE_MS)
    )
    refusal = refuse_outside_parent(fresh, parent, PARENT_HASH)
    assert refusal is not None
    assert refusal.reason is Reason.TTL_EXCEEDED
    # Kept within its parent's life, it is over before it was issued, which no dock allows.
    stale = replace(fresh, expires_at=parent.expires_at)
    refusal = refuse_outside_dock(stale, make_dock(), ZERO)
    assert refusal is not None
    assert refusal.reason is Reason.TTL_EXCEEDED


@pytest.mark.parametrize(
    "text", ["Alice", "ALICE", " alice", "alice ", "alice\n", "alice\u200b", "\u0430lice"]
)
def test_variants_of_one_name_are_not_names_of_others(text: str) -> None:
    assert check_agent_name("alice") == "alice"
    with pytest.raises(InvalidInputError):
        check_agent_name(text)
    with pytest.raises(InvalidInputError):
        check_capability(f"approve:{text}")


def test_variants_of_one_signer_count_once_at_most() -> None:
    alice = signer(1, KeyRole.OPERATOR)
    envelope = sign("dock", make_dock(), alice)
    names = [alice.key_id, alice.key_id.upper(), f" {alice.key_id}", f"{alice.key_id} "]
    variants = replace(envelope, signatures=[replace(envelope.signatures[0], keyid=one) for one in names])
    assert list(valid_signers(variants, {alice.key_id: alice.public_key})) == [alice.key_id]


def test_two_writers_cannot_both_continue_one_head() -> None:
    head = Head()
    seal(head, make_header(), STATEMENT, LEDGER)
    seen = head.chain_root
    seal(head, make_header(1, seen), STATEMENT, LEDGER)
    with pytest.raises(ValueError, match="does not continue"):
        seal(head, make_header(1, seen, kind=Kind.DENIED), STATEMENT, LEDGER)


def test_a_lost_head_does_not_restart_history() -> None:
    head = Head()
    first = seal(head, make_header(), STATEMENT, LEDGER)
    with pytest.raises(ValueError, match="does not continue"):
        seal(Head(), make_header(1, first.chain_root), STATEMENT, LEDGER)


def test_a_leaf_cannot_be_made_to_look_like_two() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)
    assert leaf_hash(b"\x01" + left + right) != node_hash(left, right)
