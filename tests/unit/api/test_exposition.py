"""The text format: names, escapes, buckets. A parser of another's making would read the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.api.exposition import COUNTER, GAUGE, Family, Histogram, Sample, counted, render, single

_LINE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? ([0-9.e+-]+|\+Inf)$')
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"')


def parse(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Samples by name and labels, as the format's own description reads them."""
    found = {}
    for line in text.decode().removesuffix("\n").split("\n"):
        if line.startswith("# "):
            assert re.match(r"^# (HELP|TYPE) [a-z_]+ .+$", line), line
            continue
        match = _LINE.match(line)
        assert match, line
        labels = frozenset(
            (name, re.sub(r"\\(.)", lambda one: "\n" if one[1] == "n" else one[1], value))
            for name, value in _LABEL.findall(match[2] or "")
        )
        assert (match[1], labels) not in found, line
        found[match[1], labels] = float(match[3])
    return found


def test_a_family_with_labels() -> None:
    text = render([counted("a_total", "As.", "state", {"x": 2, "b": 1.5}), single("b", "One\nline.", 3)])
    assert text.decode().split("\n") == [
        "# HELP a_total As.",
        "# TYPE a_total counter",
        'a_total{state="b"} 1.5',
        'a_total{state="x"} 2',
        "# HELP b One\\nline.",
        "# TYPE b gauge",
        "b 3",
        "",
    ]


def test_buckets_are_cumulative() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.1, 0.2, 5):
        histogram.add(value)
    text = render([Family("h", "histogram", "H.", tuple(histogram.samples({"op": "x"})))])
    found = {(name, dict(labels).get("le")): value for (name, labels), value in parse(text).items()}
    assert found == {
        ("h_bucket", "0.1"): 1,
        ("h_bucket", "1"): 2,
        ("h_bucket", "+Inf"): 3,
        ("h_sum", None): pytest.approx(5.3),
        ("h_count", None): 3,
    }


@given(st.dictionaries(st.text(min_size=1), st.integers(min_value=0, max_value=2**50), min_size=1))
def test_whatever_a_label_holds_comes_back(counts: dict[str, int]) -> None:
    found = parse(render([counted("n", "N.", "word", counts, GAUGE)]))
    assert found == {("n", frozenset({("word", word)})): float(count) for word, count in counts.items()}


def test_a_family_without_samples_says_what_it_is() -> None:
    assert render([Family("a_total", COUNTER, "As.", ())]) == b"# HELP a_total As.\n# TYPE a_total counter\n"
    assert Sample(1).labels == {}
