"""Who is asking: each credential is what it claims, now, or nobody."""

from __future__ import annotations

import string
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec
import pytest

from dragons.api.authentication import (
    Authenticator,
    check_issuer,
    instance_key_id,
    new_api_token,
    parse_proof,
)
from dragons.core.errors import DragonsError, UnauthenticatedError
from dragons.core.ids import new_nonce
from dragons.core.keys import KeyRole, LocalSigner, PublicKey
from dragons.core.vocabulary import Role
from dragons.identity.proof import Request, sign_request
from dragons.identity.tokens import Confirmation, Workload, issue_token, thumbprint
from tests.support.server import Instance, Plane, Tenant


@pytest.fixture
def authenticator(plane: Plane) -> Authenticator:
    return Authenticator(plane.backend.store, plane.clock, tokens_max=2, nonces_max=100)


def refused(authenticator: Authenticator, authorization: str) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        authenticator.identify(authorization)
    secret = authorization.partition(" ")[2]
    assert not secret or secret not in str(caught.value)
    return caught.value.code


# --- operator keys ---


def test_an_operator_key_is_its_tenant_and_itself(authenticator: Authenticator, tenant: Tenant) -> None:
    key_id = tenant.operator.key_id
    who = authenticator.identify(f"OperatorKey {tenant.tenant_id}.{key_id}")
    assert (who.caller.tenant_id, who.caller.role, who.caller.key_id) == (
        tenant.tenant_id,
        Role.KEYHOLDER,
        key_id,
    )
    assert (who.key, who.key_id, who.issuer_key_id) == (tenant.operator.public_key, key_id, "")
    assert who.credential == key_id


def test_no_other_key_is_an_operators(authenticator: Authenticator, tenant: Tenant, plane: Plane) -> None:
    issuer = plane.backend.keyring.issuer(tenant.tenant_id)
    for credential in (
        f"{tenant.tenant_id}.{issuer.key_id}",
        f"{tenant.tenant_id}.{tenant.root.key_id}",
        f"{plane.tenant().tenant_id}.{tenant.operator.key_id}",
        f".{tenant.operator.key_id}",
        f"{tenant.tenant_id}.",
        tenant.tenant_id,
        "",
    ):
        assert refused_key(authenticator, f"OperatorKey {credential}") == "signer_not_valid"


def refused_key(authenticator: Authenticator, authorization: str) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        authenticator.identify(authorization)
    return caught.value.code


# --- API tokens ----------------------------------------------------------------------------------


def test_a_token_is_its_tenant_role_and_key(authenticator: Authenticator, tenant: Tenant) -> None:
    for role, token in tenant.tokens.items():
        who = authenticator.identify(f"Bearer {token}")
        assert (who.caller.tenant_id, who.caller.role) == (tenant.tenant_id, Role(role))
        assert who.caller.key_id == tenant.operator.key_id
        assert who.credential == who.caller.token_id
        assert who.key is None
    assert authenticator.identify(f"bearer {tenant.tokens['admin']}").caller.role is Role.ADMIN


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("", "credential_missing"),
        ("Bearer", "credential_missing"),
        ("Basic qQzZ", "credential_missing"),
        ("Bearer dgt_", "token_invalid"),
        ("Bearer dgt_" + "A" * 42, "token_invalid"),
        ("Bearer dgt_" + "A" * 43, "token_invalid"),
        ("Bearer dgt_" + "A" * 44, "token_invalid"),
        ("Bearer " + "a" * 5_000, "token_invalid"),
        ("Bearer ..", "token_invalid"),
        ("Bearer a.!.c", "token_invalid"),
        ("Bearer a.e30.c", "token_invalid"),
        ("Bearer \xe9.\xe9.\xe9", "token_invalid"),
    ],
)
def test_anything_else_is_nobody(authenticator: Authenticator, authorization: str, code: str) -> None:
    assert refused(authenticator, authorization) == code


def test_an_altered_token_is_nobody(authenticator: Authenticator, tenant: Tenant) -> None:
    token = tenant.tokens["admin"]
    for place in range(4, len(token)):
        other = "A" if token[place] != "A" else "B"
        assert refused(authenticator, f"Bearer {token[:place]}{other}{token[place + 1 :]}") == "token_invalid"


