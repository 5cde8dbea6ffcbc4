import io
import json

import pytest
from rich.console import Console

from bench.figures import Detail, Found, Line, Spread
from bench.machine import Machine
from bench.report import figure, print_table, spread_of, target_of, to_json, to_markdown
from bench.suite import Run

MACHINE = Machine(
    processor="Quick 9", cores=2, memory_gb=8, system="Linux 6.1", python="CPython 3.11.7", sqlite="3.40.1",
    openssl="OpenSSL 4", packages={"dragons-control-plane": "0.1.0", "msgspec": "0.22"},
)  # fmt: skip
RATE = Line(
    name="receipts", of="64 | appenders", ours=Spread(4_321.4, 4_000, 5_000), unit="/s", against="the limit",
    theirs=Spread(8_000, 7_000, 9_000), ratio=Spread(0.54, 0.4, 0.6), target=0.5,
)  # fmt: skip
MEMORY = Line(name="memory", of="all", ours=Spread(301, 301, 301), unit="MB", target=300, at_most=True)
RUN = Run(
    command="python -m bench",
    machine=MACHINE,
    found={
        "append": Found([RATE], [Detail("one receipt", 231.4, "µs", "the inverse")]),
        "verify": Found([MEMORY]),
        "pymerkle": Found(missing="pymerkle is not installed"),
    },
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12_345.6, "12,346"), (100, "100"), (99.94, "99.9"), (10, "10.0"), (1.234, "1.23"), (0.5, "0.50"),
        (0.01874, "0.0187"), (0, "0"),
    ],
)  # fmt: skip
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert figure(value) == text


def test_a_spread_shows_its_range_where_there_is_one() -> None:
    assert spread_of(Spread(5, 4, 6), "/s") == "5.00 /s (4.00 to 6.00)"
    assert spread_of(Spread(5, 5, 5)) == "5.00"
    assert spread_of(None) == ""


def test_a_target_has_its_direction_and_its_unit() -> None:
    assert target_of(RATE) == "≥ 0.5"
    assert target_of(MEMORY) == "≤ 300 MB"


def test_json_has_every_verdict() -> None:
    data = json.loads(to_json(RUN))
    assert data["met"] is False
    assert data["found"]["append"]["lines"][0]["met"] is True
    assert data["found"]["append"]["lines"][0]["ratio"] == {"median": 0.54, "low": 0.4, "high": 0.6}
    assert data["found"]["verify"]["lines"][0]["met"] is False
    assert data["found"]["pymerkle"]["missing"] == "pymerkle is not installed"
    assert data["machine"]["processor"] == "Quick 9"


def test_the_table_shows_all() -> None:
    out = io.StringIO()
    print_table(RUN, Console(file=out, width=200))
    text = out.getvalue()
    for part in (
        "Quick 9, 2 cores",
        "4,321 /s",
        "≥ 0.5",
        "met",
        "missed",
        "231 µs",
        "pymerkle is not installed",
    ):
        assert part in text


def test_markdown_rows_have_the_cells_of_their_heading() -> None:
    text = to_markdown(RUN)
    assert text.startswith("Command: `python -m bench`\n\n- Quick 9, 2 cores, 8 GB")
    assert "### Peer: pymerkle\n\nNot measured: pymerkle is not installed" in text
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {8, 4}
    assert any("64 \\| appenders" in line for line in text.splitlines())
