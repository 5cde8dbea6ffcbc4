"""Canonical bytes: RFC 8785 (JCS) over a strict subset of JSON.

The subset has no floats, no null, integers of at most 53 bits, no lone surrogates and no
duplicate keys, so that one value has one encoding in every language. Never accepts bytes that
another encoder could have written differently: `decode` encodes again and compares.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from dragons.core.errors import InvalidInputError

INT_MAX = 2**53 - 1
DEPTH_MAX = 32

SafeInt = Annotated[int, msgspec.Meta(ge=-INT_MAX, le=INT_MAX)]
Count = Annotated[int, msgspec.Meta(ge=0, le=INT_MAX)]

_Body = TypeVar("_Body", bound="Document")

_sorted = msgspec.json.Encoder(order="sorted")
_as_is = msgspec.json.Encoder()
_any = msgspec.json.Decoder()


class Document(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A typed JSON object that is signed or hashed; unknown fields are refused, absent ones omitted.

    Documents are values: nothing changes one after it was made. Field names of subclasses are ASCII; optional fields default to `msgspec.UNSET`.
    """


def encode(document: Document) -> bytes:
    """Canonical bytes of a typed document."""
    try:
        return _sorted.encode(document)
    except UnicodeEncodeError as error:
        raise _not_canonical("a string has a lone surrogate") from error


_decoders: dict[type[Document], msgspec.json.Decoder[Any]] = {}


def decode(kind: type[_Body], data: bytes) -> _Body:
    """The document in `data`; InvalidInputError unless it is valid and byte for byte canonical."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        document: _Body = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError("document_malformed", f"Not a valid {kind.__name__}: {error}.") from error
    if _sorted.encode(document) != data:
        raise _not_canonical(f"the {kind.__name__} is not in RFC 8785 form")
    return document


def canonical(value: object) -> bytes:
    """RFC 8785 bytes of plain dicts, lists, strings, integers and booleans; InvalidInputError otherwise."""
    plain = _check(value, 0)
    try:
        return _sorted.encode(value) if plain else _as_is.encode(_reordered(value))
    except UnicodeEncodeError as error:
        raise _not_canonical("a string has a lone surrogate") from error


def parse_canonical(data: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """The value in `data`; InvalidInputError unless `canonical` would write exactly these bytes."""
    try:
        value = _any.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError("document_malformed", f"Not valid JSON: {error}.") from error
    if canonical(value) != data:
        raise _not_canonical("the bytes are not in RFC 8785 form")
    return value


def _check(value: object, depth: int) -> bool:
    """Refuse what is outside the subset; True when code-point order of keys is RFC 8785 order."""
    if depth > DEPTH_MAX:
        raise _not_canonical(f"nesting is deeper than {DEPTH_MAX}")
    if isinstance(value, str | bool):
        return True
    if isinstance(value, int):
        if not -INT_MAX <= value <= INT_MAX:
            raise _not_canonical(
                f"an integer of {value.bit_length()} bits is too large; write it as a string"
            )
        return True
    if isinstance(value, list):
        # A list, not a generator: every item must be checked, whatever the first one says.
        return all([_check(item, depth + 1) for item in value])  # noqa: C419
    if isinstance(value, dict):
        plain, inside = True, depth < DEPTH_MAX
        for key, item in value.items():
            if not isinstance(key, str):
                raise _not_canonical(f"the key {key!r} is not a string")
            # Most items are strings or small numbers, and a call costs more than the rest of the check.
            kind = type(item)
            if not (inside and (kind is str or (kind is int and -INT_MAX <= item <= INT_MAX))):
                plain = _check(item, depth + 1) and plain
            plain = plain and key.isascii()
        return plain
    raise _not_canonical(f"{type(value).__name__} has no place in canonical JSON")


def _reordered(value: object) -> object:
    # RFC 8785 §3.2.3 sorts by UTF-16 code units, which differs from code points beyond the BMP.
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return {key: _reordered(value[key]) for key in keys}
    if isinstance(value, list):
        return [_reordered(item) for item in value]
    return value


def _not_canonical(why: str) -> InvalidInputError:
    return InvalidInputError("not_canonical", f"Not canonical JSON: {why}.")