def test_new_tokens_are_long_random_and_url_safe() -> None:
    tokens = {new_api_token() for _ in range(100)}
    assert len(tokens) == 100
    for token in tokens:
        assert token.startswith("dgt_")
        assert len(token) == 47
        assert set(token) <= set(string.ascii_letters + string.digits + "-_")
        assert len(urlsafe_b64decode(token[4:] + "=")) == 32


# --- workload tokens -----------------------------------------------------------------------------


def claims(instance: Instance, **changes: Any) -> Workload:
    lease = instance.lease
    workload = Workload(
        tenant_id=lease.tenant_id, sub=instance.instance_id, agent="reconciler@v1", lease_id=lease.lease_id,
        epoch=lease.epoch, iat=0, exp=instance.tenant.plane.clock.now_ms() // 1000 + 60,
        cnf=Confirmation(jkt=thumbprint(instance.signer.public_key)),
    )  # fmt: skip
    return msgspec.structs.replace(workload, **changes)


def by_issuer(instance: Instance, **changes: Any) -> str:
    plane = instance.tenant.plane
    issuer = plane.backend.keyring.issuer(instance.lease.tenant_id)
    return f"Bearer {issue_token(claims(instance, **changes), issuer)}"


def test_a_workload_token_is_its_instance(authenticator: Authenticator, instance: Instance) -> None:
    for _ in range(2):
        who = authenticator.identify(f"Bearer {instance.token}")
        assert who.caller.role is Role.INSTANCE
        assert who.caller.instance_id == who.credential == instance.instance_id
        assert who.caller.lease_id == instance.lease.lease_id
        assert who.key == instance.signer.public_key
        assert not who.caller.lapsed


def test_after_its_expiry_it_is_lapsed(
    authenticator: Authenticator, instance: Instance, plane: Plane
) -> None:
    now_s = plane.clock.now_ms() // 1000
    assert not authenticator.identify(by_issuer(instance, exp=now_s + 30)).caller.lapsed
    assert authenticator.identify(by_issuer(instance, exp=now_s)).caller.lapsed
    assert authenticator.identify(by_issuer(instance, exp=0)).caller.lapsed


def test_a_cached_token_lapses_too(authenticator: Authenticator, instance: Instance, plane: Plane) -> None:
    authorization = by_issuer(instance)
    assert not authenticator.identify(authorization).caller.lapsed
    plane.clock.advance(61_000)
    assert authenticator.identify(authorization).caller.lapsed


def test_only_the_tenants_own_issuer_counts(
    authenticator: Authenticator, instance: Instance, plane: Plane
) -> None:
    stranger = LocalSigner.generate(KeyRole.ISSUER)
    assert refused(authenticator, f"Bearer {issue_token(claims(instance), stranger)}") == "token_invalid"
    other = plane.tenant("other")
    others = plane.backend.keyring.issuer(other.tenant_id)
    assert refused(authenticator, f"Bearer {issue_token(claims(instance), others)}") == "token_invalid"
    moved = claims(instance, tenant_id=other.tenant_id)
    assert refused(authenticator, f"Bearer {issue_token(moved, others)}") == "token_invalid"
    own = plane.backend.keyring.issuer(instance.lease.tenant_id)
    assert refused(authenticator, f"Bearer {issue_token(moved, own)}") == "token_invalid"


@pytest.mark.parametrize("change", [{"sub": "0" * 32}, {"cnf": Confirmation(jkt="x")}])
def test_it_names_an_instance_and_its_key(
    authenticator: Authenticator, instance: Instance, change: dict[str, Any]
) -> None:
    assert refused(authenticator, by_issuer(instance, **change)) == "token_invalid"


def test_no_changed_byte_is_accepted(authenticator: Authenticator, instance: Instance) -> None:
    token = instance.token
    authenticator.identify(f"Bearer {token}")
    for place in range(0, len(token), 7):
        other = "A" if token[place] != "A" else "B"
        assert refused(authenticator, f"Bearer {token[:place]}{other}{token[place + 1 :]}") == "token_invalid"


def test_another_algorithm_is_refused(authenticator: Authenticator, instance: Instance) -> None:
    _, payload, signature = instance.token.split(".")
    for algorithm in ("none", "HS256", "ES256"):
        header = urlsafe_b64encode(b'{"alg":"%s","typ":"JWT"}' % algorithm.encode()).rstrip(b"=").decode()
        assert refused(authenticator, f"Bearer {header}.{payload}.{signature}") == "token_invalid"
        assert refused(authenticator, f"Bearer {header}.{payload}.") == "token_invalid"


