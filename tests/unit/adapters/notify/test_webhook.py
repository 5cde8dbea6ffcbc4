"""A webhook is signed over what arrives, and a repetition is the same message."""

from __future__ import annotations

from dragons.adapters.notify.post import Receiver
from dragons.adapters.notify.signing import parse_secrets
from dragons.adapters.notify.templates import BUILT_IN
from dragons.adapters.notify.webhook import Webhook, webhook_body
from dragons.core.canonical import canonical, parse_canonical
from dragons.core.clock import ManualClock
from dragons.core.hashing import sha256_hex
from tests.support.receivers import SECRET, HttpReceiver, http_receiver
from tests.unit.adapters.notify.messages import AT_MS, FACTS, MESSAGE, TENANT, message


def webhook(receiver: HttpReceiver, clock: ManualClock | None = None) -> Webhook:
    return Webhook(Receiver(receiver.url), parse_secrets(SECRET), BUILT_IN, clock or ManualClock())


def test_a_receiver_can_check_it() -> None:
    with http_receiver() as receiver:
        sent = webhook(receiver).send(message())
    (got,) = receiver.posts
    assert sent == (True, "answered 200", sha256_hex(got.body))
    assert got.is_signed()
    assert got.json["type"] == "dragons.quarantined"
    assert got.json["timestamp"] == "2027-01-15T08:00:00.000Z"
    data = got.json["data"]
    assert data | {"message_id": MESSAGE, "tenant_id": TENANT} | FACTS == data
    assert data["subject"] == "[Dragons] reconciler is quarantined"
    got.body += b" "
    assert not got.is_signed()


def test_an_attempt_is_dated_and_the_message_stays_the_same() -> None:
    clock = ManualClock(AT_MS + 1_999)
    with http_receiver(500, 200) as receiver:
        made = webhook(receiver, clock)
        first = made.send(message())
        clock.advance(60_000)
        second = made.send(message())
    assert (first.delivered, first.detail, second.delivered) == (False, "answered 500", True)
    assert first.digest == second.digest
    one, two = receiver.posts
    assert one.body == two.body
    assert one.headers["webhook-id"] == two.headers["webhook-id"] == MESSAGE
    seconds = AT_MS // 1000
    assert [post.headers["webhook-timestamp"] for post in receiver.posts] == [
        f"{seconds + 1}",
        f"{seconds + 61}",
    ]
    assert all(post.is_signed() for post in receiver.posts)


def test_the_body_is_canonical_and_carries_what_is_nested() -> None:
    handover = {"epoch": 3, "instance_id": "4" * 32, "progress_sequence": 12}
    body = webhook_body(message("order", order_id="ord_1", kind="start", handover=handover), BUILT_IN)
    found = parse_canonical(body)
    assert canonical(found) == body
    assert found["data"]["handover"] == handover
