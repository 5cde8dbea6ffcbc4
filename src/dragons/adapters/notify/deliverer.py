"""Delivers the outbox while the control plane serves: claims, sends in threads, settles.

Any number of control planes may deliver the same outbox; one that dies leaves its claims to the others.
A channel has at most `EACH_CHANNEL_MAX` sends under way, so one that hangs holds up only itself. Never
waits for a send on the event loop, and never logs what was sent or where to.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

import structlog

from dragons.adapters.notify.build import Notifiers
from dragons.adapters.notify.message import Notifier, message_of
from dragons.control.messages import (
    EACH_CHANNEL_MAX,
    Sent,
    route_messages,
    settle_message,
    take_messages,
    unsent,
)
from dragons.control.ports import Keyring, Reader, Transaction
from dragons.control.rows import MessageRow
from dragons.core.canonical import INT_MAX
from dragons.core.errors import DragonsError

T = TypeVar("T")

POLL_SECONDS = 1.0
# Less than a claim lasts, so that a late answer is settled before anybody else tries.
SEND_SECONDS_MAX = 45.0
ROUND_MAX = 256

_log = structlog.get_logger("dragons.notify")


class Desk(Protocol):
    """The store, as an event loop asks it."""

    async def read(self, job: Callable[[Reader], T]) -> T: ...
    async def write(self, job: Callable[[Transaction], T]) -> T: ...


class Deliverer:
    """One per process. `run` goes on until it is cancelled."""

    def __init__(
        self,
        desk: Desk,
        keyring: Keyring,
        notifiers: Notifiers,
        *,
        poll_seconds: float = POLL_SECONDS,
        send_seconds_max: float = SEND_SECONDS_MAX,
    ) -> None:
        self._desk = desk
        self._keyring = keyring
        self._notifiers = notifiers
        self._poll_seconds = poll_seconds
        self._send_seconds_max = send_seconds_max
        self._in_flight: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Deliver until cancelled; a round that fails is logged and tried again."""
        try:
            while True:
                started = 0
                try:
                    started = await self.round()
                except DragonsError as error:
                    _log.error("delivery_failed", code=error.code, detail=error.message)
                except Exception:  # noqa: BLE001 - whatever it is, the next round may succeed
                    _log.exception("delivery_failed")
                if not started:
                    await self._pause()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def round(self) -> int:
        """Claim what is due of every tenant and start sending it; how many were started."""
        full = tuple(name for name, count in self._in_flight.items() if count >= EACH_CHANNEL_MAX)

        def waiting(reader: Reader) -> Sequence[str]:
            # Whatever waits: what is due is for the transaction's time to say, which may be ahead of ours.
            names = (row.tenant_id for row in reader.tenants())
            return [name for name in names if reader.messages_due(name, INT_MAX, 1, without=full)]

        started = 0
        for tenant_id in await self._desk.read(waiting):
            try:
                rows = await self._desk.write(self._claim(tenant_id))
            except DragonsError as error:
                _log.error("delivery_failed", tenant_id=tenant_id, code=error.code, detail=error.message)
            except Exception:  # noqa: BLE001 - one tenant must not keep the others from being told
                _log.exception("delivery_failed", tenant_id=tenant_id)
            else:
                started += len(rows)
                self._start(rows)
        return started

    async def idle(self) -> None:
        """Return when every send that is under way has come to an end."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, rows: Sequence[MessageRow]) -> None:
        for row in rows:
            self._in_flight[row.channel] += 1
            task = asyncio.create_task(self._deliver(row))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _claim(self, tenant_id: str) -> Callable[[Transaction], list[MessageRow]]:
        issuer, in_flight = self._keyring.issuer(tenant_id), dict(self._in_flight)

        def job(tx: Transaction) -> list[MessageRow]:
            while route_messages(tx, issuer, self._notifiers, tenant_id, ROUND_MAX) == ROUND_MAX:
                pass
            return take_messages(tx, issuer, tenant_id, ROUND_MAX, in_flight)

        return job

    async def _deliver(self, row: MessageRow) -> None:
        sending: asyncio.Future[Sent] | None = None
        try:
            sender = self._notifiers.sender(row.channel)
            if sender is None:
                sent = unsent(row, "there is no such channel any more")
            else:
                sending = _in_thread(lambda: _attempt(sender, row))
                done, _ = await asyncio.wait({sending}, timeout=self._send_seconds_max)
                sent = sending.result() if done else unsent(row, "it took too long")
            await self._settle(row, sent)
            if sending is not None:
                # One that still hangs keeps its place among those of its channel.
                await asyncio.wait({sending})
        except DragonsError as error:
            # It stays claimed, and is sent again.
            _log.error("delivery_unsettled", message_id=row.message_id, code=error.code)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("delivery_unsettled", message_id=row.message_id)
        finally:
            self._in_flight[row.channel] -= 1
            self._wake.set()

    async def _settle(self, row: MessageRow, sent: Sent) -> None:
        issuer = self._keyring.issuer(row.tenant_id)
        after = await self._desk.write(lambda tx: settle_message(tx, issuer, row, sent))
        if after is None:
            return
        facts = {
            "message_id": row.message_id,
            "channel": row.channel,
            "topic": row.topic,
            "attempts": after.attempts,
            "detail": sent.detail,
        }
        if sent.delivered:
            _log.info("message_delivered", **facts)
        else:
            _log.warning("message_given_up" if after.done_ms else "message_not_delivered", **facts)

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll_seconds):
                await self._wake.wait()
        self._wake.clear()


def _attempt(sender: Notifier, row: MessageRow) -> Sent:
    try:
        return sender.send(message_of(row))
    except Exception as error:  # noqa: BLE001 - one message that can't be made must not stop the others
        # Its text may hold what must not be told.
        return unsent(row, f"could not be made: {type(error).__name__}")


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """The result of `work`, done in a thread that nobody waits for when the process ends."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        result = work()
        # The loop may have ended meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, future, result)

    threading.Thread(target=run, name="dragons-notify", daemon=True).start()
    return future


def _resolve(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)
