"""The outbox: put in once, delivered at least once, ended on the record."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dragons.control.messages import (
    AGE_MAX_MS,
    ATTEMPTS_MAX,
    EACH_CHANNEL_MAX,
    FIRST_RETRY_MS,
    LEASE_MS,
    LONGEST_RETRY_MS,
    QUARANTINED,
    TOPICS,
    Channel,
    NoChannels,
    Router,
    Sent,
    enqueue,
    enqueue_test,
    facts_of,
    retry_ms,
    route_messages,
    settle_message,
    take_messages,
    unsent,
)
from dragons.control.rows import MessageRow
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.hashing import sha256_hex
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import Delivery
from tests.support.plane import Plane, Tenancy, assert_sound

HASH = sha256_hex(b"what was sent")
TAKEN = Sent(delivered=True, detail="answered 200", digest=HASH)
REFUSED = Sent(delivered=False, detail="answered 500", digest=HASH)


class Routes:
    """Escalations go to two channels, those about `quiet` to none."""

    def channels(self) -> Sequence[Channel]:
        return [Channel(name, "webhook", "https://x", (QUARANTINED,)) for name in ("chat", "mail")]

    def route(self, topic: str, agent: str) -> tuple[str, ...]:
        return ("chat", "mail") if topic == QUARANTINED and agent != "quiet" else ()


def put(
    tenancy: Tenancy, *, channel: str = "chat", topic: str = QUARANTINED, due_ms: int = 0, **facts: object
) -> str:
    told = {"agent": "reconciler", "reason": "it was silent", **facts}
    return tenancy.plane.write(
        lambda tx: enqueue(tx, tenancy.tenant_id, topic, told, channel=channel, due_ms=due_ms)
    )


def take(tenancy: Tenancy, limit: int = 100, **in_flight: int) -> list[MessageRow]:
    return tenancy.plane.write(
        lambda tx: take_messages(tx, tenancy.issuer, tenancy.tenant_id, limit, in_flight)
    )


def settle(tenancy: Tenancy, row: MessageRow, sent: Sent) -> MessageRow | None:
    return tenancy.plane.write(lambda tx: settle_message(tx, tenancy.issuer, row, sent))


def route(tenancy: Tenancy, router: Router) -> int:
    return tenancy.plane.write(lambda tx: route_messages(tx, tenancy.issuer, router, tenancy.tenant_id, 100))


def message(tenancy: Tenancy, message_id: str) -> MessageRow:
    found = tenancy.plane.read(lambda reader: reader.message(tenancy.tenant_id, message_id))
    assert found is not None
    return found


def everything(tenancy: Tenancy) -> Sequence[MessageRow]:
    return tenancy.plane.read(lambda reader: reader.messages(tenancy.tenant_id))


def deliveries(tenancy: Tenancy) -> list[Delivery]:
    return tenancy.statements(Kind.NOTIFIED, Delivery)


# --- putting in -----------------------------------------------------------------------------------


def test_a_message_waits_for_its_time(plane: Plane, acme: Tenancy) -> None:
    now_ms = acme.now_ms
    later = put(acme, due_ms=now_ms + 5)
    unrouted = put(acme, channel="", due_ms=now_ms + 5)
    assert (message(acme, later).due_ms, message(acme, put(acme, due_ms=1)).due_ms) == (now_ms + 5, now_ms)
    assert len(take(acme)) == 1
    assert route(acme, Routes()) == 0
    plane.clock.advance(5)
    assert [row.message_id for row in take(acme)] == [later]
    assert route(acme, Routes()) == 1
    assert unrouted not in {row.message_id for row in everything(acme)}


def test_what_is_not_known_is_left_out(acme: Tenancy) -> None:
    one = put(acme, nothing=None, empty="", zero=0, nested={"a": ["b"]})
    assert facts_of(message(acme, one)) == {
        "agent": "reconciler", "nested": {"a": ["b"]}, "reason": "it was silent", "zero": 0,
    }  # fmt: skip


def test_an_incident_is_among_the_facts(acme: Tenancy) -> None:
    incident = "inc_" + "1" * 32
    one = acme.plane.write(
        lambda tx: enqueue(tx, acme.tenant_id, "notice", {}, incident_id=incident, channel="chat")
    )
    assert (message(acme, one).incident_id, facts_of(message(acme, one))) == (
        incident,
        {"incident_id": incident},
    )


def test_a_fact_that_is_no_json_is_refused_and_nothing_is_put_in(acme: Tenancy) -> None:
    with pytest.raises(InvalidInputError):
        put(acme, ratio=0.5)
    assert not everything(acme)


# --- routing later --------------------------------------------------------------------------------


def test_a_message_without_a_channel_becomes_one_for_each_of_its_routes(acme: Tenancy) -> None:
    before = message(acme, put(acme, channel=""))
    assert not take(acme)
    assert route(acme, Routes()) == 1
    after = everything(acme)
    assert sorted(row.channel for row in after) == ["chat", "mail"]
    for row in after:
        assert row == replace(before, message_id=row.message_id, channel=row.channel)
    assert before.message_id not in {row.message_id for row in after}
    assert route(acme, Routes()) == 0
    assert len(take(acme)) == 2
    assert not deliveries(acme)


def test_an_escalation_that_reaches_nobody_is_on_the_record(plane: Plane, acme: Tenancy) -> None:
    one = put(acme, channel="")
    route(acme, NoChannels())
    assert (message(acme, one).outcome, message(acme, one).done_ms) == ("failed", plane.clock.now_ms())
    (body,) = deliveries(acme)
    assert (body.outcome, body.channel, body.attempts) == ("failed", "", 0)
    assert body.detail == "no channel is routed for it"


def test_what_nobody_wants_to_know_is_dropped(acme: Tenancy) -> None:
    put(acme, channel="", topic="degraded")
    assert route(acme, Routes()) == 1
    assert not everything(acme)
    assert not deliveries(acme)


def test_routes_are_asked_in_pages(acme: Tenancy) -> None:
    for number in range(5):
        put(acme, channel="", number=number)

    def ask() -> int:
        return acme.plane.write(lambda tx: route_messages(tx, acme.issuer, Routes(), acme.tenant_id, 2))

    assert [ask() for _ in range(4)] == [2, 2, 1, 0]
    assert len(everything(acme)) == 10


# --- claiming -------------------------------------------------------------------------------------


def test_a_claim_holds_for_its_time_and_then_falls_to_the_next(plane: Plane, acme: Tenancy) -> None:
    put(acme)
    (first,) = take(acme)
    assert (first.attempts, first.due_ms) == (1, plane.clock.now_ms() + LEASE_MS)
    # Whoever took it is never heard of again.
    plane.clock.advance(LEASE_MS - 1)
    assert not take(acme)
    plane.reopen()
    plane.clock.advance(1)
    (second,) = take(acme)
    assert second == replace(first, attempts=2, due_ms=plane.clock.now_ms() + LEASE_MS)


def test_the_longest_due_come_first(plane: Plane, acme: Tenancy) -> None:
    made = []
    for number in range(5):
        made.append(put(acme, number=number))
        plane.clock.advance(1)
    assert [row.message_id for row in take(acme, 3)] == made[:3]


def test_a_busy_channel_gets_no_more_and_holds_up_no_other(acme: Tenancy) -> None:
    for _ in range(EACH_CHANNEL_MAX + 2):
        put(acme, channel="chat")
    put(acme, channel="mail")
    assert [row.channel for row in take(acme, chat=EACH_CHANNEL_MAX)] == ["mail"]
    assert len(take(acme, chat=1)) == EACH_CHANNEL_MAX - 1
    assert len(take(acme)) == 3


def test_tenants_have_their_own(acme: Tenancy, globex: Tenancy) -> None:
    put(acme)
    assert not take(globex)
    assert not everything(globex)
    assert len(take(acme)) == 1


# --- settling -------------------------------------------------------------------------------------


def test_a_delivery_is_a_receipt(plane: Plane, acme: Tenancy) -> None:
    acme.ready()
    incident = "inc_" + "1" * 32
    acme.plane.write(
        lambda tx: enqueue(
            tx,
            acme.tenant_id,
            QUARANTINED,
            {"agent": "reconciler"},
            incident_id=incident,
            channel="chat",
        )
    )
    (row,) = take(acme)
    plane.clock.advance(50)
    ended = settle(acme, row, TAKEN)
    assert ended is not None
    assert (ended.outcome, ended.done_ms) == ("delivered", plane.clock.now_ms())
    (body,) = deliveries(acme)
    assert body == Delivery(
        tenant_id=acme.tenant_id, message_id=row.message_id, channel="chat", topic=QUARANTINED, message_hash=HASH,
        outcome="delivered", attempts=1, detail="answered 200", at=acme.now, incident_id=incident,
    )  # fmt: skip
    (header,) = acme.receipts(Kind.NOTIFIED)
    assert header.agent == "reconciler"
    plane.clock.advance(LEASE_MS)
    assert not take(acme)
    assert_sound(plane, acme)


def test_what_is_about_no_agent_names_none(plane: Plane, acme: Tenancy) -> None:
    put(acme, agent=None)
    (row,) = take(acme)
    settle(acme, row, TAKEN)
    (header,) = acme.receipts(Kind.NOTIFIED)
    assert isinstance(header.agent, msgspec.UnsetType)
    assert isinstance(deliveries(acme)[0].incident_id, msgspec.UnsetType)
    assert_sound(plane, acme)


def test_a_failure_is_tried_again_later_and_later(plane: Plane, acme: Tenancy) -> None:
    put(acme)
    waits = []
    for attempt in range(1, ATTEMPTS_MAX):
        (row,) = take(acme)
        after = settle(acme, row, REFUSED)
        assert after is not None
        assert (after.attempts, after.done_ms, after.detail) == (attempt, None, "answered 500")
        waits.append(after.due_ms - plane.clock.now_ms())
        plane.clock.advance(waits[-1] - 1)
        assert not take(acme)
        plane.clock.advance(1)
    assert waits[:3] == [10_000, 20_000, 40_000]
    assert waits[-1] == LONGEST_RETRY_MS
    (row,) = take(acme)
    ended = settle(acme, row, REFUSED)
    assert ended is not None
    assert (ended.outcome, ended.detail) == ("failed", "answered 500")
    (body,) = deliveries(acme)
    assert (body.outcome, body.attempts, body.message_hash) == ("failed", ATTEMPTS_MAX, HASH)
    plane.clock.advance(AGE_MAX_MS)
    assert not take(acme)


@given(st.integers(min_value=1, max_value=10**9))
def test_waits_grow_and_are_bounded(attempts: int) -> None:
    assert FIRST_RETRY_MS <= retry_ms(attempts) <= retry_ms(attempts + 1) <= LONGEST_RETRY_MS


def test_a_day_is_enough(plane: Plane, acme: Tenancy) -> None:
    put(acme)
    take(acme)
    plane.clock.advance(AGE_MAX_MS - FIRST_RETRY_MS)
    (row,) = take(acme)
    again = settle(acme, row, REFUSED)
    assert again is not None
    assert again.outcome == "failed"


def test_a_message_that_nobody_survives_ends_too(plane: Plane, acme: Tenancy) -> None:
    put(acme)
    for _ in range(ATTEMPTS_MAX):
        assert len(take(acme)) == 1
        plane.clock.advance(LEASE_MS)
    assert not take(acme)
    (body,) = deliveries(acme)
    assert (body.outcome, body.detail) == ("failed", "no attempt came to an end")


def test_one_that_waited_long_for_its_first_attempt_gets_it(plane: Plane, acme: Tenancy) -> None:
    put(acme)
    plane.clock.advance(2 * AGE_MAX_MS)
    (row,) = take(acme)
    ended = settle(acme, row, TAKEN)
    assert ended is not None
    assert ended.outcome == "delivered"


def test_only_the_first_end_counts(plane: Plane, acme: Tenancy) -> None:
    put(acme)
    (first,) = take(acme)
    plane.clock.advance(LEASE_MS)
    (second,) = take(acme)
    # The first attempt took longer than its claim; its failure says nothing about the second.
    assert settle(acme, first, REFUSED) is None
    assert message(acme, first.message_id) == second
    assert settle(acme, first, TAKEN) is not None
    assert settle(acme, second, TAKEN) is None
    assert settle(acme, second, REFUSED) is None
    assert [body.attempts for body in deliveries(acme)] == [2]


def test_a_long_detail_is_cut(acme: Tenancy) -> None:
    put(acme)
    (row,) = take(acme)
    settle(acme, row, REFUSED._replace(detail="x" * 1_000))
    assert len(message(acme, row.message_id).detail) == 500


def test_what_was_never_made_is_known_by_its_facts(acme: Tenancy) -> None:
    one = put(acme)
    row = message(acme, one)
    assert unsent(row, "why") == (False, "why", sha256_hex(row.facts))


# --- tests of a channel ---------------------------------------------------------------------------


def test_a_test_message_is_asked_for_once(acme: Tenancy) -> None:
    def ask(channel: str) -> str:
        return acme.plane.write(lambda tx: enqueue_test(tx, Routes(), acme.caller, channel))

    first = ask("chat")
    assert ask("chat") == first
    assert ask("mail") != first
    row = message(acme, first)
    assert (row.topic, row.channel) == ("test", "chat")
    assert facts_of(row) == {"at": acme.now, "requested_by": acme.caller.key_id}
    for taken in take(acme):
        settle(acme, taken, REFUSED)
    assert not take(acme)
    assert ask("chat") == first
    (again,) = take(acme)
    assert (again.message_id, again.attempts, again.detail) == (first, 2, "")
    settle(acme, again, TAKEN)
    assert ask("chat") != first
    with pytest.raises(NotFoundError) as caught:
        ask("pager")
    assert (caught.value.code, "dragons notifiers list" in caught.value.fix) == ("channel_missing", True)


def test_a_home_without_channels_has_none() -> None:
    assert not NoChannels().channels()
    assert not [topic for topic in TOPICS if NoChannels().route(topic, "a")]
