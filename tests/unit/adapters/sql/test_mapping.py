from __future__ import annotations

from typing import Any

import pytest

from dragons.adapters.sql.mapping import from_values, names, to_values
from dragons.adapters.sql.schema import MIRRORS
from dragons.control import rows
from dragons.core.vocabulary import OrganismState

SAMPLES: dict[str, list[Any]] = {
    "str": ["", "text", "ä€\U0001f409", "quote ' and \" and \\"],
    "int": [0, 1, 2**62],
    "bytes": [b"", b"\x00\xff"],
    "tuple[str, ...]": [(), ("a",), ("b", 'a"b', "ä")],
    "tuple[int, ...]": [(), (7,), (2**62, 0, 1)],
    "OrganismState": list(OrganismState),
}


def samples(row: type, number: int) -> Any:
    """A row whose every field has one of the samples of its type."""
    values = []
    for kind in row.__annotations__.values():
        known = SAMPLES[kind.removesuffix(" | None")]
        values.append(None if kind.endswith("| None") and number % 2 else known[number % len(known)])
    return row(*values)


@pytest.mark.parametrize("row", [*MIRRORS, rows.ReceiptRow], ids=lambda row: row.__name__)
@pytest.mark.parametrize("number", range(6))
def test_a_row_comes_back_as_it_was(row: type, number: int) -> None:
    made = samples(row, number)
    values = to_values(made)
    assert len(values) == len(names(row)) == len(row.__annotations__)
    assert all(type(value) in {str, int, bytes, type(None)} for value in values)
    assert from_values(row, values) == made


def test_names_are_in_the_rows_own_order() -> None:
    assert names(rows.DockRow) == ("tenant_id", "dock_id", "agent", "statement", "created_ms")


def test_a_state_is_its_value_and_a_tuple_a_json_array() -> None:
    session = samples(rows.InstanceRow, 0)
    assert to_values(session)[names(rows.InstanceRow).index("state")] == "running"
    lease = samples(rows.LeaseRow, 2)
    assert to_values(lease)[names(rows.LeaseRow).index("scope")] == '["b","a\\"b","ä"]'


def test_what_is_no_state_is_not_taken_for_one() -> None:
    values = list(to_values(samples(rows.InstanceRow, 0)))
    values[names(rows.InstanceRow).index("state")] = "asleep"
    with pytest.raises(ValueError, match="asleep"):
        from_values(rows.InstanceRow, values)


def test_every_field_has_a_known_type() -> None:
    kinds = {kind.removesuffix(" | None") for row in MIRRORS for kind in row.__annotations__.values()}
    assert kinds <= set(SAMPLES)
