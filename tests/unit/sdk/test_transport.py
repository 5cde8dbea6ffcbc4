from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dragons.core.clock import ManualClock
from dragons.core.errors import ConflictError, DragonsError, ForbiddenError, InvalidInputError, StorageError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.identity.proof import Request, parse_input, verify_request
from dragons.sdk import calls
from dragons.sdk.errors import ControlPlaneUnreachable, LimitedError, UnexpectedAnswerError
from dragons.sdk.transport import (
    ApiToken,
    AsyncTransport,
    Call,
    OperatorKey,
    Possession,
    Retries,
    Timeouts,
    Transport,
    query_of,
)
from dragons.wire.authority import Authorize

TENANT = {"tenant_id": "t", "name": "n", "root_fingerprint": "f", "created_at": "c", "receipts": 1}
FAST = Retries(attempts=3, first_s=0.001, longest_s=0.01)
DECISION = calls.authorize(Authorize(session_id="s", action="a:b"))


class Answer:
    def __init__(self, status: int = 200, body: object = TENANT, **headers: str) -> None:
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = {"content-type": "application/json"} | {
            k.replace("_", "-"): v for k, v in headers.items()
        }


def problem(status: int, code: str, **headers: str) -> Answer:
    body = {"type": "t", "title": "t", "status": status, "detail": "what", "code": code, "fix": "fix"}
    return Answer(status, body, content_type="application/problem+json", **headers)


