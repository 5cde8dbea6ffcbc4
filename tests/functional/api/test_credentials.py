"""A captured request does nothing a second time, a stolen token nothing at all."""

from __future__ import annotations

import pytest

from dragons.core.ids import new_nonce
from dragons.identity.proof import Request, sign_request
from tests.support.server import Instance, Plane


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
