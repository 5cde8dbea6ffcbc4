"""The decision: every fact that is missing, old or wrong denies with its own reason."""

from __future__ import annotations

from typing import Any

import pytest

from dragons.authority.decide import CLOCK_DRIFT_MS_MAX, Allow, Deny, Holding, decide, hold
from dragons.authority.revocation import STALE_AFTER_MS
from dragons.core.clock import format_time
from dragons.core.vocabulary import OrganismState, Reason
from tests.property.builders import (
    BOOT_MS,
    MINUTE_MS,
    NOW_MS,
    make_holding,
    make_lease,
    make_now,
    make_situation,
    name,
)

LEASE_ID = name("lse", 1)
LIFE_MS = 15 * MINUTE_MS
ALLOWED = Allow(LEASE_ID, NOW_MS + LIFE_MS)


def ask(
    capability: str = "read:payments",
    *,
    holding: dict[str, Any] | None = None,
    situation: dict[str, Any] | None = None,
    now: Any = None,
    online: bool = False,
) -> Allow | Deny:
    when = make_now() if now is None else now
    facts = {"as_of_boot_ms": when.boot_ms, **(situation or {})}
    return decide(capability, make_holding(**(holding or {})), make_situation(**facts), when, online=online)


def reason(**options: Any) -> Reason:
    verdict = ask(**options)
    assert isinstance(verdict, Deny)
    return verdict.reason


def test_an_action_within_all_facts_is_allowed_until_expiry() -> None:
    assert ask() == ALLOWED


def test_without_a_lease_nothing_is_allowed() -> None:
    verdict = decide("read:payments", None, make_situation(), make_now(), online=True)
    assert isinstance(verdict, Deny)
    assert verdict.reason is Reason.LEASE_MISSING


@pytest.mark.parametrize("age_ms", [0, 1, STALE_AFTER_MS])
def test_a_view_is_good_for_its_bound(age_ms: int) -> None:
    assert ask(situation={"as_of_boot_ms": BOOT_MS - age_ms}) == ALLOWED


@pytest.mark.parametrize("age_ms", [-1, STALE_AFTER_MS + 1, 10**9])
def test_an_older_view_or_one_from_the_future_denies(age_ms: int) -> None:
    assert reason(situation={"as_of_boot_ms": BOOT_MS - age_ms}) is Reason.AUTHORITY_STALE


def test_the_bound_is_five_seconds() -> None:
    assert STALE_AFTER_MS == 5_000


@pytest.mark.parametrize("jump_ms", [-CLOCK_DRIFT_MS_MAX, CLOCK_DRIFT_MS_MAX])
def test_a_clock_may_drift_a_little(jump_ms: int) -> None:
    assert ask(now=make_now(MINUTE_MS, jump_ms=jump_ms)) == ALLOWED


@pytest.mark.parametrize("jump_ms", [-3_600_000, -CLOCK_DRIFT_MS_MAX - 1, CLOCK_DRIFT_MS_MAX + 1, 3_600_000])
def test_a_wall_clock_that_jumped_denies(jump_ms: int) -> None:
    assert reason(now=make_now(MINUTE_MS, jump_ms=jump_ms)) is Reason.CLOCK_JUMPED


def test_expiry_has_no_leeway() -> None:
    assert ask(now=make_now(LIFE_MS - 1)) == ALLOWED
    assert reason(now=make_now(LIFE_MS)) is Reason.LEASE_EXPIRED


def test_the_earlier_of_both_clocks_ends_a_lease() -> None:
    assert reason(now=make_now(LIFE_MS, jump_ms=-CLOCK_DRIFT_MS_MAX)) is Reason.LEASE_EXPIRED
    assert (
        reason(now=make_now(LIFE_MS - CLOCK_DRIFT_MS_MAX, jump_ms=CLOCK_DRIFT_MS_MAX)) is Reason.LEASE_EXPIRED
    )


def test_a_lease_begins_at_not_before() -> None:
    assert ask(holding={"not_before_ms": NOW_MS}) == ALLOWED
    assert reason(holding={"not_before_ms": NOW_MS + 1}) is Reason.LEASE_NOT_YET_VALID


def test_a_lease_of_another_tenant_denies() -> None:
    assert reason(situation={"tenant_id": name("tnt", 2)}) is Reason.TENANT_MISMATCH


@pytest.mark.parametrize("epoch", [2, 4])
def test_another_epoch_denies(epoch: int) -> None:
    assert reason(situation={"epoch": epoch}) is Reason.EPOCH_STALE


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (OrganismState.AUTOHEALING, Reason.ORGANISM_AUTOHEALING),
        (OrganismState.QUARANTINED, Reason.ORGANISM_QUARANTINED),
        (OrganismState.STOPPED, Reason.ORGANISM_STOPPED),
    ],
)
def test_an_organism_that_is_held_denies(state: OrganismState, expected: Reason) -> None:
    assert reason(situation={"state": state}) is expected


