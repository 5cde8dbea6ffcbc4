"""The load generator: a process of its own that sends prepared requests over keep-alive connections.

Reads its clients as the first line of standard input, then one order a line, and answers each with one
line. Every request carries the workload token and a fresh proof of possession, as the SDK would send it;
they are signed before the clock starts, because agents sign on their own machines. One request is under
way on each connection. Raises when any answer is not the one that was asked for.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from statistics import quantiles
from typing import cast

import msgspec

from bench.claims import claim_of
from bench.event_loop import run
from dragons.authority.lease import Lease
from dragons.core.canonical import decode
from dragons.core.clock import SystemClock
from dragons.core.ids import new_nonce
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import Envelope
from dragons.identity.proof import Request, sign_request
from dragons.sdk.statements import Stating
from dragons.wire.evidence import Claims

PING, RECEIPTS = "/v1/ping", "/v1/receipts"
_RECORDED = {PING: b"{}", RECEIPTS: b'"receipt_id"'}


class Client(msgspec.Struct, frozen=True):
    """One agent: its token, the seed of its key, its lease and its session."""

    token: str
    seed: bytes
    lease: bytes
    session_id: str


class Clients(msgspec.Struct, frozen=True):
    """Where to send, and as whom."""

    host: str
    port: int
    clients: list[Client]


class Order(msgspec.Struct, frozen=True):
    """Send `each` requests to `path` from every client."""

    path: str
    each: int


class Done(msgspec.Struct, frozen=True):
    """How many were answered in how many seconds; latencies in milliseconds."""

    count: int
    seconds: float
    p50_ms: float
    p99_ms: float


class Connection(asyncio.Protocol):
    """Sends its requests one after the other, each when the answer before it is complete."""

    def __init__(self, requests: Sequence[bytes], expected: bytes) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.times: list[float] = []
        self._requests = iter(requests)
        self._expected = expected
        self._received = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's: the connection is open, and waits for `start`."""
        # uvloop's transport has the methods, not the base class.
        self._transport = cast("asyncio.Transport", transport)

    def start(self) -> None:
        """Send the first request."""
        self._next()

    def close(self) -> None:
        """End the connection."""
        assert self._transport is not None
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Asyncio's: a part of an answer."""
        received = self._received = self._received + data
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return
        length = received.find(b"content-length: ")
        end = received.find(b"\r\n", length)
        whole = head + 4 + int(received[length + 16 : end])
        if len(received) < whole:
            return
        self.times.append(time.perf_counter() - self._sent)
        self._received = b""
        if not received.startswith(b"HTTP/1.1 200") or self._expected not in received[head:]:
            self._fail(received)
            return
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio's: the server is gone, too early unless all was answered."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self.done.set_result(None)
            return
        assert self._transport is not None
        self._sent = time.perf_counter()
        self._transport.write(request)

    def _fail(self, received: bytes) -> None:
        if not self.done.done():
            self.done.set_exception(ValueError(received.decode("latin-1")))


def prepare(client: Client, path: str, count: int) -> list[bytes]:
    """`count` signed requests of `client`, ready to be sent within the next minute."""
    signer = LocalSigner.from_seed(client.seed, KeyRole.INSTANCE)
    clock = SystemClock()
    stating = Stating(decode(Lease, client.lease), signer)
    bearer = f"Bearer {client.token}"
    made = []
    for _ in range(count):
        body = b"" if path == PING else _body(claim_of(stating, client.session_id, clock))
        request = Request("POST", path, "", body, bearer)
        headers = sign_request(request, signer, now_ms=clock.now_ms(), nonce=new_nonce())
        lines = [
            f"POST {path} HTTP/1.1", "host: bench", f"authorization: {bearer}",
            "content-type: application/json", f"content-length: {len(body)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]  # fmt: skip
        made.append("\r\n".join([*lines, "", ""]).encode() + body)
    return made


def _body(claim: Envelope) -> bytes:
    return msgspec.json.encode(Claims(claims=[claim]))


async def send(clients: Clients, order: Order) -> Done:
    """Carry out one order; the clock runs from the first request to the last answer."""
    loop = asyncio.get_running_loop()
    expected = _RECORDED[order.path]
    prepared = [prepare(client, order.path, order.each) for client in clients.clients]
    open_ones = [
        (await loop.create_connection(lambda r=r: Connection(r, expected), clients.host, clients.port))[1]  # type: ignore[misc]
        for r in prepared
    ]
    try:
        begin = time.perf_counter()
        for connection in open_ones:
            connection.start()
        await asyncio.gather(*(connection.done for connection in open_ones))
        seconds = time.perf_counter() - begin
    finally:
        for connection in open_ones:
            connection.close()
    times = sorted(taken * 1e3 for connection in open_ones for taken in connection.times)
    percentiles = quantiles(times, n=100, method="inclusive")
    return Done(len(times), seconds, percentiles[49], percentiles[98])


def main() -> None:
    clients = msgspec.json.decode(sys.stdin.buffer.readline(), type=Clients)
    for line in sys.stdin.buffer:
        done = run(send(clients, msgspec.json.decode(line, type=Order)))
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
