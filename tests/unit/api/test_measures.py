from __future__ import annotations

from collections import Counter

from dragons.api import measures as module
from dragons.api.exposition import render
from dragons.api.measures import Measures
from tests.unit.api.test_exposition import parse


def figures(measures: Measures) -> dict[str, float]:
    """Samples as `name label=value …`."""
    return {
        " ".join([name, *(f"{key}={value}" for key, value in sorted(labels))]): number
        for (name, labels), number in parse(render(measures.families())).items()
    }


def test_requests_are_counted_by_class_and_code() -> None:
    measures = Measures()
    measures.request("ping", 200, "", 7)
    measures.request("ping", 200, "", 700)
    measures.request("docks.list", 403, "role_forbidden", 1)
    found = figures(measures)
    assert found["dragons_http_requests_total operation=ping status=2xx"] == 2
    assert found["dragons_http_requests_total operation=docks.list status=4xx"] == 1
    assert found["dragons_http_problems_total code=role_forbidden operation=docks.list"] == 1
    assert found["dragons_http_request_seconds_bucket le=0.01 operation=ping"] == 1
    assert found["dragons_http_request_seconds_count operation=ping"] == 2
    assert found["dragons_http_request_seconds_sum operation=ping"] == 0.707


def test_codes_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr(module, "CODES_MAX", 2)
    measures = Measures()
    for code in ("a", "b", "c", "d", "a"):
        measures.request("ping", 400, code, 0)
    found = figures(measures)
    assert found["dragons_http_problems_total code=a operation=ping"] == 2
    assert found["dragons_http_problems_total code=other operation=ping"] == 2


def test_heartbeats_sweeps_and_groups() -> None:
    measures = Measures()
    measures.beats(3, Counter({"lease_expired": 2}))
    measures.beats(1, Counter())
    measures.sweep(30, 12)
    measures.sweep_failed()
    measures.group(1)
    measures.group(40)
    found = figures(measures)
    assert found["dragons_heartbeats_total result=accepted"] == 4
    assert found["dragons_heartbeats_total result=lease_expired"] == 2
    assert (found["dragons_sweep_timers_total"], found["dragons_sweep_failures_total"]) == (12, 1)
    assert found["dragons_sweep_seconds_bucket le=0.05"] == 1
    assert found["dragons_writer_group_jobs_bucket le=32"] == 1
    assert found["dragons_writer_group_jobs_sum"] == 41
