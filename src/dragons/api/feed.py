"""The event feed: a tenant's receipts by seq as server-sent events, resumed where a client stopped.

Reads the ledger itself, so nothing is lost or repeated; a bell only says when to look. Ends cleanly
on shutdown and when its credential ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dragons.api import ledger_views
from dragons.api.backend import Backend
from dragons.api.bell import Bell
from dragons.api.waiting import heard
from dragons.control.ports import Filter, Reader
from dragons.core.canonical import INT_MAX
from dragons.core.errors import DragonsError, InvalidInputError, UnauthenticatedError
from dragons.wire.evidence import Receipts, ReceiptView

MEDIA_TYPE = "text/event-stream"
PAGE = 200
# A comment now and then shows a proxy, and us, whether the other side is still there.
SILENCE_MS_MAX = 15_000
_COMMENT = b":\n\n"


def last_event_id(header: bytes | None, after: int) -> int:
    """Where to go on: after the last event that the client saw, else `after`."""
    if header is None:
        return after
    if not header.isdigit() or len(header) > len(str(INT_MAX)) or int(header) > INT_MAX:
        raise InvalidInputError("last_event_id_malformed", "Last-Event-ID is not the seq of a receipt.")
    return int(header)


def event_of(view: ReceiptView) -> bytes:
    """One event; JSON without line breaks is one `data` line."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (view.seq, view.kind.encode(), msgspec.json.encode(view))


class Feed:
    """One open feed. `check` raises when the credential it was opened with has ended."""

    def __init__(self, backend: Backend, tenant_id: str, after: int, check: Callable[[], object]) -> None:
        self._backend = backend
        self._tenant_id = tenant_id
        self._after = after
        self._check = check

    def _page(self, reader: Reader) -> Receipts:
        return ledger_views.receipts(reader, self._tenant_id, Filter(after=self._after, limit=PAGE))

    async def parts(self, rung: asyncio.Event) -> AsyncIterator[bytes]:
        """Events and comments, until the server stops or the credential ends."""
        backend = self._backend
        spoken_ms = backend.clock.boot_ms()
        yield _COMMENT
        while not backend.bell.stopped:
            rung.clear()
            try:
                self._check()
            except UnauthenticatedError:
                return
            page = await backend.read(self._page)
            if page.receipts:
                self._after = page.receipts[-1].seq
                yield b"".join(event_of(view) for view in page.receipts)
            elif backend.clock.boot_ms() - spoken_ms >= SILENCE_MS_MAX:
                yield _COMMENT
            else:
                await heard(rung, backend.settings.feed_poll_seconds)
                continue
            spoken_ms = backend.clock.boot_ms()


class FeedResponse(Response):
    """Streams a feed. Joins the bell when it is made, so that a feed too many is answered with a problem."""

    def __init__(self, feed: Feed, bell: Bell) -> None:
        super().__init__(
            media_type=MEDIA_TYPE, headers={"cache-control": "no-store", "x-accel-buffering": "no"}
        )
        del self.headers["content-length"]
        self._feed = feed
        self._bell = bell
        self._rung = bell.join()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the feed ends or the client leaves."""
        del scope
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            sending = asyncio.ensure_future(self._send(send))
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await sending
            else:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        finally:
            gone.cancel()
            self._bell.leave(self._rung)

    async def _send(self, send: Send) -> None:
        try:
            async for part in self._feed.parts(self._rung):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except DragonsError:
            # The store failed: the client resumes from the last event that it saw.
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
