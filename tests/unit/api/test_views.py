"""Views derive their figures from rows; the worst of an agent's instances is its state."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from dragons.api import views
from dragons.compose import Names, add_tenant, build_store
from dragons.core.clock import ManualClock
from dragons.core.errors import NotFoundError
from dragons.core.vocabulary import OrganismState
from dragons.settings import Settings
from tests.support.server import AGENT, Plane


def test_everything_unknown_is_not_found(tmp_path: Path) -> None:
    clock, settings = ManualClock(), Settings(home=tmp_path)
    store = build_store(settings, clock)
    made = add_tenant(settings, store, Names("acme", "Ada"), clock)
    try:
        with store.read() as reader:
            for look in (
                lambda: views.tenant(reader, "tnt_x"),
                lambda: views.history(reader, made.tenant_id, "a"),
                lambda: views.version_detail(reader, made.tenant_id, "0" * 64),
                lambda: views.dock(reader, made.tenant_id, "dck_x", 0),
                lambda: views.lease_detail(reader, made.tenant_id, "lse_x", 0),
                lambda: views.instance(reader, made.tenant_id, "x", 0),
            ):
                with pytest.raises(NotFoundError):
                    look()
    finally:
        store.close()


def test_keys_have_four_states(tmp_path: Path) -> None:
    clock, settings = ManualClock(), Settings(home=tmp_path)
    store = build_store(settings, clock)
    made = add_tenant(settings, store, Names("acme", "Ada"), clock)

    def states(now_ms: int) -> dict[str, str]:
        with store.read() as reader:
            return {one.role: one.status for one in views.keys(reader, made.tenant_id, now_ms).keys}

    year_ms = 366 * 24 * 3600 * 1000
    assert set(states(clock.now_ms()).values()) == {"valid"}
    assert set(states(clock.now_ms() - 120_000).values()) == {"not_yet_valid"}
    assert states(clock.now_ms() + year_ms)["issuer"] == "expired"
    with store.read() as reader:
        row = next(one for one in reader.keys(made.tenant_id) if one.role == "operator")
    store.write(lambda tx: tx.put_key(replace(row, revoked_ms=1, compromised_ms=0))).result()
    with store.read() as reader:
        shown = next(one for one in views.keys(reader, made.tenant_id, 5).keys if one.role == "operator")
        (token,) = views.tokens(reader, made.tenant_id, clock.now_ms()).tokens
    assert (shown.status, shown.revoked_at, shown.compromised_since) == (
        "revoked",
        "1970-01-01T00:00:00.001Z",
        "1970-01-01T00:00:00.000Z",
    )
    assert token.status == "key_ended"
    store.close()


def test_an_agent_is_as_well_as_its_worst_instance(plane: Plane) -> None:
    tenant = plane.tenant()
    instances = [tenant.launch() for _ in range(3)]
    store = plane.backend.store
    for one, state in zip(instances, (OrganismState.DEGRADED, OrganismState.QUARANTINED), strict=False):
        with store.read() as reader:
            row = reader.instance(tenant.tenant_id, one.instance_id)
        assert row is not None
        store.write(lambda tx, row=row, state=state: tx.put_instance(replace(row, state=state))).result()
    (shown,) = tenant.get("/v1/agents")["agents"]
    assert (shown["agent"], shown["state"], shown["running"]) == (AGENT, "quarantined", 3)
