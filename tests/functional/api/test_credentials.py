"""A captured request does nothing a second time, a stolen token nothing at all."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

import msgspec
import pytest

from dragons.core.ids import new_nonce
from dragons.core.keys import KeyRole, LocalSigner, Signer
from dragons.core.statement import sign
from dragons.identity.proof import Request, content_digest, sign_request
from dragons.identity.records import KEY, Key
from tests.support.server import DAY_MS, Instance, Plane, Tenant, statement


@pytest.fixture
def instance(plane: Plane) -> Instance:
    return plane.tenant().launch()


def test_a_captured_request_is_refused(instance: Instance) -> None:
    plane = instance.tenant.plane
    claims = instance.claims(instance.open())
    nonce = new_nonce()
    assert instance.send("POST", "/v1/receipts", claims, proof={"nonce": nonce}).status == 200
    reply = instance.send("POST", "/v1/receipts", claims, proof={"nonce": nonce})
    assert (reply.status, reply.code) == (401, "proof_replayed")
    plane.clock.advance(61_000)
    old = plane.clock.now_ms() - 61_000
    reply = instance.send("POST", "/v1/receipts", claims, proof={"nonce": nonce, "now_ms": old})
    assert (reply.status, reply.code) == (401, "proof_stale")


def test_a_proof_of_one_route_opens_no_other(instance: Instance) -> None:
    for change in ({"path": "/v1/heartbeats"}, {"method": "GET"}, {"query": "x=1"}):
        reply = instance.send("POST", "/v1/ping", {}, proof=change)
        assert (reply.status, reply.code) == (401, "proof_invalid")
    reply = instance.send("POST", "/v1/ping", {}, proof={"body": b"other"})
    assert (reply.status, reply.code) == (401, "proof_digest")


def test_a_body_altered_after_signing_is_refused(instance: Instance) -> None:
    """Also with a digest that fits the altered body: the digest itself is signed."""
    plane = instance.tenant.plane
    session = instance.open()
    before = instance.tenant.get("/v1/ledger")["size"]
    signed, altered = (msgspec.json.encode(instance.claims(session)) for _ in range(2))
    authorization = f"Bearer {instance.token}"
    headers = sign_request(
        Request("POST", "/v1/receipts", "", signed, authorization), instance.signer,
        now_ms=plane.clock.now_ms(), nonce=new_nonce(),
    )  # fmt: skip
    sent = {**headers, "authorization": authorization}
    reply = plane.send("POST", "/v1/receipts", altered, headers=sent)
    assert (reply.status, reply.code) == (401, "proof_digest")
    fitting = {**sent, "content-digest": content_digest(altered)}
    reply = plane.send("POST", "/v1/receipts", altered, headers=fitting)
    assert (reply.status, reply.code) == (401, "proof_invalid")
    assert instance.tenant.get("/v1/ledger")["size"] == before
    # What was signed is still good: a refusal uses up no nonce.
    assert plane.send("POST", "/v1/receipts", signed, headers=sent).status == 200


def test_expired_tokens_are_refused(plane: Plane) -> None:
    tenant = plane.tenant()
    instance = tenant.launch()
    session = instance.open()
    done = instance.claims(session)
    short = tenant.post("/v1/tokens", {"role": "auditor", "label": "short", "ttl_seconds": 60})["token"]
    plane.clock.advance(901_000)
    reply = plane.send("GET", "/v1/tenant", token=short)
    assert (reply.status, reply.code) == (401, "token_expired")
    for method, path, body in (
        ("POST", "/v1/ping", {}),
        ("POST", "/v1/decisions", {"session_id": session, "action": "pay:invoice"}),
    ):
        reply = instance.send(method, path, body)
        assert (reply.status, reply.code) == (401, "token_expired"), path
    # What was done before may still be reported, and is marked.
    (result,) = instance.post("/v1/receipts", done)["results"]
    assert result["late"] is True
    # The lease may be renewed late; its holder goes on with the token that comes along.
    assert instance.post("/v1/leases/renewals", {})["token"] != instance.granted["token"]
    plane.clock.advance(901_000 + 300_000)
    reply = instance.send("POST", "/v1/leases/renewals", {})
    assert (reply.status, reply.code) == (403, "lease_expired")


def test_tokens_of_a_rotated_issuer_last_as_long_as_its_key(plane: Plane) -> None:
    tenant = plane.tenant()
    before = tenant.launch()
    old, new = plane.backend.keyring.issuer(tenant.tenant_id), LocalSigner.generate(KeyRole.ISSUER)
    tenant.post("/v1/keys", rotation(tenant, old, new))
    plane.backend.keyring.add(tenant.tenant_id, new)
    after = tenant.launch()
    assert [one.send("POST", "/v1/ping").status for one in (before, after)] == [200, 200]
    tenant.post("/v1/keys/revocations", tenant.key_revocation(old.key_id))
    reply = before.send("POST", "/v1/ping")
    assert (reply.status, reply.code) == (401, "token_invalid")
    assert after.send("POST", "/v1/ping").status == 200


def rotation(tenant: Tenant, old: Signer, new: LocalSigner) -> dict[str, Any]:
    """The statement by which `new` follows `old` as the issuer."""
    body = Key(
        tenant_id=tenant.tenant_id, key_id=new.key_id, role="issuer", public_key=new.public_key.raw,
        subject="issuer", roles=[], not_before=tenant.now(-60_000), not_after=tenant.now(DAY_MS),
        replaces=old.key_id,
    )  # fmt: skip
    return statement(sign(KEY, body, tenant.root, old))


@pytest.mark.parametrize("claims", [b"", b"{}", b"null", b"[]", b'{"sub":1}', b"\xff"])
def test_malformed_claims_name_nobody_even_by_the_issuer(instance: Instance, claims: bytes) -> None:
    issuer = instance.tenant.plane.backend.keyring.issuer(instance.tenant.tenant_id)
    header = instance.token.split(".")[0]
    body = f"{header}.{urlsafe_b64encode(claims).rstrip(b'=').decode()}"
    signature = urlsafe_b64encode(issuer.sign(body.encode())).rstrip(b"=").decode()
    reply = instance.send("POST", "/v1/ping", token=f"{body}.{signature}")
    assert (reply.status, reply.code) == (401, "token_invalid")


def test_what_is_signed_is_what_was_sent(instance: Instance) -> None:
    """An escaped path and a query are signed as they are on the wire."""
    reply = instance.send("GET", "/v1/revocations?after=0")
    assert reply.status == 200
    reply = instance.send("GET", f"/v1/instances/%{ord(instance.instance_id[0]):x}{instance.instance_id[1:]}")
    assert reply.status == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("ed25519", "hmac-sha256"),
        lambda text: text.replace('"authorization"', '"date"'),
        lambda text: text.replace('"@query" ', ""),
        lambda text: text.replace("dragons=", "sig1="),
        lambda text: text + ";expires=99999999999",
        lambda text: text.upper(),
    ],
)
def test_another_profile_is_refused(instance: Instance, change) -> None:
    plane = instance.tenant.plane
    authorization = f"Bearer {instance.token}"
    made = sign_request(
        Request("POST", "/v1/ping", "", b"", authorization), instance.signer,
        now_ms=plane.clock.now_ms(), nonce=new_nonce(),
    )  # fmt: skip
    made["signature-input"] = change(made["signature-input"])
    reply = plane.send("POST", "/v1/ping", headers={**made, "authorization": authorization})
    assert (reply.status, reply.code) == (401, "proof_malformed")


def test_nothing_of_a_credential_comes_back(instance: Instance) -> None:
    plane = instance.tenant.plane
    for path in ("/v1/ping", "/v1/docks", "/v1/receipts", "/v1/none"):
        reply = instance.send("POST", path, b"{", signer=None)
        assert instance.token.encode() not in reply.content
    token = instance.tenant.tokens["admin"]
    for path in ("/v1/docks", "/v1/leases/renewals", "/v1/instances"):
        assert token.encode() not in plane.send("POST", path, b"{", token=token).content
