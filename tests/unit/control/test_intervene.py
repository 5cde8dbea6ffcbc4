from __future__ import annotations

from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from dragons.core.ids import uuid7_hex
from dragons.core.vocabulary import Kind, OrganismState, Reason
from tests.support.expect import fails, is_refused
from tests.support.plane import Plane, Tenancy, assert_sound


def test_stop_ends_the_instance_for_good(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    acme.intervene(agent.instance_id, reason="it loops")
    row = acme.instance(agent)
    assert (row.state, row.stopped_ms) == (OrganismState.STOPPED, plane.clock.now_ms())
    assert "it loops" in row.state_reason
    assert acme.session(agent.session_id).outcome == "abandoned"
    assert is_refused(acme.renew(agent), Reason.ORGANISM_STOPPED)
    assert acme.beat(agent, 1).refused == {0: "organism_stopped"}
    assert [one.kind for one in acme.receipts()][-4:-1] == [
        Kind.INTERVENTION,
        Kind.STATE_CHANGED,
        Kind.SESSION_CLOSED,
    ]
    assert_sound(plane, acme)


def test_interventions_count_in_mtbi_of_later_receipts(plane: Plane, acme: Tenancy) -> None:
    manifest = acme.ready()
    first, second = acme.started(manifest, ttl_seconds=3600), acme.started(manifest, ttl_seconds=3600)
    plane.clock.advance(600_000)
    acme.intervene(first.instance_id)
    plane.clock.advance(600_000)
    acme.work(second)
    # 600 s of the one and 1200 s of the other, one intervention; a second one halves the mean.
    assert acme.receipts(Kind.WORK)[-1].mtboi_seconds == 1_800
    third = acme.started(manifest)
    acme.intervene(third.instance_id)
    plane.clock.advance(20_000)
    acme.work(second)
    assert acme.receipts(Kind.WORK)[-1].mtboi_seconds == (600 + 1_220) // 2
    assert_sound(plane, acme)


def test_stopping_twice_is_a_conflict(acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    acme.intervene(agent.instance_id)
    with fails(ConflictError, "organism_stopped"):
        acme.intervene(agent.instance_id)
    assert len(acme.receipts(Kind.INTERVENTION)) == 1


def test_what_is_no_intervention_is_an_error(acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    with fails(InvalidInputError, "intervention_unknown"):
        acme.intervene(agent.instance_id, "scold")
    with fails(NotFoundError, "instance_missing"):
        acme.intervene(uuid7_hex(1))
    with fails(InvalidInputError, "date_implausible"):
        acme.intervene(agent.instance_id, at=format_time(acme.now_ms + 600_001))
    assert acme.instance(agent).state is OrganismState.RUNNING


def test_nobody_stops_what_another_tenant_runs(acme: Tenancy, globex: Tenancy) -> None:
    agent = acme.started(acme.ready())
    with fails(NotFoundError, "instance_missing"):
        globex.intervene(agent.instance_id)
    with fails(ForbiddenError, "tenant_mismatch"):
        globex.intervene(agent.instance_id, tenant_id=acme.tenant_id)
    with fails(ForbiddenError, "signer_unknown"):
        acme.intervene(agent.instance_id, signer=globex.operator)
    assert acme.instance(agent).state is OrganismState.RUNNING


def test_an_auditor_stops_nothing(acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    with fails(ForbiddenError, "signer_not_valid"):
        acme.intervene(agent.instance_id, signer=acme.hire("auditor"))