@pytest.mark.parametrize("state", [OrganismState.RUNNING, OrganismState.DEGRADED])
def test_a_living_organism_with_a_lease_may_act(state: OrganismState) -> None:
    assert ask(situation={"state": state}) == ALLOWED


@pytest.mark.parametrize(
    ("revoked", "expected"),
    [
        (f"operator:{name('opk', 1)}", Reason.REVOKED_OPERATOR),
        (f"dock:{name('dck', 1)}", Reason.REVOKED_DOCK),
        ("agent:reconciler", Reason.REVOKED_AGENT),
        ("version:reconciler@v7", Reason.REVOKED_VERSION),
        (f"instance:{1:032x}", Reason.REVOKED_INSTANCE),
        (f"lease:{LEASE_ID}", Reason.REVOKED_LEASE),
        (f"lease:{name('lse', 2)}", Reason.REVOKED_PARENT),
        ("agent:runner", Reason.REVOKED_AGENT),
        (f"lease:{name('lse', 3)}", Reason.REVOKED_PARENT),
    ],
)
def test_a_revoked_id_anywhere_on_the_path_denies(revoked: str, expected: Reason) -> None:
    holding = hold(
        make_lease(), (f"lease:{name('lse', 2)}", "agent:runner", f"lease:{name('lse', 3)}"), make_now()
    )
    verdict = decide(
        "read:payments", holding, make_situation(revoked=frozenset({revoked})), make_now(), online=False
    )
    assert verdict == Deny(expected, revoked)


@pytest.mark.parametrize(
    "revoked", ["agent:other", "version:reconciler@v8", f"lease:{name('lse', 9)}", "dock:", LEASE_ID]
)
def test_a_revocation_of_something_else_does_not_deny(revoked: str) -> None:
    holding = hold(make_lease(), (), make_now())
    verdict = decide(
        "read:payments", holding, make_situation(revoked=frozenset({revoked})), make_now(), online=False
    )
    assert isinstance(verdict, Allow)


@pytest.mark.parametrize("capability", ["read:payment", "read:payments2", "", "send:notice", "*"])
def test_a_capability_outside_the_lease_denies(capability: str) -> None:
    assert reason(capability=capability) is Reason.CAPABILITY_NOT_LEASED


def test_a_capability_without_a_meaning_denies() -> None:
    assert reason(situation={"risks": {}}) is Reason.CAPABILITY_UNKNOWN


def test_high_risk_demands_the_control_planes_own_check() -> None:
    assert reason(capability="pay:invoice") is Reason.ONLINE_CHECK_REQUIRED
    assert ask("pay:invoice", online=True) == ALLOWED
    assert ask("write:ledger") == ALLOWED


@pytest.mark.parametrize(
    "options",
    [
        {"situation": {"as_of_boot_ms": 0}},
        {"now": make_now(jump_ms=60_000)},
        {"now": make_now(LIFE_MS)},
        {"situation": {"tenant_id": name("tnt", 2)}},
        {"situation": {"epoch": 4}},
        {"situation": {"state": OrganismState.STOPPED}},
        {"situation": {"revoked": frozenset({f"lease:{LEASE_ID}"})}},
        {"capability": "send:notice"},
        {"situation": {"risks": {}}},
    ],
)
def test_the_control_plane_itself_denies_for_the_same_reasons(options: dict[str, Any]) -> None:
    assert reason(**options, online=True) is reason(**options, online=False)


def test_a_held_lease_says_what_the_lease_says() -> None:
    parent = f"lease:{name('lse', 2)}"
    assert hold(make_lease(), (parent,), make_now()) == Holding(
        lease_id=LEASE_ID,
        tenant_id=name("tnt", 1),
        instance_id=f"{1:032x}",
        epoch=3,
        scope=frozenset({"read:payments", "write:ledger"}),
        not_before_ms=NOW_MS - 10_000,
        expires_ms=NOW_MS + LIFE_MS,
        boot_deadline_ms=BOOT_MS + LIFE_MS,
        wall_minus_boot_ms=NOW_MS - BOOT_MS,
        path=(
            f"operator:{name('opk', 1)}",
            f"dock:{name('dck', 1)}",
            "agent:reconciler",
            "version:reconciler@v7",
            f"instance:{1:032x}",
            f"lease:{LEASE_ID}",
            parent,
        ),
    )


def test_what_may_only_be_handed_on_is_not_held() -> None:
    assert "send:notice" not in hold(make_lease(), (), make_now()).scope


def test_a_lease_that_came_too_late_is_over_at_once() -> None:
    lease = make_lease(expires_at=format_time(NOW_MS - 1))
    holding = hold(lease, (), make_now())
    assert holding.boot_deadline_ms == BOOT_MS
    verdict = decide("read:payments", holding, make_situation(), make_now(), online=False)
    assert isinstance(verdict, Deny)
    assert verdict.reason is Reason.LEASE_EXPIRED
