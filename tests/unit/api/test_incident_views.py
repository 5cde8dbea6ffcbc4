from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dragons.api import incident_views
from dragons.control.rows import IncidentRow
from dragons.core.clock import parse_time
from dragons.core.errors import NotFoundError
from tests.support.plane import Plane, Tenancy


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    made = Plane(tmp_path / "control.db")
    yield made
    made.store.close()


@pytest.fixture
def acme(plane: Plane) -> Tenancy:
    return plane.tenant("acme")


def test_the_window_holds_every_line_but_the_identity(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready()
    plane.clock.advance(60_000)
    agent = acme.started(manifest)
    acme.intervene(agent.instance_id, "quarantine")
    plane.clock.advance(60_000)
    acme.intervene(agent.instance_id, "release")
    (row,) = plane.read(lambda r: r.incidents(acme.tenant_id))
    found = plane.read(lambda r: incident_views.incident(r, acme.tenant_id, row.incident_id))
    since_ms, until_ms = parse_time(found.since), parse_time(found.until)
    for line in found.lines:
        inside = since_ms <= parse_time(line.at) < until_ms
        assert inside or line.phase == "identity"
    assert not since_ms <= parse_time(found.lines[0].at)
    assert until_ms == acme.now_ms + 1
    assert (found.limits, found.unrelated) == ([], 0)


def test_an_open_one_has_no_end(plane: Plane, acme: Tenancy, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = acme.started(acme.ready())
    acme.intervene(agent.instance_id, "quarantine")
    (one,) = plane.read(
        lambda r: incident_views.incidents(r, acme.tenant_id, None, open_only=True, limit=5)
    ).incidents
    assert (one.closed_at, one.closed_seq, one.resolution) == ("", -1, "")
    assert (one.state, one.agent, one.instance_id) == ("quarantined", "reconciler", agent.instance_id)


def test_one_whose_receipts_are_gone_still_has_a_window(plane: Plane, acme: Tenancy) -> None:
    row = IncidentRow(acme.tenant_id, "inc_1", "nobody", "dsp_1", "0" * 32, 5_000, 10**6, "degraded", "r")
    plane.write(lambda tx: tx.put_incident(row))
    found = plane.read(lambda r: incident_views.incident(r, acme.tenant_id, "inc_1"))
    assert [line for line in found.lines if line.phase != "identity"] == []
    assert (found.since, found.until) == ("1970-01-01T00:00:05.000Z", "1970-01-01T00:00:05.001Z")
    with pytest.raises(NotFoundError):
        plane.read(lambda r: incident_views.incident(r, acme.tenant_id, "inc_2"))
