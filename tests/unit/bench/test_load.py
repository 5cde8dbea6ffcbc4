import asyncio
from pathlib import Path

import msgspec
import pytest

from bench.event_loop import run
from bench.load import PING, RECEIPTS, Client, Clients, Order, prepare, send
from bench.over_http import serving
from bench.plane import make, seed_of
from dragons.core.canonical import encode
from dragons.wire.evidence import Claims


def client_of(folder: Path) -> tuple[Client, Path]:
    plane = make(folder, 1)
    plane.store.close()
    worker = plane.workers[0]
    client = Client(worker.token, seed_of(worker), encode(worker.stating.lease), worker.session_id)
    return client, plane.settings.home


def test_requests_are_complete_and_never_the_same(tmp_path: Path) -> None:
    client, _ = client_of(tmp_path)
    one, other = prepare(client, RECEIPTS, 2)
    assert one != other
    head, _, body = one.partition(b"\r\n\r\n")
    assert f"authorization: Bearer {client.token}".encode() in head
    assert f"content-length: {len(body)}".encode() in head
    assert len(msgspec.json.decode(body, type=Claims).claims) == 1
    assert prepare(client, PING, 1)[0].endswith(b"\r\n\r\n")


def test_every_answer_counts(tmp_path: Path) -> None:
    client, home = client_of(tmp_path)
    with serving(home) as server:
        done = run(send(Clients(server.host, server.port, [client]), Order(RECEIPTS, 3)))
    assert done.count == 3
    assert 0 < done.p50_ms <= done.p99_ms <= done.seconds * 1e3


def test_a_refusal_is_an_error_not_a_figure(tmp_path: Path) -> None:
    client, home = client_of(tmp_path)
    stranger = msgspec.structs.replace(client, token="nonsense")
    with serving(home) as server, pytest.raises(ValueError, match=r"HTTP/1\.1 401"):
        run(send(Clients(server.host, server.port, [stranger]), Order(PING, 1)))


def test_a_server_that_hangs_up_is_an_error(tmp_path: Path) -> None:
    client, _ = client_of(tmp_path)

    async def hang_up() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await send(Clients("127.0.0.1", port, [client]), Order(PING, 1))

    with pytest.raises(ConnectionError):
        run(hang_up())
