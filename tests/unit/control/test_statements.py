from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragons.authority.revocation import Target
from dragons.control.rows import KeyRow
from dragons.control.statements import (
    DATE_SKEW_MS,
    check_date,
    key_holds,
    operator_holds,
    take_instance_statement,
    take_operator_statement,
)
from dragons.core.clock import format_time
from dragons.core.errors import ForbiddenError, InvalidInputError
from dragons.core.ids import new_id, uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import Envelope, payload_type, sign
from dragons.evidence.receipt import CLAIM, CLOSING, ERASURE, Claim, Erasure
from tests.support.expect import fails
from tests.support.plane import Agent, Plane, Tenancy

T0 = 1_800_000_000_000


def erasure(tenancy: Tenancy, *signers: LocalSigner, **changes: Any) -> Envelope:
    body = Erasure(
        tenant_id=tenancy.tenant_id,
        receipts=[new_id("rcp", 1)],
        reason="asked for",
        erased_at=tenancy.now,
    )
    return sign(ERASURE, msgspec.structs.replace(body, **changes), *(signers or (tenancy.operator,)))


def take(tenancy: Tenancy, statement: Envelope, kind: str = ERASURE) -> tuple[Erasure, KeyRow]:
    return tenancy.do(take_operator_statement, statement, kind, Erasure)


def key_row(tenancy: Tenancy, key_id: str) -> KeyRow:
    found = tenancy.plane.read(lambda reader: reader.key(tenancy.tenant_id, key_id))
    assert found is not None
    return found


# --- operators ------------------------------------------------------------------------------------


def test_a_statement_comes_with_the_key_that_signed_it(acme: Tenancy) -> None:
    second = acme.hire("operator")
    body, row = take(acme, erasure(acme, second, reason="by the second"))
    assert (body.reason, row) == ("by the second", key_row(acme, second.key_id))


def test_exactly_one_operator_signs(acme: Tenancy) -> None:
    second = acme.hire("admin")
    statement = erasure(acme)
    for wrong in (
        erasure(acme, acme.operator, second),
        msgspec.structs.replace(statement, signatures=[]),
        msgspec.structs.replace(statement, signatures=statement.signatures * 2),
    ):
        with fails(InvalidInputError, "statement_signatures"):
            take(acme, wrong)


def test_only_operator_keys_of_the_tenant_count(acme: Tenancy, globex: Tenancy) -> None:
    stranger = LocalSigner.generate(KeyRole.OPERATOR)
    for signer in (stranger, globex.operator, acme.issuer, acme.ledger, acme.root):
        with fails(ForbiddenError, "signer_unknown"):
            take(acme, erasure(acme, signer))


def test_a_key_counts_from_its_beginning_to_its_end(plane: Plane, acme: Tenancy) -> None:
    second = LocalSigner.generate(KeyRole.OPERATOR)
    begin, end = T0 + 1_000, T0 + 2_000
    acme.register_key(second, roles=["operator"], not_before=format_time(begin), not_after=format_time(end))
    plane.clock.advance(999)
    with fails(ForbiddenError, "signer_not_valid"):
        take(acme, erasure(acme, second))
    plane.clock.advance(1)
    take(acme, erasure(acme, second))
    plane.clock.advance(999)
    take(acme, erasure(acme, second))
    plane.clock.advance(1)
    with fails(ForbiddenError, "signer_not_valid"):
        take(acme, erasure(acme, second))


def test_an_auditor_signs_nothing(acme: Tenancy) -> None:
    with fails(ForbiddenError, "signer_not_valid"):
        take(acme, erasure(acme, acme.hire("auditor")))
    take(acme, erasure(acme, acme.hire("auditor", "operator")))


def test_a_revoked_key_signs_nothing(acme: Tenancy) -> None:
    second, third = acme.hire("operator"), acme.hire("operator")
    acme.revoke_key(second.key_id)
    acme.revoke(Target.OPERATOR, third.key_id)
    for signer in (second, third):
        with fails(ForbiddenError, "signer_not_valid"):
            take(acme, erasure(acme, signer))


def test_the_signature_is_over_these_bytes_and_this_kind(acme: Tenancy) -> None:
    statement, other = erasure(acme), erasure(acme, reason="another")
    for wrong in (
        msgspec.structs.replace(statement, payload=other.payload),
        msgspec.structs.replace(statement, payloadType=payload_type(CLAIM)),
        msgspec.structs.replace(
            statement, signatures=[msgspec.structs.replace(statement.signatures[0], sig=bytes(64))]
        ),
    ):
        with fails(ForbiddenError, "signature_invalid"):
            take(acme, wrong)


