"""What a page of the fleet is made of: how many queries, and what is left of a lease."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import event

from dragons.api import fleet_views
from dragons.authority.revocation import Target
from dragons.control.mtboi import window_at
from dragons.core.vocabulary import OrganismState
from tests.support.plane import Plane, Tenancy


@pytest.fixture
def plane(tmp_path: Any) -> Any:
    made = Plane(tmp_path / "control.db")
    yield made
    made.store.close()


@pytest.fixture
def acme(plane: Plane) -> Tenancy:
    return plane.tenant("acme")


def look(acme: Tenancy, **wanted: Any) -> Any:
    chosen = fleet_views.Wanted(**wanted)
    return acme.plane.read(lambda r: fleet_views.fleet(r, acme.tenant_id, chosen, acme.now_ms))


def queries(acme: Tenancy) -> int:
    """How many a look at the whole fleet asks."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    engine = acme.plane.store._reading  # type: ignore[attr-defined]
    event.listen(engine, "before_cursor_execute", note)
    try:
        look(acme)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(asked)


def test_a_larger_fleet_asks_no_more_questions(acme: Tenancy) -> None:
    manifests = [acme.ready(), acme.ready("notifier")]
    acme.started(manifests[0])
    before = queries(acme)
    for _ in range(6):
        for manifest in manifests:
            acme.started(manifest)
    assert queries(acme) == before


def test_what_is_left_of_a_lease(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready()
    valid, revoked, expired, halted = (
        acme.started(manifest, ttl_seconds=60 if number == 2 else 900) for number in range(4)
    )
    acme.revoke(Target.LEASE, revoked.lease.lease_id)
    row = replace(acme.instance(halted), state=OrganismState.AUTOHEALING)
    plane.write(lambda tx: tx.put_instance(row))
    plane.clock.advance(60_000)
    found = {one.instance_id: (one.lease_status, one.lease_left_seconds) for one in look(acme).members}
    assert found[valid.instance_id] == ("valid", 840)
    assert found[revoked.instance_id] == ("revoked", 0)
    assert found[expired.instance_id] == ("expired", 0)
    assert found[halted.instance_id] == ("withdrawn", 0)
    acme.release(valid)
    (stopped,) = look(acme, state=OrganismState.STOPPED).members
    assert (stopped.lease_status, stopped.lease_left_seconds) == ("released", 0)


def test_the_fleets_figure_is_that_of_its_expansion(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    plane.clock.advance(90_000)
    acme.intervene(agent.instance_id)
    found = look(acme)
    expanded = plane.read(
        lambda r: fleet_views.mtboi(r, acme.tenant_id, None, window_at(acme.now_ms), page=0, limit=1)
    )
    assert (found.mtboi_seconds, found.running_seconds, found.interventions) == (90, 90, 1)
    assert (expanded.mtboi_seconds, expanded.running_ms, expanded.interventions) == (90, 90_000, 1)
