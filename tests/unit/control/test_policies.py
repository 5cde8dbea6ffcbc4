from __future__ import annotations

import pytest

from dragons.control.policies import effective, now_of, outages_of, policy_of, thresholds_of
from dragons.control.rows import OutageRow
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError
from dragons.core.vocabulary import Kind
from dragons.liveness.policy import LivenessPolicy, Policy, thresholds
from tests.support.expect import fails
from tests.support.plane import Plane, Tenancy, make_manifest

DAY_MS = 24 * 3600 * 1000


def policy(tenancy: Tenancy, agent: str = "reconciler") -> LivenessPolicy:
    return tenancy.plane.read(lambda reader: policy_of(reader, tenancy.tenant_id, agent))


def test_a_policy_is_on_the_record_and_counts_from_now_on(acme: Tenancy) -> None:
    appended = acme.publish_policy(restarts_max=7)
    (header,) = acme.receipts(Kind.POLICY_PUBLISHED)
    assert (header.receipt_id, header.agent) == (appended.receipt_id, "reconciler")
    (body,) = acme.statements(Kind.POLICY_PUBLISHED, Policy)
    assert policy(acme) == thresholds(body)
    assert policy(acme).restarts_max == 7


def test_an_agents_own_policy_counts_before_everybodys_and_that_before_the_defaults(acme: Tenancy) -> None:
    assert policy(acme) == LivenessPolicy()
    acme.publish_policy(agent="*", restarts_max=1)
    assert (policy(acme).restarts_max, policy(acme, "notifier").restarts_max) == (1, 1)
    assert not isinstance(acme.receipts(Kind.POLICY_PUBLISHED)[0].agent, str)
    acme.publish_policy(restarts_max=2)
    acme.publish_policy(restarts_max=4, version=2)
    assert (policy(acme).restarts_max, policy(acme, "notifier").restarts_max) == (4, 1)
    row = acme.plane.read(lambda reader: effective(reader, acme.tenant_id, "reconciler"))
    assert row is not None
    assert (row.version, thresholds_of(row)) == (2, policy(acme))


def test_one_by_a_compromised_key_is_passed_over(acme: Tenancy) -> None:
    """The one before it counts again, then the one for every agent, then the defaults; numbers go on."""
    second = acme.hire("operator")
    acme.publish_policy(agent="*", restarts_max=1)
    acme.publish_policy(restarts_max=2)
    acme.plane.clock.advance(1)
    since = acme.now
    for version in (2, 3):
        acme.publish_policy(second, restarts_max=9, version=version)
    acme.publish_policy(second, agent="*", restarts_max=9, version=2)
    assert (policy(acme).restarts_max, policy(acme, "notifier").restarts_max) == (9, 9)
    acme.plane.clock.advance(1)
    acme.revoke_key(second.key_id, compromised_since=since)
    assert (policy(acme).restarts_max, policy(acme, "notifier").restarts_max) == (2, 1)
    assert policy(acme).version == 1
    acme.publish_policy(restarts_max=4, version=4)
    assert policy(acme).restarts_max == 4


def test_without_a_sound_one_the_defaults_count(acme: Tenancy) -> None:
    second, since = acme.hire("operator"), acme.now
    acme.publish_policy(second, agent="*", restarts_max=9)
    acme.publish_policy(second, restarts_max=9)
    acme.plane.clock.advance(1)
    acme.revoke_key(second.key_id, compromised_since=since)
    assert policy(acme) == LivenessPolicy()
    assert acme.plane.read(lambda reader: effective(reader, acme.tenant_id, "reconciler")) is None


def test_a_policy_is_its_tenants_own(acme: Tenancy, globex: Tenancy) -> None:
    acme.publish_policy(restarts_max=0)
    assert policy(globex) == LivenessPolicy()


@pytest.mark.parametrize("version", [1, 3])
def test_versions_have_no_gap_and_no_repetition(acme: Tenancy, version: int) -> None:
    acme.publish_policy()
    with fails(ConflictError, "policy_version_conflict"):
        acme.publish_policy(version=version)
    assert len(acme.receipts(Kind.POLICY_PUBLISHED)) == 1


def test_the_first_policy_has_version_1(acme: Tenancy) -> None:
    with fails(ConflictError, "policy_version_conflict"):
        acme.publish_policy(version=2)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"autoheal_after_seconds": 1_800}, "policy_invalid"),
        ({"progress_sources": ["claim"]}, "policy_invalid"),
        ({"published_at": format_time(1_800_000_000_000 - 600_001)}, "date_implausible"),
    ],
)
def test_what_contradicts_itself_is_not_published(acme: Tenancy, changes: dict, code: str) -> None:
    with fails(InvalidInputError, code):
        acme.publish_policy(**changes)
    assert policy(acme) == LivenessPolicy()


def test_an_auditor_publishes_nothing(acme: Tenancy) -> None:
    with fails(ForbiddenError, "signer_not_valid"):
        acme.publish_policy(acme.hire("auditor"))


@pytest.mark.parametrize(("agent", "touched"), [("reconciler", 1), ("*", 2)])
def test_what_runs_already_is_looked_at_again(plane: Plane, acme: Tenancy, agent: str, touched: int) -> None:
    acme.started(acme.ready())
    acme.ready("notifier", ["send:email"])
    acme.started(make_manifest("notifier"))
    acme.publish_policy(agent=agent)
    due = plane.read(lambda reader: reader.timers_due(acme.tenant_id, acme.now_ms, 10))
    assert len(due) == touched


def test_outages_of_the_last_month_count(plane: Plane, acme: Tenancy) -> None:
    now_ms = acme.now_ms
    for from_ms in (now_ms - 40 * DAY_MS, now_ms - 2 * DAY_MS):
        row = OutageRow(acme.tenant_id, from_ms, from_ms + DAY_MS)
        plane.write(lambda tx, row=row: tx.put_outage(row))
    expected = ((now_ms - 2 * DAY_MS, now_ms - DAY_MS),)
    assert plane.read(lambda reader: outages_of(reader, acme.tenant_id, now_ms)) == expected
    acme.publish_policy()
    now = plane.read(lambda reader: now_of(reader, acme.tenant_id, "reconciler", now_ms))
    assert (now.now_ms, now.policy.version, now.outages) == (now_ms, 1, expected)


def test_an_absence_that_no_sweep_has_noted_yet_is_an_outage(plane: Plane, acme: Tenancy) -> None:
    def outages() -> tuple[tuple[int, int], ...]:
        return plane.read(lambda reader: outages_of(reader, acme.tenant_id, plane.clock.now_ms()))

    acme.sweep(outage_after_ms=30_000)
    since_ms = plane.clock.now_ms()
    plane.clock.advance(30_000)
    assert outages() == ()
    plane.clock.advance(3_600_000)
    assert outages() == ((since_ms, plane.clock.now_ms()),)
    acme.sweep(outage_after_ms=30_000)
    assert outages() == ((since_ms, plane.clock.now_ms()),)
