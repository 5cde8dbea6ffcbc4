"""The address of the control plane itself: what it is, and where to go on. There is no console."""

from __future__ import annotations

from dragons import __version__
from dragons.api.operation import Call, Operation
from dragons.wire.base import Empty, Response


class Index(Response):
    """`links` are the routes that need no credential, by name."""

    name: str
    version: str
    links: dict[str, str]


async def index(call: Call[Empty]) -> Index:  # noqa: ARG001 - every handler has one
    """What answers here, and where its description is."""
    return Index(
        name="Dragons",
        version=__version__,
        links={"livez": "/livez", "openapi": "/v1/openapi.json", "readyz": "/readyz"},
    )


OPERATIONS = (Operation("index", "GET", "/", index, answer=Index),)
