"""An operation of the API: its method and path, what goes in, what comes out and who answers.

Data only: the dispatcher in `dragons.api.endpoint` gives it meaning, the document in
`dragons.api.openapi` describes it, the table in `dragons.api.access` opens it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from starlette.responses import Response as HttpResponse

from dragons.api.authentication import Authenticator, Proof
from dragons.api.backend import Backend
from dragons.control.caller import Caller
from dragons.wire.base import Empty
from dragons.wire.base import Response as Answering


class Nothing(Answering):
    """`{}`: it was done and there is nothing to say about it."""


I = TypeVar("I")  # noqa: E741 - the input, of which every handler has one


@dataclass(frozen=True, slots=True)
class Call(Generic[I]):
    """One authenticated, permitted and well-formed request.

    `input` is the body, or the query of an operation without one; `proof` is the caller's proof of
    possession: verified for an instance, for a launch only once the new key is known.
    """

    caller: Caller
    input: I
    path: dict[str, str]
    headers: dict[bytes, bytes]
    backend: Backend
    authorization: str
    authenticator: Authenticator
    proof: Proof | None = None


Answer = msgspec.Struct | HttpResponse
Handler = Callable[[Call[Any]], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Operation:
    """`answer` is the type of the response, or the media type of a stream.

    `proven` says that even an API token must come with a proof of possession.
    """

    name: str
    method: str
    path: str
    handler: Handler
    input: type[msgspec.Struct] = Empty
    answer: type[msgspec.Struct] | str = Nothing
    proven: bool = False

    @property
    def has_body(self) -> bool:
        """True when `input` is the body, False when it is the query."""
        return self.method == "POST"
