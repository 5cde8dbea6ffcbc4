"""A message as senders take it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from dragons.control.messages import Sent, facts_of
from dragons.control.rows import MessageRow


class Message(NamedTuple):
    """What to tell. `message_id` is the same in every attempt; `created_ms` is when it became true."""

    tenant_id: str
    message_id: str
    topic: str
    facts: Mapping[str, Any]
    created_ms: int


class Notifier(Protocol):
    """A channel that can send. It blocks, so it runs in a thread; it never raises for a receiver's fault."""

    def send(self, message: Message) -> Sent: ...


def message_of(row: MessageRow) -> Message:
    """A message of the outbox."""
    return Message(row.tenant_id, row.message_id, row.topic, facts_of(row), row.created_ms)
