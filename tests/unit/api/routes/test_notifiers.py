"""Channels, messages and tests of a channel over HTTP."""

from __future__ import annotations

from dragons.control.messages import Sent, settle_message, take_messages
from dragons.core.ids import new_id
from tests.support.server import CHANNEL, WEBHOOK_SECRET, Tenant

WAIT_SECONDS = 20


def deliver(tenant: Tenant, sent: Sent) -> None:
    """What the deliverer does, with a receiver that answers as `sent` says."""
    backend = tenant.plane.backend
    issuer = backend.keyring.issuer(tenant.tenant_id)
    taken = backend.store.write(lambda tx: take_messages(tx, issuer, tenant.tenant_id, 10)).result(
        WAIT_SECONDS
    )
    for row in taken:
        backend.store.write(lambda tx, row=row: settle_message(tx, issuer, row, sent)).result(WAIT_SECONDS)


def test_a_test_message_is_followed_to_its_end(tenant: Tenant) -> None:
    (channel,) = tenant.get("/v1/notifiers")["notifiers"]
    assert channel == {
        "name": CHANNEL, "type": "webhook", "where": "http://127.0.0.1:9", "topics": ["quarantined"],
        "waiting": 0, "last_outcome": "", "last_at": "", "last_detail": "",
    }  # fmt: skip
    message_id = tenant.post(f"/v1/notifiers/{CHANNEL}/tests", {})["message_id"]
    assert tenant.post(f"/v1/notifiers/{CHANNEL}/tests", {})["message_id"] == message_id
    waiting = tenant.get(f"/v1/messages/{message_id}")
    assert (waiting["status"], waiting["attempts"], waiting["topic"]) == ("waiting", 0, "test")
    assert waiting["next_at"]
    assert tenant.get("/v1/notifiers")["notifiers"][0]["waiting"] == 1
    deliver(tenant, Sent(delivered=False, detail="answered 500", digest="0" * 64))
    again = tenant.get(f"/v1/messages/{message_id}")
    assert (again["status"], again["attempts"], again["detail"]) == ("waiting", 1, "answered 500")
    tenant.plane.clock.advance(10_000)
    deliver(tenant, Sent(delivered=True, detail="answered 200", digest="0" * 64))
    ended = tenant.get(f"/v1/messages/{message_id}")
    assert (ended["status"], ended["attempts"], ended["next_at"]) == ("delivered", 2, "")
    (channel,) = tenant.get("/v1/notifiers")["notifiers"]
    assert (channel["waiting"], channel["last_outcome"], channel["last_at"], channel["last_detail"]) == (
        0, "delivered", ended["done_at"], "answered 200",
    )  # fmt: skip
    assert tenant.get("/v1/messages")["messages"][0] == ended
    receipts = tenant.get("/v1/receipts?kind=notified")["receipts"]
    assert len(receipts) == 1


def test_messages_of_an_incident_are_its_own(tenant: Tenant) -> None:
    tenant.post(f"/v1/notifiers/{CHANNEL}/tests", {})
    assert tenant.get("/v1/messages?limit=1")["messages"]
    assert not tenant.get(f"/v1/messages?incident_id={tenant.name('inc')}")["messages"]


def test_what_is_not_there_is_said(tenant: Tenant) -> None:
    reply = tenant.send("POST", "/v1/notifiers/pager/tests", {})
    assert (reply.status, reply.code) == (404, "channel_missing")
    reply = tenant.send("GET", f"/v1/messages/{new_id('msg', 0)}")
    assert (reply.status, reply.code) == (404, "message_missing")


def test_another_tenants_messages_are_not_there(tenant: Tenant) -> None:
    message_id = tenant.post(f"/v1/notifiers/{CHANNEL}/tests", {})["message_id"]
    other = tenant.plane.tenant("other")
    assert other.send("GET", f"/v1/messages/{message_id}").status == 404
    assert not other.get("/v1/messages")["messages"]
    assert other.get("/v1/notifiers")["notifiers"][0]["waiting"] == 0


def test_no_answer_holds_a_secret(tenant: Tenant) -> None:
    tenant.post(f"/v1/notifiers/{CHANNEL}/tests", {})
    for path in ("/v1/notifiers", "/v1/messages"):
        content = tenant.send("GET", path).content
        assert b"hidden" not in content
        assert WEBHOOK_SECRET.encode() not in content
