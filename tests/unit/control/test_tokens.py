from __future__ import annotations

import pytest

from dragons.authority.revocation import Target
from dragons.control.caller import Caller
from dragons.control.rows import TokenRow
from dragons.control.tokens import (
    PREFIX,
    TokenWish,
    authenticate_token,
    hash_token,
    issue_api_token,
    revoke_api_token,
)
from dragons.core.clock import format_time
from dragons.core.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from dragons.core.hashing import sha256_hex
from dragons.core.ids import TOKEN, check_id, new_id
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Role
from tests.support.expect import fails
from tests.support.plane import Plane, Tenancy

SECRET = PREFIX + "A" * 43
ROLES = [Role.ADMIN, Role.OPERATOR, Role.LAUNCHER, Role.AUDITOR]


def issue(
    tenancy: Tenancy, role: Role = Role.AUDITOR, *, text: str = SECRET, key_id: str = "",
    asked_by: Role = Role.ADMIN, ttl_seconds: int = 60,
) -> TokenRow:  # fmt: skip
    caller = Caller(tenancy.tenant_id, asked_by, key_id=key_id or tenancy.operator.key_id)
    wish = TokenWish(role, "for tests", ttl_seconds, hash_token(text))
    return tenancy.plane.write(lambda tx: issue_api_token(tx, caller, wish))


def who(plane: Plane, text: str = SECRET) -> Caller:
    return plane.read(lambda reader: authenticate_token(reader, text, plane.clock.now_ms()))


def tokens(tenancy: Tenancy) -> list[TokenRow]:
    return tenancy.plane.read(lambda reader: list(reader.tokens(tenancy.tenant_id)))


# --- issuing --------------------------------------------------------------------------------------


def test_only_the_hash_of_a_token_is_kept(acme: Tenancy) -> None:
    size = acme.size()
    row = issue(acme, Role.LAUNCHER)
    assert row.token_hash == sha256_hex(SECRET.encode()) == hash_token(SECRET)
    assert check_id(TOKEN, row.token_id)
    assert (row.role, row.label, row.key_id) == ("launcher", "for tests", acme.operator.key_id)
    assert (row.created_ms, row.expires_ms, row.revoked_ms) == (acme.now_ms, acme.now_ms + 60_000, None)
    assert tokens(acme) == [row]
    # A token changes nothing on the record: it can't sign.
    assert acme.size() == size


@pytest.mark.parametrize("asked_by", ROLES)
@pytest.mark.parametrize("role", ROLES)
def test_no_token_is_mightier_than_the_one_that_asked(acme: Tenancy, role: Role, asked_by: Role) -> None:
    if ROLES.index(role) >= ROLES.index(asked_by):
        assert issue(acme, role, asked_by=asked_by).role == role
        return
    with fails(ForbiddenError, "role_exceeded"):
        issue(acme, role, asked_by=asked_by)
    assert not tokens(acme)


@pytest.mark.parametrize("role", [Role.INSTANCE, Role.KEYHOLDER, Role.ANYONE])
def test_there_are_no_tokens_of_other_roles(acme: Tenancy, role: Role) -> None:
    with fails(ForbiddenError, "role_exceeded"):
        issue(acme, role)


def test_only_a_valid_operator_key_has_tokens(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    revoked, lapsed = acme.hire("admin"), LocalSigner.generate(KeyRole.OPERATOR)
    acme.revoke_key(revoked.key_id)
    acme.register_key(lapsed, roles=["admin"], not_after=format_time(acme.now_ms + 1_000))
    issue(acme, key_id=lapsed.key_id)
    plane.clock.advance(1_000)
    for key_id in (revoked.key_id, lapsed.key_id, globex.operator.key_id, "opk_" + "0" * 32):
        with fails(ForbiddenError, "signer_not_valid"):
            issue(acme, key_id=key_id, text=SECRET + "B")


def test_a_key_that_is_no_operators_has_none(acme: Tenancy) -> None:
    for key_id in (acme.issuer.key_id, acme.ledger.key_id):
        with pytest.raises(ForbiddenError):
            issue(acme, key_id=key_id)
    assert not tokens(acme)


# --- using ----------------------------------------------------------------------------------------


def test_a_token_names_its_caller(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    mine, theirs = issue(acme, Role.OPERATOR), issue(globex, Role.AUDITOR, text=SECRET + "B")
    assert who(plane) == Caller(
        acme.tenant_id, Role.OPERATOR, key_id=acme.operator.key_id, token_id=mine.token_id
    )
    assert who(plane, SECRET + "B") == Caller(
        globex.tenant_id, Role.AUDITOR, key_id=globex.operator.key_id, token_id=theirs.token_id
    )


@pytest.mark.parametrize("text", ["", PREFIX, SECRET[:-1], SECRET.lower(), SECRET + " ", hash_token(SECRET)])
def test_another_text_is_no_token(plane: Plane, acme: Tenancy, text: str) -> None:
    issue(acme)
    with fails(UnauthenticatedError, "token_invalid"):
        who(plane, text)


def test_a_token_ends_at_its_expiry(plane: Plane, acme: Tenancy) -> None:
    issue(acme)
    plane.clock.advance(59_999)
    assert who(plane).role is Role.AUDITOR
    plane.clock.advance(1)
    with fails(UnauthenticatedError, "token_expired"):
        who(plane)


@pytest.mark.parametrize("end", ["revoked", "operator", "time"])
def test_a_token_ends_with_its_key(plane: Plane, acme: Tenancy, end: str) -> None:
    key = LocalSigner.generate(KeyRole.OPERATOR)
    acme.register_key(key, roles=["admin"], not_after=format_time(acme.now_ms + 30_000))
    issue(acme, key_id=key.key_id)
    plane.clock.advance(29_999)
    assert who(plane).key_id == key.key_id
    if end == "revoked":
        acme.revoke_key(key.key_id)
    elif end == "operator":
        acme.revoke(Target.OPERATOR, key.key_id)
    else:
        plane.clock.advance(1)
    with fails(UnauthenticatedError, "token_key_ended"):
        who(plane)


# --- revoking -------------------------------------------------------------------------------------


def test_a_revoked_token_opens_nothing_and_keeps_its_first_end(plane: Plane, acme: Tenancy) -> None:
    row, other = issue(acme), issue(acme, text=SECRET + "B")
    acme.do(revoke_api_token, row.token_id)
    first_ms = acme.now_ms
    plane.clock.advance(1_000)
    acme.do(revoke_api_token, row.token_id)
    assert {one.token_id: one.revoked_ms for one in tokens(acme)} == {
        row.token_id: first_ms,
        other.token_id: None,
    }
    with fails(UnauthenticatedError, "token_invalid"):
        who(plane)
    assert who(plane, SECRET + "B").token_id == other.token_id


def test_nobody_revokes_what_another_tenant_has(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    row = issue(acme)
    for token_id in (row.token_id, new_id(TOKEN, 1), ""):
        with fails(NotFoundError, "token_missing"):
            globex.do(revoke_api_token, token_id)
    assert who(plane).token_id == row.token_id
