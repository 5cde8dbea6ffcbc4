"""HTTP to the control plane, synchronous and asynchronous, driven by one exchange without I/O.

Repeats a request only when it never left, or when it is idempotent; every attempt is signed anew.
Never follows a redirect, never sends a credential through a proxy to the machine's own address, and
never shows a token in an error or a representation.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx2
import msgspec

from dragons.core.clock import Clock
from dragons.core.errors import DragonsError, InvalidInputError
from dragons.core.ids import new_jitter, new_nonce
from dragons.core.keys import Signer
from dragons.identity.proof import Request, sign_request
from dragons.sdk.errors import ControlPlaneUnreachable, LimitedError, UnexpectedAnswerError, error_of
from dragons.sdk.trace import trace_headers
from dragons.wire.base import Problem

T = TypeVar("T")

PROBLEM_TYPE = "application/problem+json"
_KEEPALIVE_S = 2.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# What a proxy or a starting server answers where the request had no effect or is safe to repeat.
_PASSING = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request of the API: what to send and what comes back. `again` says it may be repeated."""

    method: str
    path: str
    answer: type[T]
    query: str = ""
    body: bytes = b""
    again: bool = False


class Timeouts(NamedTuple):
    """Seconds; `read` is the longest silence of the server, not the length of an answer."""

    connect: float = 3.0
    read: float = 15.0
    write: float = 15.0
    pool: float = 5.0


class Retries(NamedTuple):
    """Up to `attempts` tries with exponential waits of `first_s` up to `longest_s`, ±50 %."""

    attempts: int = 4
    first_s: float = 0.1
    longest_s: float = 2.0


class Credential(Protocol):
    """Who calls: adds the headers that prove it."""

    def headers(self, request: Request, now_ms: int) -> dict[str, str]: ...


class ApiToken:
    """An operator's, launcher's or auditor's API token."""

    __slots__ = ("_token",)

    def __init__(self, token: str) -> None:
        self._token = token

    def headers(self, request: Request, now_ms: int) -> dict[str, str]:  # noqa: ARG002 - the protocol's shape
        return {"authorization": f"Bearer {self._token}"}


class OperatorKey:
    """The holder of an operator key that has no token yet: it proves the key, and may ask for a token only."""

    __slots__ = ("_authorization", "signer")

    def __init__(self, tenant_id: str, signer: Signer) -> None:
        self._authorization = f"OperatorKey {tenant_id}.{signer.key_id}"
        self.signer = signer

    def headers(self, request: Request, now_ms: int) -> dict[str, str]:
        signed = request._replace(authorization=self._authorization)
        proof = sign_request(signed, self.signer, now_ms=now_ms, nonce=new_nonce())
        return {"authorization": self._authorization, **proof}

    def __repr__(self) -> str:
        return f"OperatorKey({self.signer.key_id})"


class Possession:
    """A token and the proof that the caller holds the instance's key. `token` changes on renewal."""

    __slots__ = ("signer", "token")

    def __init__(self, token: str, signer: Signer) -> None:
        self.token = token
        self.signer = signer

    def headers(self, request: Request, now_ms: int) -> dict[str, str]:
        bearer = f"Bearer {self.token}"
        proof = sign_request(
            request._replace(authorization=bearer), self.signer, now_ms=now_ms, nonce=new_nonce()
        )
        return {"authorization": bearer, **proof}

    def __repr__(self) -> str:
        return f"Possession({self.signer.key_id})"


class Send(NamedTuple):
    """The exchange asks for one attempt."""

    request: httpx2.Request


class Wait(NamedTuple):
    """The exchange asks for a pause."""

    seconds: float


class Reply(NamedTuple):
    """What came back."""

    status: int
    content_type: str
    retry_after: str
    body: bytes


class Lost(NamedTuple):
    """No reply; `sent` is False when the request certainly never arrived."""

    why: str
    sent: bool


