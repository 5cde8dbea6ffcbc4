"""The API's description of itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from starlette.responses import Response

from dragons.api import openapi
from dragons.api.operation import Call, Operation
from dragons.wire.base import Empty


class Document(msgspec.Struct):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


def operation_for(others: Sequence[Operation]) -> Operation:
    """The operation that describes `others` and itself."""

    async def document(call: Call[Empty]) -> Response:  # noqa: ARG001 - every handler has one
        """This document."""
        return Response(text(), media_type="application/json")

    @cache
    def text() -> bytes:
        return msgspec.json.encode(openapi.describe((*others, made)))

    made = Operation("openapi", "GET", "/v1/openapi.json", document, answer=Document)
    return made
