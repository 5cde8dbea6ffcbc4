"""The live feed of receipts."""

from __future__ import annotations

from dragons.api.feed import MEDIA_TYPE, Feed, FeedResponse, last_event_id
from dragons.api.operation import Call, Operation
from dragons.api.query import EventQuery


async def feed(call: Call[EventQuery]) -> FeedResponse:
    """Every receipt after a seq, then every new one; `Last-Event-ID` resumes."""
    after = last_event_id(call.headers.get(b"last-event-id"), call.input.after)
    backend, authorization = call.backend, call.authorization
    one = Feed(backend, call.caller.tenant_id, after, lambda: call.authenticator.identify(authorization))
    return FeedResponse(one, backend.bell)


OPERATIONS = (Operation("events.feed", "GET", "/v1/events", feed, EventQuery, MEDIA_TYPE),)
