"""Metrics as text: the Prometheus exposition format, version 0.0.4.

Data and its rendering only. A label is a word of the product or a number: never an instance, an agent,
or anything that a caller sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


class Sample(NamedTuple):
    """One number; `suffix` is `_bucket`, `_sum` or `_count` of a histogram."""

    value: float
    labels: Mapping[str, str] = {}
    suffix: str = ""


class Family(NamedTuple):
    """A metric with all its samples."""

    name: str
    kind: str
    meaning: str
    samples: tuple[Sample, ...]


class Histogram:
    """Counts of values by upper bounds. One thread writes, others may read."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count `value` below the first bound that is not smaller."""
        place = next((place for place, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
        self.counts[place] += 1
        self.total += value

    def samples(self, labels: Mapping[str, str] | None = None) -> list[Sample]:
        """Cumulative buckets, sum and count."""
        known = dict(labels or {})
        counts, found, running = list(self.counts), [], 0
        for bound, count in zip((*self.bounds, float("inf")), counts, strict=True):
            running += count
            found.append(Sample(running, {**known, "le": _number(bound)}, "_bucket"))
        return [*found, Sample(self.total, known, "_sum"), Sample(running, known, "_count")]


def counted(name: str, meaning: str, label: str, counts: Mapping[str, float], kind: str = COUNTER) -> Family:
    """A family whose samples differ in one label."""
    samples = tuple(Sample(value, {label: key}) for key, value in sorted(counts.items()))
    return Family(name, kind, meaning, samples)


def single(name: str, meaning: str, value: float, kind: str = GAUGE) -> Family:
    """A family of one sample."""
    return Family(name, kind, meaning, (Sample(value),))


def render(families: Iterable[Family]) -> bytes:
    """All families; one without samples says its name and meaning."""
    lines: list[str] = []
    for family in families:
        lines += [f"# HELP {family.name} {_meaning(family.meaning)}", f"# TYPE {family.name} {family.kind}"]
        lines += [
            f"{family.name}{one.suffix}{_labels(one.labels)} {_number(one.value)}" for one in family.samples
        ]
    return ("\n".join(lines) + "\n").encode()


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _meaning(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)