class Server:
    """Answers with what is scripted; after that with the last one. None drops the connection."""

    def __init__(self) -> None:
        self.script: list[Answer | None] = [Answer()]
        self.seen: list[tuple[str, str, bytes, dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.seen.append((self.command, self.path, body, headers))
                answer = server.script.pop(0) if len(server.script) > 1 else server.script[0]
                if answer is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(answer.status)
                for name, value in (answer.headers | {"content-length": str(len(answer.body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do_DELETE = do  # noqa: N815 - the names that the server looks for

            def log_message(self, *_: object) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def transport(server: Server, clock: ManualClock) -> Iterator[Transport]:
    with Transport(server.url, ApiToken("dgt_secret"), clock=clock, retries=FAST) as made:
        yield made


def send_async(url: str, call: Call[Any], clock: ManualClock) -> Any:
    async def send() -> Any:
        made = AsyncTransport(url, ApiToken("dgt_secret"), clock=clock, retries=FAST)
        try:
            return await made.send(call)
        finally:
            await made.close()

    return asyncio.run(send())


def test_a_call_is_answered(server: Server, transport: Transport, clock: ManualClock) -> None:
    assert transport.send(calls.tenant()).name == "n"
    method, path, body, headers = server.seen[0]
    assert (method, path, body) == ("GET", "/v1/tenant", b"")
    assert headers["authorization"] == "Bearer dgt_secret"
    assert send_async(server.url, calls.tenant(), clock).name == "n"


def test_possession_is_proven_for_what_is_sent(server: Server, clock: ManualClock) -> None:
    signer = LocalSigner.generate(KeyRole.INSTANCE)
    server.script = [Answer(body={"allowed": True})]
    with Transport(server.url, Possession("tok", signer), clock=clock) as transport:
        transport.send(DECISION)
        server.script = [Answer(body={"docks": []})]
        transport.send(calls.docks("ä b&c"))
    for method, path, body, headers in server.seen:
        plain, _, query = path.partition("?")
        parsed = parse_input(headers["signature-input"])
        request = Request(method, plain, query, body, headers["authorization"])
        proof = (headers["content-digest"], headers["signature"])
        verify_request(request, proof, parsed, signer.public_key, now_ms=clock.now_ms())
    assert server.seen[1][1].endswith("?agent=%C3%A4+b%26c")


def test_every_attempt_is_signed_anew(server: Server, clock: ManualClock) -> None:
    server.script = [None, problem(503, "store"), Answer()]
    with Transport(
        server.url, Possession("t", LocalSigner.generate(KeyRole.INSTANCE)), clock=clock, retries=FAST
    ) as t:
        t.send(calls.tenant())
    nonces = {parse_input(headers["signature-input"]).nonce for *_, headers in server.seen}
    assert len(nonces) == 3


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (problem(403, "lease_revoked"), (ForbiddenError, 1)),
        (problem(409, "x"), (ConflictError, 1)),
        (problem(422, "x"), (InvalidInputError, 1)),
        (problem(503, "x"), (StorageError, 3)),
        (problem(429, "x"), (LimitedError, 1)),
        (problem(429, "x", retry_after="0.005"), (LimitedError, 3)),
        (problem(429, "x", retry_after="60"), (LimitedError, 1)),
        (Answer(502, b"<html>"), (UnexpectedAnswerError, 3)),
        (Answer(404, b"<html>"), (UnexpectedAnswerError, 1)),
        (Answer(302, b"", location="http://elsewhere"), (UnexpectedAnswerError, 1)),
        (Answer(200, b"not json"), (UnexpectedAnswerError, 1)),
        (Answer(200, {"other": 1}), (UnexpectedAnswerError, 1)),
        (Answer(500, b"{", content_type="application/problem+json"), (UnexpectedAnswerError, 1)),
        (None, (ControlPlaneUnreachable, 3)),
    ],
)
def test_errors_are_typed_and_only_passing_ones_repeated(
    server: Server,
    transport: Transport,
    clock: ManualClock,
    answer: Any,
    expected: tuple[type[DragonsError], int],
) -> None:
    kind, attempts = expected
    server.script = [answer]
    with pytest.raises(kind) as caught:
        transport.send(calls.tenant())
    assert type(caught.value) is kind
    assert len(server.seen) == attempts
    assert "dgt_secret" not in repr(caught.value) + str(caught.value)
    server.seen.clear()
    with pytest.raises(kind):
        send_async(server.url, calls.tenant(), clock)
    assert len(server.seen) == attempts


@pytest.mark.parametrize("answer", [None, problem(503, "store")])
def test_what_may_have_happened_is_not_repeated(server: Server, transport: Transport, answer: Any) -> None:
    server.script = [answer]
    with pytest.raises(DragonsError) as caught:
        transport.send(DECISION)
    assert len(server.seen) == 1
    if isinstance(caught.value, ControlPlaneUnreachable):
        assert caught.value.maybe_recorded


def test_what_never_left_is_repeated(server: Server, clock: ManualClock) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    pauses: list[float] = []
    transport = Transport(url, None, clock=clock, retries=Retries(4, 0.1, 2.0), pause=pauses.append)
    with transport, pytest.raises(ControlPlaneUnreachable) as caught:
        transport.send(DECISION)
    assert not caught.value.maybe_recorded
    assert len(pauses) == 3
    assert all(0.5 * step <= pause <= 1.5 * step for pause, step in zip(pauses, (0.1, 0.2, 0.4), strict=True))


def test_a_server_that_says_nothing_is_unreachable(clock: ManualClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        transport = Transport(url, None, clock=clock, timeouts=Timeouts(1, 0.05, 1, 1), retries=FAST)
        with transport, pytest.raises(ControlPlaneUnreachable) as caught:
            transport.send(DECISION)
    assert caught.value.maybe_recorded


def test_streams(server: Server, transport: Transport) -> None:
    server.script = [Answer(body=b"x" * 100_000)]
    with transport.stream(calls.livez()) as response:
        assert sum(len(chunk) for chunk in response.iter_bytes()) == 100_000
    server.script = [problem(403, "role_forbidden")]
    with pytest.raises(ForbiddenError), transport.stream(calls.livez()):
        pytest.fail("refused")
    server.script = [None]
    with pytest.raises(ControlPlaneUnreachable), transport.stream(calls.livez()):
        pytest.fail("gone")


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://x", "http://", "http://x/path", "http://x?q"])
def test_an_address_is_scheme_host_and_port(url: str, clock: ManualClock) -> None:
    with pytest.raises(InvalidInputError):
        Transport(url, None, clock=clock)


def test_no_credential_goes_through_a_proxy_to_this_machine(
    server: Server, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with Transport(server.url, ApiToken("t"), clock=clock, retries=FAST) as transport:
        assert transport.send(calls.tenant()).name == "n"


def test_an_operator_key_proves_itself_without_a_token(server: Server, clock: ManualClock) -> None:
    signer = LocalSigner.generate(KeyRole.OPERATOR)
    with Transport(server.url, None, clock=clock) as transport:
        transport.send(calls.tenant(), OperatorKey("tnt_1", signer))
    method, path, body, headers = server.seen[0]
    assert headers["authorization"] == f"OperatorKey tnt_1.{signer.key_id}"
    parsed = parse_input(headers["signature-input"])
    assert parsed.key_id == signer.key_id
    request = Request(method, path, "", body, headers["authorization"])
    proof = (headers["content-digest"], headers["signature"])
    verify_request(request, proof, parsed, signer.public_key, now_ms=clock.now_ms())
    assert repr(OperatorKey("tnt_1", signer)) == f"OperatorKey({signer.key_id})"


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(ApiToken("secret"))
    assert "secret" not in repr(Possession("secret", LocalSigner.generate(KeyRole.INSTANCE)))


def test_queries() -> None:
    assert query_of(a=1, b="", c=None, d=False, e=True, f=0) == "a=1&e=true&f=0"
