"""The outbox: what people and other programs are to be told, put in with the change that it tells about.

Delivery is at least once: a message is claimed for `LEASE_MS`, and whoever claimed it and died leaves it
to the next. Its id never changes, so a receiver knows a repetition. Every message ends on the record, as
delivered or as given up. Never knows an address or a secret: channels are names here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from dragons.control.caller import Caller
from dragons.control.ports import About, Transaction
from dragons.control.rows import MessageRow
from dragons.core.canonical import canonical
from dragons.core.clock import format_time
from dragons.core.errors import NotFoundError
from dragons.core.hashing import sha256_hex
from dragons.core.ids import MESSAGE, new_id
from dragons.core.keys import Signer
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import DELIVERY, Delivery

QUARANTINED = "quarantined"
TEST = "test"
TOPICS = (
    QUARANTINED, "degraded", "autohealing", "recovered", "stopped", "released", "order", "notice", TEST,
)  # fmt: skip

DELIVERED, FAILED = "delivered", "failed"

LEASE_MS = 60_000
FIRST_RETRY_MS = 10_000
LONGEST_RETRY_MS = 30 * 60 * 1000
ATTEMPTS_MAX = 20
AGE_MAX_MS = 24 * 3600 * 1000
EACH_CHANNEL_MAX = 4
_DETAIL_MAX = 500
# How far back a test that still waits is looked for.
_RECENT = 100


class Channel(NamedTuple):
    """A channel as it may be shown: `where` holds no secret; `topics` are those that are routed to it."""

    name: str
    type: str
    where: str
    topics: tuple[str, ...]


class Router(Protocol):
    """Which channels there are, and which of them a message goes to."""

    def channels(self) -> Sequence[Channel]: ...
    def route(self, topic: str, agent: str) -> tuple[str, ...]: ...


class Sent(NamedTuple):
    """How an attempt ended. `detail` names no address and no secret; `digest` is SHA-256 of what was sent."""

    delivered: bool
    detail: str
    digest: str


class NoChannels:
    """The router of a control plane without a channel."""

    def channels(self) -> Sequence[Channel]:
        return ()

    def route(self, topic: str, agent: str) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's shape
        return ()


def enqueue(
    tx: Transaction,
    tenant_id: str,
    topic: str,
    facts: Mapping[str, object],
    *,
    incident_id: str = "",
    channel: str = "",
    due_ms: int = 0,
) -> str:
    """Put a message into the outbox for `channel`, or for whom the routes say; its id.

    Without a channel `route_messages` decides later, by the topic and by `agent` among the facts. Facts are
    JSON values without floats; one that is None or empty is left out. It is not delivered before `due_ms`.
    """
    told = {**facts, "incident_id": incident_id} if incident_id else facts
    encoded = canonical({name: value for name, value in told.items() if value is not None and value != ""})
    row = MessageRow(
        tenant_id=tenant_id,
        message_id=new_id(MESSAGE, tx.now_ms),
        channel=channel,
        topic=topic,
        facts=encoded,
        created_ms=tx.now_ms,
        due_ms=max(tx.now_ms, due_ms),
        incident_id=incident_id,
    )
    tx.put_message(row)
    return row.message_id


def enqueue_test(tx: Transaction, router: Router, caller: Caller, channel: str) -> str:
    """The id of a test message to `channel`; one that still waits is tried again now instead of doubled."""
    if channel not in {one.name for one in router.channels()}:
        raise NotFoundError(
            "channel_missing",
            f"There is no channel {channel!r}.",
            fix="`dragons notifiers list` shows the channels; notifiers.yaml configures them.",
        )
    for row in tx.messages(caller.tenant_id, limit=_RECENT):
        if row.topic == TEST and row.channel == channel and row.done_ms is None:
            if row.detail:
                tx.put_message(replace(row, due_ms=tx.now_ms, detail=""))
            return row.message_id
    facts = {"at": format_time(tx.now_ms), "requested_by": caller.key_id}
    return enqueue(tx, caller.tenant_id, TEST, facts, channel=channel)


def facts_of(row: MessageRow) -> dict[str, Any]:
    """What a message tells."""
    found: dict[str, Any] = msgspec.json.decode(row.facts, type=dict[str, Any])
    return found


def route_messages(tx: Transaction, issuer: Signer, router: Router, tenant_id: str, limit: int) -> int:
    """Replace messages without a channel by one for each channel of their routes; how many there were.

    One that no route leads anywhere is dropped, but an escalation is given up on the record: nobody was told.
    """
    rows = tx.messages_due(tenant_id, tx.now_ms, limit, channel="")
    for row in rows:
        names = router.route(row.topic, str(facts_of(row).get("agent", "")))
        for name in names:
            tx.put_message(replace(row, message_id=new_id(MESSAGE, tx.now_ms), channel=name))
        if not names and row.topic == QUARANTINED:
            _end(tx, issuer, row, FAILED, unsent(row, "no channel is routed for it"))
        else:
            tx.drop_message(tenant_id, row.message_id)
    return len(rows)


def take_messages(
    tx: Transaction,
    issuer: Signer,
    tenant_id: str,
    limit: int,
    in_flight: Mapping[str, int] | None = None,
) -> list[MessageRow]:
    """Claim up to `limit` messages whose time has come; each is due again after `LEASE_MS`.

    `in_flight` counts the caller's own unfinished sends by channel: no channel gets more than
    `EACH_CHANNEL_MAX` at once, so that one which hangs holds up only itself.
    """
    busy = Counter(in_flight or {})
    full = [name for name, count in busy.items() if count >= EACH_CHANNEL_MAX]
    taken: list[MessageRow] = []
    for row in tx.messages_due(tenant_id, tx.now_ms, limit, without=("", *full)):
        if busy[row.channel] >= EACH_CHANNEL_MAX:
            continue
        if row.attempts and _exhausted(row, tx.now_ms):
            _end(tx, issuer, row, FAILED, unsent(row, row.detail or "no attempt came to an end"))
            continue
        busy[row.channel] += 1
        taken.append(replace(row, due_ms=tx.now_ms + LEASE_MS, attempts=row.attempts + 1))
        tx.put_message(taken[-1])
    return taken


def settle_message(tx: Transaction, issuer: Signer, row: MessageRow, sent: Sent) -> MessageRow | None:
    """Note how an attempt ended, `row` being as `take_messages` gave it; None when it is settled already."""
    known = tx.message(row.tenant_id, row.message_id)
    if known is None or known.done_ms is not None:
        return None
    if sent.delivered:
        return _end(tx, issuer, known, DELIVERED, sent)
    if known.attempts != row.attempts:
        # It took longer than its claim, and another attempt is under way.
        return None
    due_ms = tx.now_ms + retry_ms(known.attempts)
    if _exhausted(known, due_ms):
        return _end(tx, issuer, known, FAILED, sent)
    waiting = replace(known, due_ms=due_ms, detail=sent.detail[:_DETAIL_MAX])
    tx.put_message(waiting)
    return waiting


def retry_ms(attempts: int) -> int:
    """How long to wait after the attempt of this number, counted from 1."""
    return min(LONGEST_RETRY_MS, FIRST_RETRY_MS << min(attempts - 1, 30))


def _exhausted(row: MessageRow, at_ms: int) -> bool:
    return row.attempts >= ATTEMPTS_MAX or at_ms - row.created_ms > AGE_MAX_MS


def unsent(row: MessageRow, detail: str) -> Sent:
    """The end of an attempt in which nothing was made to send; its digest is that of the facts."""
    return Sent(delivered=False, detail=detail, digest=sha256_hex(row.facts))


def _end(tx: Transaction, issuer: Signer, row: MessageRow, outcome: str, sent: Sent) -> MessageRow:
    """A message is over, on the record."""
    ended = replace(row, done_ms=tx.now_ms, outcome=outcome, detail=sent.detail[:_DETAIL_MAX])
    tx.put_message(ended)
    body = Delivery(
        tenant_id=row.tenant_id,
        message_id=row.message_id,
        channel=row.channel,
        topic=row.topic,
        message_hash=sent.digest,
        outcome=outcome,
        attempts=row.attempts,
        detail=ended.detail,
        at=format_time(tx.now_ms),
        incident_id=row.incident_id or msgspec.UNSET,
    )
    agent = facts_of(row).get("agent")
    about = About(agent=agent) if isinstance(agent, str) and agent else About()
    tx.append(row.tenant_id, Kind.NOTIFIED, sign(DELIVERY, body, issuer), about)
    return ended