def test_a_statement_of_another_kind_is_none(acme: Tenancy) -> None:
    with fails(InvalidInputError, "statement_kind"):
        take(acme, erasure(acme), "dock")


def test_what_was_signed_must_be_the_document(acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    claim = acme.claim(agent).body(CLAIM, Claim)
    with fails(InvalidInputError, "document_malformed"):
        take(acme, sign(ERASURE, claim, acme.operator))


def test_a_statement_is_of_the_callers_tenant(acme: Tenancy, globex: Tenancy) -> None:
    with fails(ForbiddenError, "tenant_mismatch"):
        take(acme, erasure(acme, tenant_id=globex.tenant_id))


# --- instances ------------------------------------------------------------------------------------


@pytest.fixture
def agent(acme: Tenancy) -> Agent:
    return acme.started(acme.ready())


def take_claim(agent: Agent, statement: Envelope, kind: str = CLAIM) -> Claim:
    return take_instance_statement(agent.caller, statement, kind, Claim, agent.signer.public_key)


def test_an_instance_speaks_with_its_own_key(acme: Tenancy, agent: Agent) -> None:
    statement = acme.claim(agent)
    assert take_claim(agent, statement).instance_id == agent.instance_id
    other = LocalSigner.generate(KeyRole.INSTANCE)
    body = statement.body(CLAIM, Claim)
    for wrong in (
        sign(CLAIM, body, other),
        sign(CLAIM, body, agent.signer, other),
        sign(CLAIM, body, acme.operator),
        msgspec.structs.replace(statement, payload=acme.claim(agent).payload),
    ):
        with fails(ForbiddenError, "signature_invalid"):
            take_claim(agent, wrong)


def test_without_a_signature_it_is_no_statement(acme: Tenancy, agent: Agent) -> None:
    statement = msgspec.structs.replace(acme.claim(agent), signatures=[])
    with fails(InvalidInputError, "statement_signatures"):
        take_claim(agent, statement)


def test_an_instance_speaks_for_itself_only(acme: Tenancy, globex: Tenancy, agent: Agent) -> None:
    with fails(ForbiddenError, "instance_mismatch"):
        take_claim(agent, acme.claim(agent, instance_id=uuid7_hex(1)))
    with fails(ForbiddenError, "tenant_mismatch"):
        take_claim(agent, acme.claim(agent, tenant_id=globex.tenant_id))
    with fails(InvalidInputError, "statement_kind"):
        take_claim(agent, acme.claim(agent), CLOSING)


def test_a_document_without_an_instance_is_the_callers(acme: Tenancy, agent: Agent) -> None:
    statement = erasure(acme, agent.signer)
    body = take_instance_statement(agent.caller, statement, ERASURE, Erasure, agent.signer.public_key)
    assert body.tenant_id == acme.tenant_id


# --- dates and keys -------------------------------------------------------------------------------


@pytest.mark.parametrize("away_ms", [0, DATE_SKEW_MS, -DATE_SKEW_MS])
def test_a_date_about_now_is_taken(away_ms: int) -> None:
    check_date("at", T0 + away_ms, T0)


@pytest.mark.parametrize("away_ms", [DATE_SKEW_MS + 1, -DATE_SKEW_MS - 1])
def test_a_date_far_from_now_is_an_error(away_ms: int) -> None:
    with fails(InvalidInputError, "date_implausible"):
        check_date("at", T0 + away_ms, T0)


def test_a_key_holds_in_a_half_open_time(acme: Tenancy) -> None:
    row = key_row(acme, acme.operator.key_id)
    assert [key_holds(row, row.not_before_ms + ms) for ms in (-1, 0)] == [False, True]
    assert [key_holds(row, row.not_after_ms + ms) for ms in (-1, 0)] == [True, False]


def test_an_operator_holds_until_revoked(plane: Plane, acme: Tenancy) -> None:
    def holds(key_id: str) -> bool:
        row = key_row(acme, key_id)
        return plane.read(lambda reader: operator_holds(reader, row, acme.now_ms))

    second, third = acme.hire("operator"), acme.hire("operator")
    assert holds(second.key_id)
    acme.revoke(Target.OPERATOR, second.key_id)
    assert not holds(second.key_id)
    assert key_holds(key_row(acme, second.key_id), acme.now_ms)
    acme.revoke_key(third.key_id)
    assert not holds(third.key_id)
    assert holds(acme.operator.key_id)
