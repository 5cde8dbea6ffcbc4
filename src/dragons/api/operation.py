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

from dragons.api.authentication import Authenticator, Proof, check_issuer
from dragons.api.backend import Backend
from dragons.control.caller import Caller
from dragons.control.ports import Reader, Transaction
from dragons.core.errors import UnauthenticatedError
from dragons.core.keys import PublicKey
from dragons.wire.base import Empty
from dragons.wire.base import Response as Answering


class Nothing(Answering):
    """`{}`: it was done and there is nothing to say about it."""


T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - the input, of which every handler has one


@dataclass(frozen=True, slots=True)
class Call(Generic[I]):
    """One authenticated, permitted and well-formed request.

    `input` is the body, or the query of an operation without one; `proof` is the caller's proof of
    possession: verified for an instance, for a launch only once the new key is known. `key` is the
    instance's own.
    """

    caller: Caller
    input: I
    path: dict[str, str]
    headers: dict[bytes, bytes]
    backend: Backend
    authorization: str
    authenticator: Authenticator
    issuer_key_id: str = ""
    proof: Proof | None = None
    key: PublicKey | None = None

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """The result of `job` once it is durable."""

        def checked(tx: Transaction) -> T:
            self._check(tx, tx.now_ms)
            return job(tx)

        return await self.backend.write(checked)

    async def read(self, job: Callable[[Reader], T]) -> T:
        """The result of `job` over one consistent view."""
        now_ms = self.backend.clock.now_ms()

        def checked(reader: Reader) -> T:
            self._check(reader, now_ms)
            return job(reader)

        return await self.backend.read(checked)

    def instance_key(self) -> PublicKey:
        """The key that the calling instance proved to hold; UnauthenticatedError when it proved none."""
        if self.key is None:
            raise UnauthenticatedError("proof_missing", "The request carries no proof of possession.")
        return self.key

    def check_now(self) -> None:
        """For an operation that neither reads nor writes: the credential still holds."""
        self.backend.read_now(lambda reader: self._check(reader, self.backend.clock.now_ms()))

    def _check(self, reader: Reader, now_ms: int) -> None:
        # An API token was looked up in full when it was identified.
        if self.issuer_key_id:
            check_issuer(reader, self.caller.tenant_id, self.issuer_key_id, now_ms)


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
