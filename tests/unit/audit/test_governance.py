"""Whose signature a statement needs, and that nothing takes effect without it."""

from __future__ import annotations

import pytest

from dragons.audit.governance import Governance
from dragons.audit.verdicts import Question
from dragons.authority.lease import RELEASE, Release
from dragons.core.keys import KeyRole
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind
from dragons.identity.records import KEY, KEY_REVOCATION, Key, KeyRevocation
from tests.support import story
from tests.support.ledger import signer_of
from tests.support.story import Story


@pytest.fixture
def told() -> Story:
    return story.launched()


@pytest.fixture
def governance(told: Story) -> Governance:
    made = Governance(told.book.pin)
    made.trust.admit_tenant(told.book.placed[0].record.statement)
    for seq in (1, 2):
        statement = told.book.placed[seq].record.statement
        assert made.admit(statement, told.book.headers[seq], statement.body(KEY, Key), KeyRole.ROOT) is None
    return made


def test_an_unsigned_catalogue_takes_no_effect(told: Story, governance: Governance) -> None:
    from dragons.authority.catalogue import CATALOGUE, Catalogue  # noqa: PLC0415 - only here

    header, genuine = told.book.headers[3], told.book.placed[3].record.statement
    body = genuine.body(CATALOGUE, Catalogue)
    mallory = signer_of("mallory", KeyRole.OPERATOR)
    foreign = sign(CATALOGUE, body, mallory)
    assert governance.admit(foreign, header, body, KeyRole.OPERATOR) == (
        Question.SIGNER,
        "statement_signer",
        f"{mallory.key_id} is no operator key that the pinned root vouches for",
    )
    genuine.signatures[0].sig, kept = bytes(64), genuine.signatures[0].sig
    question, code, _ = governance.admit(genuine, header, body, KeyRole.OPERATOR) or (None, "", "")
    assert (question, code) == (Question.SIGNER, "signature_invalid")
    assert governance.mandate.catalogue == {}
    genuine.signatures[0].sig = kept
    assert governance.admit(genuine, header, body, KeyRole.OPERATOR) is None
    assert set(governance.mandate.catalogue) >= {"pay:suppliers"}


def test_the_end_of_an_operator_key_is_a_revocation(told: Story, governance: Governance) -> None:
    told.book.revoke_key(told.book.operator.key_id)
    header, statement = told.book.headers[-1], told.book.placed[-1].record.statement
    body = statement.body(KEY_REVOCATION, KeyRevocation)
    assert header.kind is Kind.KEY_REVOKED
    assert governance.admit(statement, header, body, KeyRole.ROOT) is None
    assert governance.mandate.revoked == {f"operator:{told.book.operator.key_id}": header.issued_at}


def test_a_release_counts_only_with_the_instances_signature(told: Story, governance: Governance) -> None:
    from dragons.audit.leases import held  # noqa: PLC0415 - only here

    lease = held(told.agent.lease, "0" * 64, ())
    body = Release(
        tenant_id=told.book.tenant_id,
        lease_id=told.agent.lease.lease_id,
        instance_id=told.agent.instance_id,
        released_at=told.book.time(),
    )
    forged = sign(RELEASE, body, signer_of("mallory", KeyRole.INSTANCE))
    header = told.book.headers[10]
    question, code, _ = governance.judge(lease, header, body, forged) or (None, "", "")
    assert (question, code, lease.released_at) == (Question.SIGNER, "signature_invalid", "")
    assert governance.judge(lease, header, body, sign(RELEASE, body, told.agent.signer)) is None
    assert lease.released_at == header.issued_at
