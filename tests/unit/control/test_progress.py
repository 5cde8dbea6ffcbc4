from __future__ import annotations

import pytest

from dragons.core.hashing import sha256_hex
from dragons.core.vocabulary import OrganismState, Outcome
from tests.support.plane import Agent, Plane, Tenancy, assert_sound


@pytest.fixture
def agent(acme: Tenancy) -> Agent:
    return acme.started(acme.ready(ttl_seconds_max=36_000), ttl_seconds=36_000)


def likeness(number: int) -> str:
    return sha256_hex(f"{number}".encode())


def test_work_on_the_record_is_progress(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    plane.clock.advance(5_000)
    done = acme.work(agent, likeness=likeness(1))
    row = acme.instance(agent)
    assert (row.progress_ms, row.progress_source, row.last_work) == (
        acme.now_ms, "receipts", done.appended.receipt_id,
    )  # fmt: skip
    assert row.progress_digest == done.appended.chain_root
    assert (row.owed_ms, row.repeats) == (acme.now_ms, 0)
    assert_sound(plane, acme)


def test_the_same_again_is_none(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    first_ms = acme.now_ms
    for number in (1, 2, 1, 2, 1):
        acme.work(agent, likeness=likeness(number))
        plane.clock.advance(2_000)
    row = acme.instance(agent)
    assert (row.progress_ms, row.repeats) == (first_ms + 2_000, 3)
    acme.work(agent, likeness=likeness(3))
    row = acme.instance(agent)
    assert (row.progress_ms, row.repeats) == (acme.now_ms, 0)


def test_without_a_likeness_new_evidence_counts(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    acme.work(agent, evidence=[likeness(1)])
    plane.clock.advance(2_000)
    acme.work(agent, evidence=[likeness(1)])
    assert acme.instance(agent).progress_ms == acme.now_ms - 2_000
    acme.work(agent, evidence=[likeness(1), likeness(2)])
    assert acme.instance(agent).progress_ms == acme.now_ms
    plane.clock.advance(2_000)
    acme.work(agent, evidence=[])
    assert acme.instance(agent).repeats == 1


def test_progress_is_noted_once_a_second(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    acme.work(agent, likeness=likeness(1))
    before = acme.instance(agent)
    plane.clock.advance(999)
    acme.work(agent, likeness=likeness(2))
    assert acme.instance(agent) == before
    plane.clock.advance(1)
    acme.work(agent, likeness=likeness(3))
    assert acme.instance(agent).progress_ms == acme.now_ms


def test_where_receipts_do_not_count_nothing_is_noted(acme: Tenancy, agent: Agent) -> None:
    acme.publish_policy(progress_sources=["files"])
    acme.work(agent, likeness=likeness(1))
    assert acme.instance(agent).progress_ms is None


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.DENIED])
def test_only_what_was_completed_is_progress(acme: Tenancy, agent: Agent, outcome: Outcome) -> None:
    acme.work(agent, likeness=likeness(1), outcome=outcome)
    assert acme.instance(agent).progress_ms is None


def test_progress_brings_back_what_has_a_pulse(plane: Plane, acme: Tenancy, agent: Agent) -> None:
    plane.clock.advance(30 * 60_000)
    acme.sweep()
    acme.beat(agent, 1)
    assert acme.instance(agent).state is OrganismState.DEGRADED
    acme.work(agent, likeness=likeness(1))
    assert acme.instance(agent).state is OrganismState.RUNNING
    assert_sound(plane, acme)
