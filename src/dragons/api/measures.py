"""What this process counts while it serves: requests, sweeps, heartbeats, groups of the writer.

In memory, from the start of the process. Each number has one thread that writes it. Holds nothing that
tells one tenant, agent or instance from another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from dragons.api.exposition import COUNTER, HISTOGRAM, Family, Histogram, Sample, counted, single

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
JOBS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
# Reason codes are words of the code; that many different ones would be a mistake in it.
CODES_MAX = 500
OTHER = "other"
LATENCY, SWEEP, GROUPS = "dragons_http_request_seconds", "dragons_sweep_seconds", "dragons_writer_group_jobs"


Listener = Callable[[str, tuple[float, ...], float, dict[str, str]], None]


class Measures:
    """The process's own figures. `listener` hears each value of a histogram: its name, bounds, value, labels."""

    def __init__(self) -> None:
        self.listener: Listener | None = None
        self._requests: Counter[tuple[str, str]] = Counter()
        self._refusals: Counter[tuple[str, str]] = Counter()
        self._latency: dict[str, Histogram] = {}
        self._beats: Counter[str] = Counter()
        self._sweep = Histogram(SECONDS)
        self._timers = 0
        self._failed_sweeps = 0
        self._groups = Histogram(JOBS)

    def request(self, operation: str, status: int, code: str, elapsed_ms: int) -> None:
        """A request was answered; `code` is empty unless it was a problem."""
        self._requests[operation, f"{status // 100}xx"] += 1
        self._latency.setdefault(operation, Histogram(SECONDS)).add(elapsed_ms / 1000)
        self._tell(LATENCY, SECONDS, elapsed_ms / 1000, {"operation": operation})
        if code:
            known = len(self._refusals) < CODES_MAX or (operation, code) in self._refusals
            self._refusals[operation, code if known else OTHER] += 1

    def beats(self, accepted: int, refused: Counter[str]) -> None:
        """A batch of heartbeats was taken in; `refused` counts by reason code."""
        self._beats["accepted"] += accepted
        self._beats.update(refused)

    def sweep(self, elapsed_ms: int, timers: int) -> None:
        """All tenants were swept once."""
        self._sweep.add(elapsed_ms / 1000)
        self._tell(SWEEP, SECONDS, elapsed_ms / 1000, {})
        self._timers += timers

    def sweep_failed(self) -> None:
        """The sweep of a tenant failed."""
        self._failed_sweeps += 1

    def group(self, jobs: int) -> None:
        """The writer committed a group. Called in its thread."""
        self._groups.add(jobs)
        self._tell(GROUPS, JOBS, jobs, {})

    def _tell(self, name: str, bounds: tuple[float, ...], value: float, labels: dict[str, str]) -> None:
        if self.listener is not None:
            self.listener(name, bounds, value, labels)

    def families(self) -> list[Family]:
        """The figures as they are now."""
        latency = [
            sample
            for operation, histogram in sorted(self._latency.copy().items())
            for sample in histogram.samples({"operation": operation})
        ]
        return [
            _pairs(
                "dragons_http_requests_total",
                "Requests by operation and class of status.",
                ("operation", "status"),
                self._requests,
            ),
            _pairs(
                "dragons_http_problems_total",
                "Requests that were answered with a problem, by operation and reason code.",
                ("operation", "code"),
                self._refusals,
            ),
            Family(
                LATENCY,
                HISTOGRAM,
                "Time from the dispatcher's begin to the answer.",
                tuple(latency),
            ),
            counted(
                "dragons_heartbeats_total", "Heartbeats by what became of them.", "result", self._beats.copy()
            ),
            Family(
                SWEEP,
                HISTOGRAM,
                "Duration of a sweep of all tenants.",
                tuple(self._sweep.samples()),
            ),
            single("dragons_sweep_timers_total", "Timers that sweeps fired.", self._timers, COUNTER),
            single(
                "dragons_sweep_failures_total",
                "Sweeps of a tenant that failed.",
                self._failed_sweeps,
                COUNTER,
            ),
            Family(
                GROUPS,
                HISTOGRAM,
                "Writes that shared a commit.",
                tuple(self._groups.samples()),
            ),
        ]


def _pairs(name: str, meaning: str, labels: tuple[str, str], counts: Counter[tuple[str, str]]) -> Family:
    samples = (
        Sample(value, dict(zip(labels, key, strict=True))) for key, value in sorted(counts.copy().items())
    )
    return Family(name, COUNTER, meaning, tuple(samples))