def test_the_cache_is_bounded(authenticator: Authenticator, instance: Instance) -> None:
    for number in range(5):
        authenticator.identify(by_issuer(instance, iat=number))
    assert len(authenticator._checked) == 2


def test_an_issuer_that_ended_issues_nothing(plane: Plane, tenant: Tenant) -> None:
    issuer = plane.backend.keyring.issuer(tenant.tenant_id).key_id
    with plane.backend.store.read() as reader:
        row = reader.key(tenant.tenant_id, issuer)
        assert row is not None
        check_issuer(reader, tenant.tenant_id, issuer, row.not_after_ms - 1)
        for key_id, now_ms in ((issuer, row.not_after_ms), (issuer, row.not_before_ms - 1), ("isk_x", 0)):
            with pytest.raises(UnauthenticatedError):
                check_issuer(reader, tenant.tenant_id, key_id, now_ms)


# --- possession ----------------------------------------------------------------------------------

REQUEST = Request("POST", "/v1/receipts", "a=1", b"{}", "Bearer x")


def proof_of(plane: Plane, signer: LocalSigner, request: Request = REQUEST, **how: Any) -> Any:
    how = {"now_ms": plane.clock.now_ms(), "nonce": new_nonce(), **how}
    headers = {k.encode(): v.encode() for k, v in sign_request(request, signer, **how).items()}
    return parse_proof(REQUEST, headers)


def verify(authenticator: Authenticator, proof: Any, key: PublicKey) -> str:
    try:
        authenticator.verify_proof(proof, key, instance_key_id(key))
    except DragonsError as error:
        return error.code
    return "held"


def test_a_proof_holds_once(plane: Plane, authenticator: Authenticator, instance: Instance) -> None:
    proof, key = proof_of(plane, instance.signer), instance.signer.public_key
    assert verify(authenticator, proof, key) == "held"
    assert verify(authenticator, proof, key) == "proof_replayed"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "GET"}, "proof_invalid"),
        ({"path": "/v1/decisions"}, "proof_invalid"),
        ({"query": "a=2"}, "proof_invalid"),
        ({"body": b"{ }"}, "proof_digest"),
        ({"authorization": "Bearer y"}, "proof_invalid"),
    ],
)
def test_a_proof_is_of_one_request(
    plane: Plane, authenticator: Authenticator, instance: Instance, change: dict[str, Any], code: str
) -> None:
    proof = proof_of(plane, instance.signer, REQUEST._replace(**change))
    assert verify(authenticator, proof, instance.signer.public_key) == code


@pytest.mark.parametrize("seconds", [-62, 62, 86_400, -86_400])
def test_a_proof_is_of_now(
    plane: Plane, authenticator: Authenticator, instance: Instance, seconds: int
) -> None:
    proof = proof_of(plane, instance.signer, now_ms=plane.clock.now_ms() + seconds * 1000)
    assert verify(authenticator, proof, instance.signer.public_key) == "proof_stale"


def test_a_proof_is_by_the_instances_key(
    plane: Plane, authenticator: Authenticator, instance: Instance
) -> None:
    thief = LocalSigner.generate(KeyRole.INSTANCE)
    assert verify(authenticator, proof_of(plane, thief), instance.signer.public_key) == "proof_key"
    posing = proof_of(plane, thief)
    named = posing._replace(parsed=posing.parsed._replace(key_id=instance.signer.key_id))
    assert verify(authenticator, named, instance.signer.public_key) == "proof_invalid"


def test_a_refused_proof_uses_up_no_nonce(
    plane: Plane, authenticator: Authenticator, instance: Instance
) -> None:
    nonce, key = new_nonce(), instance.signer.public_key
    other = proof_of(plane, instance.signer, REQUEST._replace(method="GET"), nonce=nonce)
    assert verify(authenticator, other, key) == "proof_invalid"
    assert verify(authenticator, proof_of(plane, instance.signer, nonce=nonce), key) == "held"


def test_each_header_is_needed(plane: Plane, instance: Instance) -> None:
    made = sign_request(REQUEST, instance.signer, now_ms=plane.clock.now_ms(), nonce=new_nonce())
    headers = {k.encode(): v.encode() for k, v in made.items()}
    for name in headers:
        with pytest.raises(UnauthenticatedError) as caught:
            parse_proof(REQUEST, {k: v for k, v in headers.items() if k != name})
        assert caught.value.code == "proof_missing"
