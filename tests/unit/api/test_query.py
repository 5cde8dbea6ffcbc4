"""Queries are read strictly."""

from __future__ import annotations

import pytest

from dragons.api.query import (
    ByAgent,
    ConsistencyQuery,
    InstanceQuery,
    ReceiptQuery,
    parse_query,
)
from dragons.core.errors import InvalidInputError
from dragons.wire.base import PAGE_MAX, Empty


def test_values_take_their_types() -> None:
    found = parse_query(ReceiptQuery, b"after=7&limit=5&agent=a&newest=true&session_id=&kind=work")
    assert found == ReceiptQuery(after=7, limit=5, agent="a", newest=True, kind="work")
    assert parse_query(InstanceQuery, b"live=1").live is True
    assert parse_query(InstanceQuery, b"live=false").live is False


def test_nothing_is_the_default() -> None:
    assert parse_query(ReceiptQuery, b"") == ReceiptQuery()
    assert parse_query(Empty, b"") == Empty()


def test_escapes_are_decoded() -> None:
    assert parse_query(ByAgent, b"agent=%C3%A9+x").agent == "é x"


@pytest.mark.parametrize(
    "query",
    [
        b"agents=a",
        b"agent=a&agent=b",
        b"agent",
        b"agent=%FF",
        b"agent=\xff",
        b"&",
        b"agent=" + b"a" * 129,
        b"&".join(b"a%d=1" % n for n in range(30)),
    ],
)
def test_malformed_queries_are_refused(query: bytes) -> None:
    with pytest.raises(InvalidInputError):
        parse_query(ByAgent, query)


@pytest.mark.parametrize(
    "query",
    [
        b"limit=0",
        b"limit=%d" % (PAGE_MAX + 1),
        b"limit=x",
        b"limit=",
        b"after=-2",
        b"after=9007199254740992",
        b"newest=maybe",
    ],
)
def test_values_out_of_bounds_are_refused(query: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_query(ReceiptQuery, query)
    assert caught.value.code == "request_invalid"
    assert query.partition(b"=")[0].decode() in caught.value.message


def test_required_parameters_are_required() -> None:
    with pytest.raises(InvalidInputError):
        parse_query(ConsistencyQuery, b"first=1")
    with pytest.raises(InvalidInputError):
        parse_query(Empty, b"x=1")
