"""Durable receipts a second over HTTP, against the same server answering an authenticated no-op.

The server is `dragons up` on a home of its own. 32 clients on keep-alive connections send one claim a
request, each with workload token and proof of possession; `POST /v1/ping` is authenticated in the same
way and does nothing, so the ratio is what appending costs beside what any request costs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
import psutil  # type: ignore[import-untyped]

from bench.figures import Detail, Found, alternate, compare
from bench.load import PING, RECEIPTS, Client, Clients, Done, Order
from bench.plane import Plane, make
from bench.processes import Talk, started
from bench.sizes import Sizes
from dragons.core.canonical import encode

TARGET = 0.4


class Server(NamedTuple):
    """A control plane that answers."""

    host: str
    port: int
    process: psutil.Process

    def processor_seconds(self) -> float:
        """What it has used so far, with all its threads."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


class Ready(msgspec.Struct, frozen=True):
    """What `dragons up` says when it serves; other fields don't matter here."""

    url: str


def measure(sizes: Sizes) -> Found:
    """The rate of receipts beside that of pings, and how long one takes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        plane = make(Path(folder), sizes.http_clients)
        plane.store.close()
        with serving(plane.settings.home) as server:
            clients = Clients(
                server.host, server.port, [_client(plane, n) for n in range(sizes.http_clients)]
            )
            with started([sys.executable, "-m", "bench.load"], os.environ) as generator:
                generator.say(clients)
                return _compare(server, generator, sizes)


def _compare(server: Server, generator: Talk, sizes: Sizes) -> Found:
    done: dict[str, list[Done]] = {PING: [], RECEIPTS: []}
    processor_us: dict[str, list[float]] = {PING: [], RECEIPTS: []}

    def send(path: str, each: int) -> Done:
        generator.say(Order(path, each))
        return generator.hear(Done)

    def go(path: str) -> float:
        before = server.processor_seconds()
        one = send(path, sizes.http_requests_each)
        assert one.count == sizes.http_clients * sizes.http_requests_each
        done[path].append(one)
        processor_us[path].append((server.processor_seconds() - before) * 1e6 / one.count)
        return one.count / one.seconds

    for path in done:
        send(path, 1)
    pair = alternate(sizes.rounds, lambda: go(PING), lambda: go(RECEIPTS))
    line = compare(
        "durable receipts, over HTTP", pair, target=TARGET,
        of=f"{sizes.http_clients} clients, one claim a request, token and proof of possession",
        against="POST /v1/ping with the same authentication",
    )  # fmt: skip
    return Found([line], [
        *(
            Detail(f"{path}, processor time", median(all_of), "µs", "of the server, for one request")
            for path, all_of in processor_us.items()
        ),
        *(Detail(f"{path}, {name}", median(getattr(one, field) for one in all_of), "ms", "latency at this load")
        for path, all_of in done.items()
        for name, field in (("median", "p50_ms"), ("99 %", "p99_ms"))),
    ])  # fmt: skip


def _client(plane: Plane, number: int) -> Client:
    worker = plane.workers[number]
    stating = worker.stating
    return Client(worker.token, stating.signer.seed(), encode(stating.lease), worker.session_id)


@contextmanager
def serving(home: Path, *, node: bool = False) -> Iterator[Server]:
    """`dragons up` on `home`, with a node that carries out dispatches when it is wanted."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")}
    command = [sys.executable, "-m", "dragons.cli", "up", "--port", "0", "-o", "json"]
    command += [] if node else ["--no-node"]
    with started(command, own | {"DRAGONS_HOME": str(home), "DRAGONS_LOG_LEVEL": "warning"}) as talk:
        url = urlsplit(talk.hear(Ready).url)
        assert url.hostname is not None
        assert url.port is not None
        yield Server(url.hostname, url.port, psutil.Process(talk.pid))