class Exchange:
    """The rules of a request, free of I/O: yields `Send` and `Wait`, takes `Reply` and `Lost`."""

    def __init__(self, url: str, credential: Credential | None, clock: Clock, retries: Retries) -> None:
        self.url = _checked_url(url)
        self.credential = credential
        self._clock = clock
        self._retries = retries

    def steps(
        self, call: Call[T], credential: Credential | None = None
    ) -> Generator[Send | Wait, Reply | Lost | None, T]:
        """Run to the answer of `call`; a DragonsError says why there is none."""
        for attempt in range(1, self._retries.attempts + 1):
            outcome = yield Send(self.request(call, credential))
            failure = self._judge(call, outcome)
            if failure is None:
                assert isinstance(outcome, Reply)  # noqa: S101 - `_judge` saw to it
                return self._answer(call, outcome)
            pause = self._pause(call, outcome, failure, attempt)
            if pause is None:
                raise failure
            yield Wait(pause)
        raise AssertionError  # pragma: no cover - the last attempt has no pause

    def request(self, call: Call[Any], credential: Credential | None = None) -> httpx2.Request:
        """The request with fresh proof; what is signed is what is sent."""
        target = f"{self.url}{call.path}" + (f"?{call.query}" if call.query else "")
        request = httpx2.Request(call.method, target, content=call.body)
        request.headers["accept"] = f"application/json, {PROBLEM_TYPE}, */*;q=0.5"
        request.headers.update(trace_headers())
        if call.body:
            request.headers["content-type"] = "application/json"
        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        used = credential or self.credential
        if used is not None:
            signed = Request(call.method, path, query, call.body, "")
            request.headers.update(used.headers(signed, self._clock.now_ms()))
        return request

    def _judge(self, call: Call[Any], outcome: Reply | Lost | None) -> DragonsError | None:
        if outcome is None or isinstance(outcome, Lost):
            why, sent = ("no outcome was reported", True) if outcome is None else outcome
            return ControlPlaneUnreachable(self.url, why, maybe_recorded=sent and call.method != "GET")
        return None if outcome.status < 300 else self.refusal(outcome)  # noqa: PLR2004 - 2xx

    def _pause(
        self, call: Call[Any], outcome: Reply | Lost | None, failure: DragonsError, attempt: int
    ) -> float | None:
        """How long to wait before the next attempt, None when there is none."""
        if attempt >= self._retries.attempts:
            return None
        if isinstance(outcome, Lost):
            if outcome.sent and not call.again:
                return None
        elif isinstance(failure, LimitedError):
            if not 0 < failure.retry_after_s <= self._retries.longest_s:
                return None
            return failure.retry_after_s
        elif not (call.again and isinstance(outcome, Reply) and outcome.status in _PASSING):
            return None
        step = min(self._retries.longest_s, float(self._retries.first_s * 2 ** (attempt - 1)))
        return step * (1 + 0.5 * new_jitter())

    def refusal(self, reply: Reply) -> DragonsError:
        """The error that a reply outside 2xx stands for."""
        if reply.content_type.partition(";")[0].strip() != PROBLEM_TYPE:
            return UnexpectedAnswerError(self.url, f"status {reply.status}")
        try:
            problem = msgspec.json.decode(reply.body, type=Problem)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return UnexpectedAnswerError(self.url, f"status {reply.status} and a malformed problem")
        return error_of(problem, _seconds(reply.retry_after))

    def _answer(self, call: Call[T], reply: Reply) -> T:
        try:
            return msgspec.json.decode(reply.body, type=call.answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnexpectedAnswerError(self.url, f"something that is no {call.answer.__name__}") from error


class Transport:
    """Sends calls and waits for their answers. May be shared by threads."""

    def __init__(
        self,
        url: str,
        credential: Credential | None,
        *,
        clock: Clock,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - a tuple of constants
        retries: Retries = Retries(),  # noqa: B008 - as above
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.exchange = Exchange(url, credential, clock, retries)
        self._pause = pause
        self._http = httpx2.Client(**_options(self.exchange.url, timeouts))

    def send(self, call: Call[T], credential: Credential | None = None) -> T:
        """The answer to `call`, sent with the given credential instead of the usual one."""
        steps = self.exchange.steps(call, credential)
        outcome: Reply | Lost | None = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Wait):
                    self._pause(step.seconds)
                    outcome = None
                else:
                    outcome = self._attempt(step.request)
        except StopIteration as end:
            answer: T = end.value
            return answer

    @contextmanager
    def stream(self, call: Call[Any], *, silence_s: float | None = 60.0) -> Iterator[httpx2.Response]:
        """The open response of one attempt; `silence_s` bounds the wait between its parts."""
        request = self.exchange.request(call)
        request.extensions["timeout"] = {"connect": 3.0, "write": 15.0, "pool": 5.0, "read": silence_s}
        try:
            response = self._http.send(request, stream=True)
        except httpx2.TransportError as error:
            raise ControlPlaneUnreachable(self.exchange.url, _why(error), maybe_recorded=False) from error
        try:
            if response.status_code >= 300:  # noqa: PLR2004 - 2xx
                raise self.exchange.refusal(_reply(response, response.read()))
            yield response
        except httpx2.TransportError as error:
            raise ControlPlaneUnreachable(self.exchange.url, _why(error), maybe_recorded=False) from error
        finally:
            response.close()

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _attempt(self, request: httpx2.Request) -> Reply | Lost:
        try:
            response = self._http.send(request)
        except httpx2.TransportError as error:
            return _lost(error)
        return _reply(response, response.content)


class AsyncTransport:
    """As `Transport`, for one event loop."""

    def __init__(
        self,
        url: str,
        credential: Credential | None,
        *,
        clock: Clock,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - a tuple of constants
        retries: Retries = Retries(),  # noqa: B008 - as above
    ) -> None:
        self.exchange = Exchange(url, credential, clock, retries)
        self._http = httpx2.AsyncClient(**_options(self.exchange.url, timeouts))

    async def send(self, call: Call[T], credential: Credential | None = None) -> T:
        """The answer to `call`, sent with the given credential instead of the usual one."""
        steps = self.exchange.steps(call, credential)
        outcome: Reply | Lost | None = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                    outcome = None
                else:
                    outcome = await self._attempt(step.request)
        except StopIteration as end:
            answer: T = end.value
            return answer

    async def close(self) -> None:
        await self._http.aclose()

    async def _attempt(self, request: httpx2.Request) -> Reply | Lost:
        try:
            response = await self._http.send(request)
        except httpx2.TransportError as error:
            return _lost(error)
        return _reply(response, response.content)


def query_of(**values: str | int | bool | None) -> str:
    """A query string of the values that are given; True is `true`, None and empty are left out."""
    plain = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if value is not None and value != "" and value is not False
    }
    return urlencode(plain)


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise InvalidInputError(
            "url_malformed",
            f"{url!r} is not the address of a control plane.",
            fix="Give scheme, host and port only, for example http://127.0.0.1:7433.",
        )
    return f"{parts.scheme}://{parts.netloc}"


def _options(url: str, timeouts: Timeouts) -> dict[str, Any]:
    # A connection is dropped before the server would, so that a request never meets a closing one.
    return {
        "timeout": httpx2.Timeout(
            connect=timeouts.connect, read=timeouts.read, write=timeouts.write, pool=timeouts.pool
        ),
        "limits": httpx2.Limits(max_connections=16, keepalive_expiry=_KEEPALIVE_S),
        "follow_redirects": False,
        "trust_env": urlsplit(url).hostname not in _LOOPBACK,
    }


def _lost(error: httpx2.TransportError) -> Lost:
    never_left = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
    return Lost(_why(error), sent=not never_left)


def _why(error: httpx2.TransportError) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _reply(response: httpx2.Response, body: bytes) -> Reply:
    headers = response.headers
    return Reply(response.status_code, headers.get("content-type", ""), headers.get("retry-after", ""), body)


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.replace(".", "", 1).isdigit() else 0.0
