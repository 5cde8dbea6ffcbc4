"""Signed heartbeats a second over HTTP, in batches as a node sends them, against bare Ed25519 verification.

The server is `dragons up` on a home of its own. A few keep-alive connections send batches with a launcher's
token; each heartbeat is signed by its own instance, and the server verifies every signature. The limit is
the verification alone, of messages as long, on one core of the same machine in the same round.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median

import msgspec

from bench.event_loop import run
from bench.figures import Detail, Found, alternate, compare, rate
from bench.load import Connection
from bench.over_http import Server, serving
from bench.plane import Plane, Worker, make
from bench.sizes import Sizes
from dragons.core.clock import Clock
from dragons.core.hashing import sha256_hex
from dragons.core.statement import Envelope
from dragons.liveness.heartbeat import Progress
from dragons.sdk.home import Home
from dragons.wire.liveness import Heartbeats

TARGET = 0.5
CONNECTIONS = 4


def measure(sizes: Sizes) -> Found:
    """The rate of heartbeats beside that of verifying their signatures."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        plane = make(Path(folder), sizes.beat_instances)
        plane.store.close()
        token = Home(plane.settings.home).token(plane.tenant_id)
        with serving(plane.settings.home) as server:
            return _compare(plane, server, token, sizes)


def _compare(plane: Plane, server: Server, token: str, sizes: Sizes) -> Found:
    fleet = _Fleet(plane)
    processor_us: list[float] = []

    def go() -> float:
        # Made before the clock starts: instances sign on their own machines.
        requests = [
            # Each connection has instances of its own: an older heartbeat that comes later does not count.
            [_request(fleet.batch(number), token) for _ in range(sizes.beat_batches)]
            for number in range(CONNECTIONS)
        ]
        count = sizes.beat_batches * len(plane.workers)
        before = server.processor_seconds()
        seconds = run(_send(server, requests, b'"accepted":%d,' % (len(plane.workers) // CONNECTIONS)))
        processor_us.append((server.processor_seconds() - before) * 1e6 / count)
        return count / seconds

    go()
    pair = alternate(sizes.rounds, fleet.limit, go)
    line = compare(
        "signed heartbeats, over HTTP", pair, target=TARGET,
        of=f"batches of {len(plane.workers) // CONNECTIONS} from {CONNECTIONS} connections, every signature verified",
        against="Ed25519 verification alone, one core",
    )  # fmt: skip
    return Found(
        [line],
        [Detail("heartbeat, processor time", median(processor_us), "µs", "of the server, for one heartbeat")],
    )


class _Fleet:
    """The instances, and how many heartbeats each has sent."""

    def __init__(self, plane: Plane) -> None:
        self._workers, self._clock = plane.workers, plane.clock
        self._sent = 0

    def batch(self, number: int) -> list[Envelope]:
        """The next heartbeat of every instance of one connection."""
        self._sent += 1
        return [_beat(worker, self._sent, self._clock) for worker in self._workers[number::CONNECTIONS]]

    def limit(self) -> float:
        """How many of their signatures one core verifies in a second."""
        worker = self._workers[0]
        beat = _beat(worker, 1, self._clock)
        message, signature = beat.pae(), beat.signatures[0].sig
        verify = worker.stating.signer.public_key.verify

        def work() -> None:
            for _ in range(_OPERATIONS):
                assert verify(signature, message)

        return rate(work, _OPERATIONS)


_OPERATIONS = 3_000


def _beat(worker: Worker, sequence: int, clock: Clock) -> Envelope:
    seen = Progress(sequence=sequence, digest=sha256_hex(b"%d" % sequence), source="output")
    return worker.stating.heartbeat(sequence, clock.now_ms(), seen)


def _request(batch: list[Envelope], token: str) -> bytes:
    body = msgspec.json.encode(Heartbeats(heartbeats=batch))
    head = (
        "POST /v1/heartbeats HTTP/1.1\r\nhost: bench\r\n"
        f"authorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _send(server: Server, requests: list[list[bytes]], expected: bytes) -> float:
    loop = asyncio.get_running_loop()
    opened = [
        (await loop.create_connection(lambda r=r: Connection(r, expected), server.host, server.port))[1]  # type: ignore[misc]
        for r in requests
    ]
    begin = time.perf_counter()
    for connection in opened:
        connection.start()
    await asyncio.gather(*(connection.done for connection in opened))
    seconds = time.perf_counter() - begin
    for connection in opened:
        connection.close()
    return seconds
