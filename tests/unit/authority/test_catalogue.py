"""The catalogue: every fault is found and named with its line."""

from __future__ import annotations

import pytest

from dragons.authority import catalogue
from dragons.authority.catalogue import Catalogue, Entry, parse_catalogue
from dragons.core.canonical import decode, encode
from dragons.core.clock import format_time
from dragons.core.errors import InvalidInputError
from dragons.core.vocabulary import Risk
from tests.property.builders import NOW_MS, name

GOOD = """\
# What agents may do here.
capabilities:
  read:payments:
    description: Read the payments of the day.
  pay:invoice:
    description: "Pay one invoice."
    risk: high
    delegable: false
  send:notice:
    description: |
      Send a notice,
      on several lines.
    risk: medium
    delegable: true
"""


def faults(text: str, source: str = "c.yaml") -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        parse_catalogue(text, source=source)
    assert caught.value.code == "catalogue_invalid"
    assert caught.value.fix
    return caught.value.message.split("\n")


def entry(body: str) -> str:
    """A catalogue whose one capability, in line 2, has the fields `body`, from line 3."""
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    return f"capabilities:\n  read:payments:\n{lines}"


def test_a_catalogue_is_read() -> None:
    assert parse_catalogue(GOOD) == {
        "read:payments": Entry(description="Read the payments of the day.", risk=Risk.LOW, delegable=False),
        "pay:invoice": Entry(description="Pay one invoice.", risk=Risk.HIGH, delegable=False),
        "send:notice": Entry(
            description="Send a notice,\non several lines.\n", risk=Risk.MEDIUM, delegable=True
        ),
    }


def test_a_catalogue_comes_back_from_its_bytes() -> None:
    value = Catalogue(
        tenant_id=name("tnt", 1),
        version=1,
        capabilities=parse_catalogue(GOOD),
        published_at=format_time(NOW_MS),
    )
    assert decode(Catalogue, encode(value)) == value


@pytest.mark.parametrize("capability", ["Read:x", "read:*", "read:x\n", ""])
def test_a_document_refuses_a_name_that_is_no_capability(capability: str) -> None:
    one = Entry(description="d", risk=Risk.LOW, delegable=False)
    value = Catalogue(
        tenant_id=name("tnt", 1), version=1, capabilities={capability: one}, published_at=format_time(NOW_MS)
    )
    with pytest.raises(InvalidInputError):
        decode(Catalogue, encode(value))


def test_an_empty_catalogue_allows_nothing() -> None:
    assert parse_catalogue("capabilities: {}\n") == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["c.yaml:1: the catalogue is a mapping of names to values", "c.yaml:1: the field `capabilities` is missing"]),
        ("- a\n", ["c.yaml:1: the catalogue is a mapping of names to values", "c.yaml:1: the field `capabilities` is missing"]),
        ("{}\n", ["c.yaml:1: the field `capabilities` is missing"]),
        ("capabilities:\n", ["c.yaml:1: `capabilities` is a mapping of names to values"]),
        ("\n\ncapabilities:\n  - read:x\n", ["c.yaml:4: `capabilities` is a mapping of names to values"]),
        ("capabilities: {}\n# note\nversion: 1\n", ["c.yaml:3: unknown field 'version'; only `capabilities` is known here"]),
        ("capabilities: {}\ncapabilities: {}\n", ["c.yaml:2: 'capabilities' was already given in line 1"]),
        ("capabilities:\n  read:x:\n    description: d\n  read:x:\n    description: e\n", ["c.yaml:4: 'read:x' was already given in line 2"]),
        ("capabilities:\n  [a]: {}\n", ["c.yaml:2: `capabilities` has a name that is not a text"]),
        ("capabilities:\n  read:x:\n", ["c.yaml:2: `read:x` is a mapping of names to values", "c.yaml:2: read:x: `description` is a text of 1 to 500 characters"]),
        (entry("description: d\nrisk: low\nrisk: high"), ["c.yaml:5: 'risk' was already given in line 4"]),
        (entry("description: d\nrisk: huge"), ["c.yaml:4: read:payments: `risk` is low, medium or high, not 'huge'"]),
        (entry("description: d\nrisk: High"), ["c.yaml:4: read:payments: `risk` is low, medium or high, not 'High'"]),
        (entry("description: d\nrisk: 1"), ["c.yaml:4: read:payments: `risk` is low, medium or high, not 1"]),
        (entry("description: d\nrisk:"), ["c.yaml:4: read:payments: `risk` is low, medium or high, not None"]),
        (entry("description: d\nrisk: [low]"), ["c.yaml:4: read:payments: `risk` is low, medium or high, not None"]),
        (entry("delegable: maybe\ndescription: d"), ["c.yaml:3: read:payments: `delegable` is true or false"]),
        (entry("description: d\n\n# why\ndelegable: 1"), ["c.yaml:6: read:payments: `delegable` is true or false"]),
        (entry("description: d\ndelegable: 'true'"), ["c.yaml:4: read:payments: `delegable` is true or false"]),
        (entry("description: d\nlevel: 3"), ["c.yaml:4: read:payments: unknown field 'level'; known are ['delegable', 'description', 'risk']"]),
        (entry("risk: low"), ["c.yaml:2: read:payments: `description` is a text of 1 to 500 characters"]),
        (entry("description:"), ["c.yaml:2: read:payments: `description` is a text of 1 to 500 characters"]),
        (entry("description: ''"), ["c.yaml:2: read:payments: `description` is a text of 1 to 500 characters"]),
        (entry("description: 5"), ["c.yaml:2: read:payments: `description` is a text of 1 to 500 characters"]),
        (entry("description: 2026-01-01"), ["c.yaml:2: read:payments: `description` is a text of 1 to 500 characters"]),
        (entry("description: [d]"), ["c.yaml:2: read:payments: `description` is a text of 1 to 500 characters"]),
        (entry(f"description: {'x' * 501}"), ["c.yaml:2: read:payments: `description` is a text of 1 to 500 characters"]),
        ("capabilities: [\n", ["c.yaml:2: expected the node content, but found '<stream end>'"]),
        ("capabilities:\n  a: b: c\n", ["c.yaml:2: mapping values are not allowed here"]),
        ("capabilities: {}\n---\ncapabilities: {}\n", ["c.yaml:2: but found another document"]),
        ("capabilities: *x\n", ["c.yaml:1: found undefined alias 'x'"]),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_line(text: str, expected: list[str]) -> None:
    assert faults(text) == expected


