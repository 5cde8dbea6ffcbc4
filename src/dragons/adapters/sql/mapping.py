"""Rows to columns and back: tuples are JSON arrays, states are their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec.structs import astuple, fields

from dragons.control.rows import Row
from dragons.core.vocabulary import OrganismState

R = TypeVar("R")

_to_json = msgspec.json.Encoder().encode
_Decoder = Callable[[Any], Any]


def texts_of(value: str) -> tuple[str, ...]:
    """A column of texts."""
    return tuple(msgspec.json.decode(value, type=list[str]))


def numbers_of(value: str) -> tuple[int, ...]:
    """A column of numbers."""
    return tuple(msgspec.json.decode(value, type=list[int]))


_DECODERS: dict[Any, _Decoder] = {
    tuple[str, ...]: texts_of,
    tuple[int, ...]: numbers_of,
    OrganismState: OrganismState,
}
_known: dict[type, tuple[tuple[str, ...], tuple[tuple[int, _Decoder], ...]]] = {}


def _shape(row: type) -> tuple[tuple[str, ...], tuple[tuple[int, _Decoder], ...]]:
    shape = _known.get(row)
    if shape is None:
        all_fields = fields(row)
        special = tuple(
            (place, _DECODERS[f.type]) for place, f in enumerate(all_fields) if f.type in _DECODERS
        )
        shape = _known[row] = (tuple(f.name for f in all_fields), special)
    return shape


def names(row: type) -> tuple[str, ...]:
    """The column names of a row class, in its own order."""
    return _shape(row)[0]


def to_values(row: Row) -> tuple[Any, ...]:
    """A row as driver values, in the order of `names`."""
    special = _shape(type(row))[1]
    if not special:
        return astuple(row)
    values = list(astuple(row))
    for place, _ in special:
        value = values[place]
        values[place] = value.value if isinstance(value, OrganismState) else _to_json(value).decode()
    return tuple(values)


def from_values(row: type[R], values: Any) -> R:  # noqa: ANN401 - a driver's row
    """A row from driver values in the order of `names`."""
    special = _shape(row)[1]
    if not special:
        return row(*values)
    given = list(values)
    for place, decode in special:
        given[place] = decode(given[place])
    return row(*given)
