# ruff: noqa: D101 - each class is named after the list that it chooses from
"""Queries: their types, and how they are read from a URL.

A parameter that is unknown, repeated or of the wrong form is refused, never ignored.
"""

from __future__ import annotations

from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

import msgspec

from dragons.core.canonical import INT_MAX
from dragons.core.errors import InvalidInputError
from dragons.core.vocabulary import OrganismState
from dragons.wire.base import Limit, Request

Q = TypeVar("Q", bound=msgspec.Struct)

PARAMETERS_MAX = 20
_Text = Annotated[str, msgspec.Meta(max_length=128)]
_Place = Annotated[int, msgspec.Meta(ge=-1, le=INT_MAX)]
_Some = Annotated[int, msgspec.Meta(ge=1, le=INT_MAX)]
_Size = Annotated[int, msgspec.Meta(ge=0, le=INT_MAX)]
_STATE = rf"^({'|'.join(OrganismState)})?$(?!\n)"


class ByAgent(Request):
    agent: _Text = ""


class InstanceQuery(Request):
    agent: _Text = ""
    live: bool = False


class DispatchQuery(Request):
    agent: _Text = ""
    open: bool = False


class SessionQuery(Request):
    agent: _Text = ""
    open: bool = False


class FleetQuery(Request):
    agent: _Text = ""
    state: Annotated[str, msgspec.Meta(pattern=_STATE)] = ""
    skip: _Size = 0
    limit: Limit = 100


class MtboiQuery(Request):
    """`until_ms` 0, or a time that lies ahead, is now."""

    agent: _Text = ""
    until_ms: _Size = 0
    page: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    limit: Limit = 100


class IncidentQuery(Request):
    agent: _Text = ""
    open: bool = False
    limit: Limit = 100


class MessageQuery(Request):
    incident_id: _Text = ""
    limit: Limit = 100


class ReceiptQuery(Request):
    after: _Place = -1
    limit: Limit = 100
    agent: _Text = ""
    session_id: _Text = ""
    kind: _Text = ""
    newest: bool = False


class ConsistencyQuery(Request):
    first: _Some
    second: _Some


class RevocationQuery(Request):
    after: _Size = 0


class EventQuery(Request):
    after: _Place = -1


def parse_query(kind: type[Q], query: bytes) -> Q:
    """The query string as a `kind`; InvalidInputError that names the parameter otherwise."""
    if not query:
        pairs = []
    else:
        try:
            pairs = parse_qsl(
                query.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
                max_num_fields=PARAMETERS_MAX,
            )
        except ValueError as error:
            raise InvalidInputError("query_malformed", "The query string is malformed.") from error
    values = dict(pairs)
    if len(values) != len(pairs):
        raise InvalidInputError("query_malformed", "A query parameter stands twice.")
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInputError("request_invalid", f"{error}.") from error
