"""The dispatcher: what every request goes through before, and after, the function that answers it.

In this order: declared at all, authenticated, permitted by role, body within its limit, possession
proven, rate, well-formed input, the handler, encoding. A route that is not an operation of the
table is denied. Never logs a body, a query or a credential.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import structlog
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from dragons.api import access
from dragons.api.authentication import (
    Authenticator,
    Identified,
    Proof,
    parse_proof,
)
from dragons.api.backend import Backend
from dragons.api.limits import RateLimiter, read_body
from dragons.api.operation import Call, Operation
from dragons.api.problems import internal_response, problem_response
from dragons.api.query import parse_query
from dragons.api.tracing import Tracing, Value, trace_context
from dragons.control.caller import Caller
from dragons.core.errors import DragonsError, ForbiddenError, UnauthenticatedError
from dragons.core.ids import uuid7_hex
from dragons.core.vocabulary import Role
from dragons.identity import proof
from dragons.wire.base import Empty, decode

_ANYONE = Identified(Caller("", Role.ANYONE), "")
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
# The headers that decide something; a second one of the same name could decide otherwise.
_READ = frozenset({b"authorization", b"content-digest", b"signature", b"signature-input", b"last-event-id"})
_CLIENT_CLOSED = 499
_SERVER_ERROR = 500

_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger("dragons.api")


class Dispatcher:
    """One per application; holds the operations by name."""

    def __init__(self, backend: Backend, operations: Iterable[Operation]) -> None:
        settings = backend.settings
        self._backend = backend
        self._operations = {operation.name: operation for operation in operations}
        self._authenticator = Authenticator(
            backend.store,
            backend.clock,
            tokens_max=settings.credentials_max,
            nonces_max=settings.nonces_max,
        )
        self._rates = RateLimiter(settings.rate_per_second, settings.rate_burst, settings.credentials_max)

    async def answer(self, name: str, request: Request) -> Response:
        """The response of the operation `name`; every failure is a problem. It is counted and timed."""
        clock, tracing = self._backend.clock, self._backend.tracing
        begun_ms = clock.boot_ms()
        if tracing.wanted:
            response, code = await self._traced(tracing, name, request)
        else:
            response, code = await self._response(name, request)
        self._backend.measures.request(name, response.status_code, code, clock.boot_ms() - begun_ms)
        return response

    async def _traced(self, tracing: Tracing, name: str, request: Request) -> tuple[Response, str]:
        told: dict[str, Value] = {"dragons.operation": name, "http.request.method": request.method}
        with tracing.span(name, told, trace_context(request.scope["headers"])) as span:
            response, code = await self._response(name, request)
            found: dict[str, Value] = {"http.response.status_code": response.status_code}
            if code:
                found["error.type"] = code
            # By the conventions for HTTP a server's span failed when the server did.
            span.note(found, failed=response.status_code >= _SERVER_ERROR)
        return response, code

    async def _response(self, name: str, request: Request) -> tuple[Response, str]:
        try:
            return await self._answer(name, request), ""
        except DragonsError as error:
            return problem_response(error), error.code
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED), ""
        except Exception:  # noqa: BLE001 - whatever is wrong, the caller sees no internals
            request_id = uuid7_hex(self._backend.clock.now_ms())
            _log.exception("request_failed", operation=name, request_id=request_id)
            return internal_response(request_id), "internal"

    def stop(self) -> None:
        """The server shuts down: open feeds and waiting nodes end now."""
        self._backend.stop_waiting()

    async def _answer(self, name: str, request: Request) -> Response:
        roles = access.roles_of(name)
        operation = self._operations.get(name)
        if operation is None:
            raise ForbiddenError("route_undeclared", f"The operation {name!r} is not one of this API.")
        headers = _read_headers(request.scope["headers"])
        authorization = _authorization(headers)
        who = _ANYONE if Role.ANYONE in roles else self._authenticator.identify(authorization)
        access.check_role(name, who.caller.role)
        if who.caller.lapsed and name not in access.LAPSED:
            raise UnauthenticatedError(
                "token_expired", "The workload token has expired.", fix="Launch a new instance."
            )
        body = await read_body(request.receive) if operation.has_body else b""
        possession = self._prove(who, operation, request, headers, body)
        if who.credential:
            self._rates.take(who.credential, self._backend.clock.boot_ms())
        call = Call(
            caller=who.caller,
            input=_parse(operation, request, body),
            path=request.path_params,
            headers=headers,
            backend=self._backend,
            authorization=authorization,
            authenticator=self._authenticator,
            issuer_key_id=who.issuer_key_id,
            proof=possession,
            key=who.key if who.caller.role is Role.INSTANCE else None,
        )
        answer = await operation.handler(call)
        return answer if isinstance(answer, Response) else _Json(_encode(answer))

    def _prove(
        self,
        who: Identified,
        operation: Operation,
        request: Request,
        headers: dict[bytes, bytes],
        body: bytes,
    ) -> Proof | None:
        if who.key is None and not operation.proven:
            return None
        scope = request.scope
        signed = proof.Request(
            scope["method"],
            (scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            body,
            _authorization(headers),
        )
        possession = parse_proof(signed, headers)
        if who.key is not None:
            self._authenticator.verify_proof(possession, who.key, who.key_id)
        return possession


class GovernedRoute(APIRoute):
    """A route that the dispatcher answers, whatever function it was added with."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """FastAPI's hook: replaces its own parsing and validation."""
        name = self.name

        async def handle(request: Request) -> Response:
            dispatcher: Dispatcher = request.app.state.dispatcher
            return await dispatcher.answer(name, request)

        return handle


class _Json(Response):
    """A JSON response with the headers that all of them have."""

    def __init__(self, content: bytes) -> None:
        self.status_code = 200
        self.background = None
        self.body = content
        self.raw_headers = [*_HEADERS, (b"content-length", b"%d" % len(content))]


def _parse(operation: Operation, request: Request, body: bytes) -> Any:  # noqa: ANN401 - the operation's input
    if not operation.has_body:
        return parse_query(operation.input, request.scope["query_string"])
    if operation.input is Empty and not body:
        return Empty()
    return decode(operation.input, body)


def _authorization(headers: dict[bytes, bytes]) -> str:
    return headers.get(b"authorization", b"").decode("latin-1")


def _read_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in raw:
        if name in _READ:
            if name in found:
                raise UnauthenticatedError(
                    "header_repeated", f"The header {name.decode()} stands twice.", fix="Send it once."
                )
            found[name] = value
    return found
