"""The form of every request and response: JSON objects whose unknown fields are refused in requests."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from dragons.core.errors import InvalidInputError
from dragons.core.statement import Envelope

PAGE_MAX = 500
BODY_BYTES_MAX = 4_000_000
BATCH_MAX = 256


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What a caller sends."""


class Response(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the control plane answers; readers ignore fields that they don't know."""


class Empty(Request):
    """A request without content."""


class Statement(Request):
    """A statement that the caller signed."""

    statement: Envelope


class Problem(Response):
    """RFC 9457 problem details. `code` is the reason code, `fix` names the remedy."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    fix: str = ""
    errors: list[dict[str, Any]] = []


class Recorded(Response):
    """The receipt that records what was asked for."""

    receipt_id: str
    seq: int
    chain_root: str
    issued_at: str


Limit = Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)]
_R = TypeVar("_R")


def decode(kind: type[_R], data: bytes) -> _R:
    """`data` as a `kind`; InvalidInputError that names the field otherwise."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidInputError("request_invalid", f"{error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError("request_malformed", f"The body is not JSON: {error}.") from error
