"""Who holds an operator key gets a token for it, as mighty as the key and no longer than the key holds."""

from __future__ import annotations

import pytest

from dragons.authority.revocation import Target
from dragons.control.caller import Caller
from dragons.control.ports import Transaction
from dragons.control.tokens import TokenWish, authenticate_token, hash_token, issue_api_token
from dragons.core.errors import ForbiddenError, UnauthenticatedError
from dragons.core.vocabulary import Role
from tests.support.plane import Plane, Tenancy

TOKEN = "dgt_" + "A" * 43
BOUNDS = {
    "admin": {Role.ADMIN, Role.OPERATOR, Role.LAUNCHER, Role.AUDITOR},
    "operator": {Role.OPERATOR, Role.LAUNCHER, Role.AUDITOR},
    "auditor": {Role.AUDITOR},
}


def issue(acme: Tenancy, key_id: str, role: Role, asked_by: Role = Role.KEYHOLDER, seconds: int = 60) -> None:
    caller = Caller(acme.tenant_id, asked_by, key_id=key_id)
    wish = TokenWish(role, "x", seconds, hash_token(TOKEN))

    def job(tx: Transaction) -> None:
        issue_api_token(tx, caller, wish)

    acme.plane.store.write(job).result(10)


def code_of_token(plane: Plane) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        plane.read(lambda reader: authenticate_token(reader, TOKEN, plane.clock.now_ms()))
    assert caught.value.fix
    return caught.value.code


@pytest.mark.parametrize("kind", sorted(BOUNDS))
@pytest.mark.parametrize("role", sorted(BOUNDS["admin"]))
def test_the_key_bounds_its_tokens(plane: Plane, acme: Tenancy, kind: str, role: Role) -> None:
    key_id = acme.hire(kind).key_id
    if role in BOUNDS[kind]:
        issue(acme, key_id, role)
        caller = plane.read(lambda reader: authenticate_token(reader, TOKEN, plane.clock.now_ms()))
        assert (caller.role, caller.key_id) == (role, key_id)
    else:
        with pytest.raises(ForbiddenError) as caught:
            issue(acme, key_id, role)
        assert caught.value.code == "role_exceeded"


def test_a_token_makes_none_mightier_than_itself(acme: Tenancy) -> None:
    with pytest.raises(ForbiddenError) as caught:
        issue(acme, acme.hire("admin").key_id, Role.ADMIN, asked_by=Role.OPERATOR)
    assert caught.value.code == "role_exceeded"


def test_each_end_of_a_token_has_its_own_code(plane: Plane, acme: Tenancy) -> None:
    assert code_of_token(plane) == "token_invalid"
    second = acme.hire("operator")
    issue(acme, second.key_id, Role.AUDITOR, seconds=3_600)
    acme.revoke(Target.OPERATOR, second.key_id)
    assert code_of_token(plane) == "token_key_ended"
    with pytest.raises(ForbiddenError) as caught:
        issue(acme, second.key_id, Role.AUDITOR)
    assert caught.value.code == "signer_not_valid"
    plane.clock.advance(3_600_000)
    assert code_of_token(plane) == "token_expired"
