"""Whose trace a request belongs to, and the span of a start from its order to its lease."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dragons.api import tracing as module
from dragons.api.tracing import NoTracing, StartWatch, Value, trace_context
from tests.support.plane import Plane, Tenancy

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_callers_trace() -> None:
    others = [(b"authorization", b"Bearer x")]
    assert trace_context([*others, (b"traceparent", PARENT), (b"tracestate", b"a=b")]) == {
        "traceparent": PARENT.decode(),
        "tracestate": "a=b",
    }
    assert trace_context(others) == {}
    assert trace_context([(b"tracestate", b"a=b")]) == {}
    assert trace_context([(b"traceparent", PARENT), (b"traceparent", PARENT)]) == {}


def test_without_tracing_nothing_happens() -> None:
    silent = NoTracing()
    assert not silent.wanted
    with silent.span("ping", {"a": 1}, {}) as span:
        span.note({"b": 2}, failed=True)
    silent.record("x", (1, 2), {})


class Kept(NoTracing):
    """Keeps what is recorded."""

    wanted = True

    def __init__(self) -> None:
        self.kept: list[tuple[str, tuple[int, int], Mapping[str, Value]]] = []

    def record(self, name: str, span_ms: tuple[int, int], attributes: Mapping[str, Value]) -> None:
        self.kept.append((name, span_ms, attributes))


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    made = Plane(tmp_path / "control.db")
    yield made
    made.store.close()


@pytest.fixture
def acme(plane: Plane) -> Tenancy:
    return plane.tenant("acme")


def test_a_start_lasts_until_its_lease(plane: Plane, acme: Tenancy) -> None:
    kept, manifest = Kept(), acme.ready()
    watch = StartWatch(kept)
    acme.dispatch("reconciler", scope=["write:ledger"])
    plane.read(lambda r: watch.look(r, acme.tenant_id))
    dispatch_id = acme.dispatch()
    ordered_ms = acme.now_ms
    plane.read(lambda r: watch.look(r, acme.tenant_id))
    assert kept.kept == []
    plane.clock.advance(2_500)
    acme.started(manifest, dispatch_id=dispatch_id, node="here")
    for _ in range(2):
        plane.read(lambda r: watch.look(r, acme.tenant_id))
    ((name, span_ms, attributes),) = kept.kept
    assert (name, span_ms[0]) == ("redispatch", ordered_ms)
    assert span_ms[1] - span_ms[0] == 2_500
    assert attributes["dragons.dispatch_id"] == dispatch_id
    assert attributes["dragons.epoch"] == 1
    assert attributes["dragons.fenced_by"] == "none"
    assert attributes["dragons.outcome"] == "launched"


def test_a_start_that_is_ordered_again_ends_the_one_before(plane: Plane, acme: Tenancy) -> None:
    kept = Kept()
    acme.ready()
    watch = StartWatch(kept)
    plane.read(lambda r: watch.look(r, acme.tenant_id))
    acme.dispatch()
    plane.clock.advance(600_000)
    acme.sweep()  # nobody carried it out in time
    plane.read(lambda r: watch.look(r, acme.tenant_id))
    assert [attributes["dragons.outcome"] for _, _, attributes in kept.kept] == ["superseded"]


def test_what_waits_is_bounded(plane: Plane, acme: Tenancy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PENDING_MAX", 2)
    monkeypatch.setattr(module, "PAGE", 2)
    acme.ready()
    watch = StartWatch(Kept())
    plane.read(lambda r: watch.look(r, acme.tenant_id))
    names = [acme.dispatch() for _ in range(5)]
    plane.read(lambda r: watch.look(r, acme.tenant_id))
    assert [dispatch_id for _, dispatch_id, _ in watch._pending] == names[-2:]
