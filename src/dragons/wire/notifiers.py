"""Channels and messages to people on the wire. No address, secret or fact is in any of them."""

from __future__ import annotations

from dragons.wire.base import Response


class NotifierView(Response):
    """A channel and what became of the newest message to it; `where` is host and port, or mail addresses.

    `last_outcome` is delivered, failed or empty; `waiting` counts messages that have not ended, among the
    newest 1,000.
    """

    name: str
    type: str
    where: str
    topics: list[str]
    waiting: int
    last_outcome: str
    last_at: str
    last_detail: str


class Notifiers(Response):
    notifiers: list[NotifierView]


class MessageView(Response):
    """A message of the outbox. `status` is waiting, delivered or failed.

    `channel` is empty until the routes were asked; `next_at` is when a waiting one is tried.
    """

    message_id: str
    channel: str
    topic: str
    agent: str
    incident_id: str
    status: str
    attempts: int
    detail: str
    created_at: str
    done_at: str
    next_at: str


class Messages(Response):
    """The newest first."""

    messages: list[MessageView]


class Queued(Response):
    """A message was put into the outbox, or waited there already."""

    message_id: str
