"""A tenant's figures count what is on the record, once, and nothing of another tenant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dragons.api import ledger_metrics as module
from dragons.api.exposition import render
from dragons.api.ledger_metrics import LedgerMetrics
from tests.support.plane import Plane, Tenancy
from tests.unit.api.test_exposition import parse


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    made = Plane(tmp_path / "control.db")
    yield made
    made.store.close()


@pytest.fixture
def acme(plane: Plane) -> Tenancy:
    return plane.tenant("acme")


def figures(metrics: LedgerMetrics, tenancy: Tenancy) -> dict[str, float]:
    families = tenancy.plane.read(lambda r: metrics.families(r, tenancy.tenant_id, tenancy.now_ms))
    return {
        " ".join([name, *(f"{key}={value}" for key, value in sorted(labels))]): number
        for (name, labels), number in parse(render(families)).items()
    }


def test_what_happened_is_counted_once(plane: Plane, acme: Tenancy) -> None:
    globex, metrics = plane.tenant("globex"), LedgerMetrics()
    before = acme.started(acme.ready())
    acme.intervene(before.instance_id)
    plane.read(metrics.begin)
    first, second = (acme.started(acme.ready(name)) for name in ("notifier", "walker"))
    acme.intervene(first.instance_id, "quarantine")
    acme.intervene(second.instance_id, "stop")
    acme.dispatch("walker")
    for _ in range(3):
        found = figures(metrics, acme)
        assert found["dragons_transitions_total trigger=quarantined_by_operator"] == 1
        assert found["dragons_transitions_total trigger=stopped_by_operator"] == 1
        assert found["dragons_interventions_total action=stop"] == 1
        assert found["dragons_redispatches_total fenced_by=none"] == 1
        assert found["dragons_quarantines_total"] == 1
        assert found["dragons_receipts_total"] == acme.size()
    assert not [name for name in figures(metrics, globex) if name.startswith("dragons_interventions_total")]
    assert figures(metrics, globex)["dragons_receipts_total"] == globex.size()


def test_states_and_backlogs(plane: Plane, acme: Tenancy) -> None:
    metrics, manifest = LedgerMetrics(), acme.ready()
    agent = acme.started(manifest)
    acme.started(manifest)
    acme.intervene(agent.instance_id, "quarantine")
    acme.dispatch()
    plane.clock.advance(60_000)
    found = figures(metrics, acme)
    assert found["dragons_instances state=running"] == 1
    assert found["dragons_instances state=quarantined"] == 1
    assert found["dragons_instances state=degraded"] == 0
    assert found["dragons_dispatches state=open"] == 1
    assert (found["dragons_incidents_open"], found["dragons_orders_waiting"]) == (1, 1)
    assert found["dragons_agents_held"] == 0
    assert found["dragons_mtboi_seconds"] == 60
    waiting = acme.plane.read(lambda r: r.tallies(acme.tenant_id)).messages_waiting
    assert found["dragons_messages_waiting"] == waiting
    assert found["dragons_oldest_message_seconds"] == (60 if waiting else 0)


def test_a_long_tail_is_counted_in_parts(
    plane: Plane, acme: Tenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TAIL_MAX", 1)
    metrics, manifest = LedgerMetrics(), acme.ready()
    plane.read(metrics.begin)
    for _ in range(3):
        acme.intervene(acme.started(manifest).instance_id)
    counts = [figures(metrics, acme)["dragons_interventions_total action=stop"] for _ in range(5)]
    assert counts == [1, 2, 3, 3, 3]


def test_no_label_names_an_agent_or_an_instance(plane: Plane, acme: Tenancy) -> None:
    metrics = LedgerMetrics()
    plane.read(metrics.begin)
    agent = acme.started(acme.ready())
    acme.authorize(agent, "pay:supplier")
    acme.authorize(agent, "no:such")
    acme.intervene(agent.instance_id, "quarantine")
    families = acme.plane.read(lambda r: metrics.families(r, acme.tenant_id, acme.now_ms))
    text = render(families).decode()
    for name in ("reconciler", agent.instance_id, acme.tenant_id, "pay:supplier", "dsp_"):
        assert name not in text
