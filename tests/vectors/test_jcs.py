"""RFC 8785 against the vectors of cyberphone/json-canonicalization."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rfc8785

from dragons.core.canonical import canonical, parse_canonical
from dragons.core.errors import InvalidInputError

INSIDE = {"french.json", "unicode.json", "weird.json"}
# Floats and null have no place in the subset. `structures.json` spells an integer as 56.0.
OUTSIDE = {"arrays.json", "structures.json", "values.json"}
OUTPUT_INSIDE = {*INSIDE, "structures.json"}


def test_every_file_is_used(vectors: Path) -> None:
    for folder in ("input", "output"):
        assert {path.name for path in (vectors / "jcs" / folder).iterdir()} == INSIDE | OUTSIDE
    assert {f"{path.stem}.json" for path in (vectors / "jcs" / "outhex").iterdir()} == INSIDE | OUTSIDE


@pytest.mark.parametrize("name", sorted(INSIDE))
def test_a_value_of_the_subset_has_the_published_bytes(vectors: Path, name: str) -> None:
    value = json.loads((vectors / "jcs" / "input" / name).read_bytes())
    expected = (vectors / "jcs" / "output" / name).read_bytes()
    assert canonical(value) == expected == rfc8785.dumps(value)


@pytest.mark.parametrize("name", sorted(INSIDE | OUTSIDE))
def test_the_published_hex_is_the_published_output(vectors: Path, name: str) -> None:
    (hexadecimal,) = (vectors / "jcs" / "outhex").glob(f"{Path(name).stem}.*")
    assert bytes.fromhex(hexadecimal.read_text()) == (vectors / "jcs" / "output" / name).read_bytes()


@pytest.mark.parametrize("name", sorted(OUTSIDE))
def test_a_value_outside_the_subset_is_refused(vectors: Path, name: str) -> None:
    value = json.loads((vectors / "jcs" / "input" / name).read_bytes())
    with pytest.raises(InvalidInputError):
        canonical(value)


@pytest.mark.parametrize("name", sorted(INSIDE | OUTSIDE))
def test_the_spelling_of_every_input_is_refused(vectors: Path, name: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_canonical((vectors / "jcs" / "input" / name).read_bytes())


@pytest.mark.parametrize("name", sorted(INSIDE | OUTSIDE))
def test_an_output_is_read_when_it_lies_in_the_subset(vectors: Path, name: str) -> None:
    data = (vectors / "jcs" / "output" / name).read_bytes()
    if name in OUTPUT_INSIDE:
        assert canonical(parse_canonical(data)) == data
    else:
        with pytest.raises(InvalidInputError):
            parse_canonical(data)
