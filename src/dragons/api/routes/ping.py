"""Liveness of the server itself, and a request that authenticates and does nothing."""

from __future__ import annotations

from dragons.api.operation import Call, Nothing, Operation
from dragons.wire.base import Empty, Response


class Status(Response):
    """`ok`: the server runs; from readyz also: the store accepts writes."""

    status: str


async def livez(call: Call[Empty]) -> Status:  # noqa: ARG001 - every handler has one
    """The process answers."""
    return Status(status="ok")


async def readyz(call: Call[Empty]) -> Status:
    """The store accepts a write, tried just now."""
    await call.backend.check_writable()
    return Status(status="ok")


async def ping(call: Call[Empty]) -> Nothing:
    """Authenticate and do nothing."""
    call.check_now()
    return Nothing()


OPERATIONS = (
    Operation("ping", "POST", "/v1/ping", ping),
    Operation("livez", "GET", "/livez", livez, answer=Status),
    Operation("readyz", "GET", "/readyz", readyz, answer=Status),
)