@pytest.mark.parametrize("capability", ["read", "Read:payments", "read:*", "'*'", "<<", "1", "true"])
def test_a_name_that_is_no_capability_is_named_with_its_line(capability: str) -> None:
    (fault,) = faults(f"capabilities:\n\n  {capability}:\n    description: d\n")
    assert fault.startswith("c.yaml:3: ")
    assert "is not a capability" in fault


@pytest.mark.parametrize(
    "value",
    [
        "2026-13-45",
        "!!int abc",
        "!!python/object:os.system x",
        "!mine d",
        "!!timestamp x",
        "!!bool x",
        "!!float x",
        "!!binary %%",
    ],
)
@pytest.mark.parametrize("field", ["description", "risk", "delegable"])
def test_a_value_that_yaml_cannot_build_is_a_fault_too(field: str, value: str) -> None:
    rest = "" if field == "description" else "description: d\n"
    assert all(fault.startswith("c.yaml:") for fault in faults(entry(f"{rest}{field}: {value}")))


@pytest.mark.parametrize(
    "text", ["[" * 5_000, "a: " * 5_000, "\x00", "\ud800"], ids=["lists", "maps", "nul", "surrogate"]
)
def test_hostile_text_is_a_fault_too(text: str) -> None:
    faults(text)


def test_text_that_yaml_cannot_read_at_all_says_why() -> None:
    assert "unacceptable character" in faults("a: 1\nb: \x00")[0]


def test_all_faults_are_listed_at_once() -> None:
    text = (
        "extra: 1\n"
        "capabilities:\n"
        "  read:a:\n"
        "    description: d\n"
        "    risk: huge\n"
        "  Write:\n"
        "    description: d\n"
        "  read:b:\n"
        "    delegable: 7\n"
    )
    assert [fault.split(": ")[0] for fault in faults(text)] == [
        "c.yaml:1",
        "c.yaml:5",
        "c.yaml:6",
        "c.yaml:8",
        "c.yaml:9",
    ]


def test_a_longest_description_passes() -> None:
    assert parse_catalogue(entry(f"description: {'x' * 500}"))["read:payments"].description == "x" * 500


def test_more_capabilities_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "CAPABILITIES_MAX", 3)
    text = "capabilities:\n" + "".join(f"  read:r{number}: {{description: d}}\n" for number in range(4))
    assert len(parse_catalogue(text.replace("  read:r3: {description: d}\n", ""))) == 3
    assert faults(text) == ["c.yaml:2: more than 3 capabilities"]


def test_a_catalogue_above_the_largest_size_is_not_read() -> None:
    assert faults("#" * (catalogue.YAML_BYTES_MAX + 1)) == [
        f"c.yaml: larger than {catalogue.YAML_BYTES_MAX} bytes"
    ]
    assert "c.yaml:1: " in faults("#" * catalogue.YAML_BYTES_MAX)[0]
