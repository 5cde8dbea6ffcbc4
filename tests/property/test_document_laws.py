"""Every document of the pure core comes back from its bytes, which are the reference encoder's."""

from __future__ import annotations

import importlib
import pkgutil
import re
from enum import Enum
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from dragons.core.canonical import Document, decode, encode
from dragons.core.errors import InvalidInputError

ROOMS = ("core", "identity", "authority", "evidence", "liveness")
ITEMS_MAX = 4


def documents() -> list[type[Document]]:
    """Every subclass of Document that the rooms define."""
    for room in ROOMS:
        package = importlib.import_module(f"dragons.{room}")
        for module in pkgutil.iter_modules(package.__path__, f"dragons.{room}."):
            importlib.import_module(module.name)
    found, queue = set(), [Document]
    while queue:
        for kind in queue.pop().__subclasses__():
            queue.append(kind)
            if kind.__module__.split(".")[:2] in [["dragons", room] for room in ROOMS]:
                found.add(kind)
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


def texts(kind: inspect.StrType) -> st.SearchStrategy[str]:
    low, high = kind.min_length or 0, kind.max_length or 1_000
    if kind.pattern is None:
        return st.text(min_size=low, max_size=min(high, max(low, 12)))
    core = kind.pattern.removeprefix("^").split("$")[0].replace(r"\d", "[0-9]")
    return st.from_regex(re.compile(core, re.ASCII), fullmatch=True).filter(
        lambda text: low <= len(text) <= high
    )


def values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(kind.ge, kind.le)
        case inspect.StrType():
            return texts(kind)
        case inspect.BytesType():
            return st.binary(min_size=kind.min_length or 0, max_size=kind.max_length or 40)
        case inspect.EnumType():
            assert issubclass(kind.cls, Enum)
            return st.sampled_from(list(kind.cls))
        case inspect.ListType():
            low = kind.min_length or 0
            return st.lists(values(kind.item_type), min_size=low, max_size=max(low, ITEMS_MAX))
        case inspect.DictType():
            return st.dictionaries(values(kind.key_type), values(kind.value_type), max_size=ITEMS_MAX)
        case inspect.StructType():
            return st.builds(kind.cls, **{field.name: field_values(field) for field in kind.fields})
    pytest.fail(f"no strategy for {kind}")


def field_values(field: inspect.Field) -> st.SearchStrategy[Any]:
    return values(field.type) if field.required else st.just(msgspec.UNSET) | values(field.type)


KINDS = documents()


def strategy(kind: type[Document]) -> st.SearchStrategy[Any]:
    return values(inspect.type_info(kind))


def test_the_documents_of_every_room_are_found() -> None:
    names = {kind.__name__ for kind in KINDS}
    assert {
        "Envelope",
        "Manifest",
        "Workload",
        "Lease",
        "Dock",
        "Catalogue",
        "Header",
        "Record",
        "Payload",
        "Heartbeat",
    } <= names
    assert len(KINDS) >= 30


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_a_document_comes_back_from_the_reference_bytes(kind: type[Document], data: st.DataObject) -> None:
    document = data.draw(strategy(kind))
    encoded = encode(document)
    assert encoded == rfc8785.dumps(msgspec.to_builtins(document))
    assert decode(kind, encoded) == document


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_a_document_in_another_spelling_is_refused(kind: type[Document], data: st.DataObject) -> None:
    encoded = encode(data.draw(strategy(kind)))
    for other in (
        encoded + b"\n",
        b" " + encoded,
        b"{ " + encoded[1:],
        encoded[:-1] + b',"zzz":1}',
        encoded[:-1],
        encoded + encoded,
    ):
        with pytest.raises(InvalidInputError):
            decode(kind, other)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_null_stands_for_nothing(kind: type[Document], data: st.DataObject) -> None:
    plain = msgspec.to_builtins(data.draw(strategy(kind)))
    for field in inspect.type_info(kind).fields:  # type: ignore[attr-defined]
        with pytest.raises(InvalidInputError):
            decode(kind, msgspec.json.encode({**plain, field.encode_name: None}, order="sorted"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_field_names_are_ascii_and_optional_fields_default_to_absent(kind: type[Document]) -> None:
    assert all(name.isascii() for name in kind.__struct_encode_fields__)
    assert set(kind.__struct_defaults__) <= {msgspec.UNSET}
