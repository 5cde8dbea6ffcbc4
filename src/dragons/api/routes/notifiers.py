"""Channels, the messages that went to them, and a test message."""

from __future__ import annotations

from collections.abc import Sequence

from dragons.api.operation import Call, Operation
from dragons.api.query import MessageQuery
from dragons.control.messages import Channel, enqueue_test, facts_of
from dragons.control.ports import Reader
from dragons.control.rows import MessageRow
from dragons.core.clock import format_time
from dragons.core.errors import NotFoundError
from dragons.wire.base import Empty
from dragons.wire.notifiers import Messages, MessageView, Notifiers, NotifierView, Queued

# As many of the newest messages are looked at for what became of a channel's last.
_LOOKED_AT = 1_000
_WAITING = "waiting"


async def list_notifiers(call: Call[Empty]) -> Notifiers:
    """Every channel of the control plane, and what became of the tenant's newest message to it."""
    channels = call.backend.router.channels()

    def job(reader: Reader) -> Notifiers:
        known = reader.messages(call.caller.tenant_id, limit=_LOOKED_AT)
        return Notifiers(notifiers=[_channel(one, known) for one in channels])

    return await call.read(job)


async def send_test(call: Call[Empty]) -> Queued:
    """Put a test message into the outbox; one that still waits is tried again now."""
    channel, router = call.path["channel"], call.backend.router
    return Queued(message_id=await call.write(lambda tx: enqueue_test(tx, router, call.caller, channel)))


async def list_messages(call: Call[MessageQuery]) -> Messages:
    """The tenant's newest messages, or those of one incident."""
    wanted, tenant_id = call.input, call.caller.tenant_id
    incident_id = wanted.incident_id or None
    return await call.read(
        lambda reader: Messages(
            messages=[
                message(row)
                for row in reader.messages(tenant_id, incident_id=incident_id, limit=wanted.limit)
            ]
        )
    )


async def show_message(call: Call[Empty]) -> MessageView:
    """One message and what became of it."""
    message_id, tenant_id = call.path["message_id"], call.caller.tenant_id
    row = await call.read(lambda reader: reader.message(tenant_id, message_id))
    if row is None:
        raise NotFoundError(
            "message_missing",
            f"There is no message {message_id}.",
            fix="`dragons notifiers messages` lists the newest.",
        )
    return message(row)


def message(row: MessageRow) -> MessageView:
    """A message without its facts, but for the agent."""
    over = row.done_ms is not None
    return MessageView(
        message_id=row.message_id,
        channel=row.channel,
        topic=row.topic,
        agent=str(facts_of(row).get("agent", "")),
        incident_id=row.incident_id,
        status=row.outcome if over else _WAITING,
        attempts=row.attempts,
        detail=row.detail,
        created_at=format_time(row.created_ms),
        done_at="" if row.done_ms is None else format_time(row.done_ms),
        next_at="" if over else format_time(row.due_ms),
    )


def _channel(channel: Channel, known: Sequence[MessageRow]) -> NotifierView:
    own = [row for row in known if row.channel == channel.name]
    ended = [row for row in own if row.done_ms is not None]
    last = max(ended, key=lambda row: row.done_ms or 0, default=None)
    return NotifierView(
        name=channel.name,
        type=channel.type,
        where=channel.where,
        topics=list(channel.topics),
        waiting=len(own) - len(ended),
        last_outcome="" if last is None else last.outcome,
        last_at="" if last is None else format_time(last.done_ms or 0),
        last_detail="" if last is None else last.detail,
    )


OPERATIONS = (
    Operation("notifiers.list", "GET", "/v1/notifiers", list_notifiers, answer=Notifiers),
    Operation("notifiers.test", "POST", "/v1/notifiers/{channel}/tests", send_test, answer=Queued),
    Operation("messages.list", "GET", "/v1/messages", list_messages, MessageQuery, Messages),
    Operation("messages.show", "GET", "/v1/messages/{message_id}", show_message, answer=MessageView),
)
