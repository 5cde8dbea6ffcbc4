"""A lease never exceeds its dock, nor the lease it was delegated from."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragons.authority.lease import (
    BACKDATE_MS,
    DELEGATION,
    DEPTH_MAX,
    LEASE,
    RELEASE,
    Delegation,
    Lease,
    Refusal,
    Release,
    refuse_outside_dock,
    refuse_outside_parent,
    renew_at_ms,
)
from dragons.core.canonical import decode, encode
from dragons.core.clock import format_time, parse_time
from dragons.core.errors import InvalidInputError
from dragons.core.hashing import ZERO, sha256_hex
from dragons.core.vocabulary import Reason
from tests.property.builders import MINUTE_MS, NOW_MS, make_child, make_dock, make_lease, name

PARENT_HASH = sha256_hex(b"parent")
PARENT = make_lease()


def in_dock(lease: dict[str, Any] | None = None, dock: dict[str, Any] | None = None) -> Refusal | None:
    return refuse_outside_dock(make_lease(**(lease or {})), make_dock(**(dock or {})), ZERO)


def under_parent(**changes: Any) -> Refusal | None:
    return refuse_outside_parent(make_child(PARENT, PARENT_HASH, **changes), PARENT, PARENT_HASH)


def reason(refusal: Refusal | None) -> Reason:
    assert refusal is not None
    assert refusal.detail
    return refusal.reason


def test_a_lease_comes_back_from_its_bytes() -> None:
    for lease in (PARENT, make_child(PARENT, PARENT_HASH, delegation_hash=ZERO)):
        assert decode(Lease, encode(lease)) == lease


def test_a_delegation_and_a_release_come_back_from_their_bytes() -> None:
    delegation = Delegation(
        tenant_id=name("tnt", 1), parent_lease_id=name("lse", 1), parent_instance_id=f"{1:032x}", agent="notifier",
        instance_id=f"{2:032x}", instance_key=bytes(32), scope=["send:notice"], not_after=format_time(NOW_MS),
        created_at=format_time(NOW_MS),
    )  # fmt: skip
    release = Release(
        tenant_id=name("tnt", 1),
        lease_id=name("lse", 1),
        instance_id=f"{1:032x}",
        released_at=format_time(NOW_MS),
    )
    assert decode(Delegation, encode(delegation)) == delegation
    assert decode(Release, encode(release)) == release
    assert (LEASE, DELEGATION, RELEASE) == ("lease", "delegation", "release")


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": -1},
        {"depth": DEPTH_MAX + 1},
        {"instance_key": bytes(31)},
        {"epoch": -1},
        {"expires_at": ""},
        {"scope": ["*"]},
    ],
)
def test_a_lease_with_a_value_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        decode(Lease, encode(make_lease(**changes)))


def test_a_lease_within_its_dock_fits() -> None:
    assert in_dock() is None
    assert in_dock({"scope": ["read:payments"], "delegate_scope": []}) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant_id": name("tnt", 2)},
        {"dock_id": name("dck", 2)},
        {"dock_hash": PARENT_HASH},
        {"agent": "notifier"},
        {"authorized_by": name("opk", 2)},
    ],
)
def test_a_lease_of_another_dock_agent_or_operator_does_not_fit(changes: dict[str, Any]) -> None:
    assert reason(in_dock(changes)) is Reason.DOCK_MISSING


@pytest.mark.parametrize("field", ["scope", "delegate_scope"])
def test_a_capability_beyond_the_dock_does_not_fit(field: str) -> None:
    refusal = in_dock({field: ["pay:invoice", "zap:all"]})
    assert reason(refusal) is Reason.CAPABILITY_NOT_DOCKED
    assert refusal is not None
    assert refusal.detail == "pay:invoice, zap:all"


def test_what_may_only_be_handed_on_may_not_be_done() -> None:
    assert reason(in_dock({"scope": ["send:notice"]})) is Reason.CAPABILITY_NOT_DOCKED
    assert reason(in_dock({"delegate_scope": ["read:payments"]})) is Reason.CAPABILITY_NOT_DOCKED


@pytest.mark.parametrize("life_ms", [1, 900_000])
def test_a_life_up_to_the_docks_bound_fits(life_ms: int) -> None:
    assert in_dock({"expires_at": format_time(NOW_MS + life_ms)}) is None


@pytest.mark.parametrize("life_ms", [900_001, 0, -1])
def test_a_life_beyond_the_docks_bound_or_without_length_does_not_fit(life_ms: int) -> None:
    assert reason(in_dock({"expires_at": format_time(NOW_MS + life_ms)})) is Reason.TTL_EXCEEDED


def test_not_before_is_backdated_no_further_than_agreed() -> None:
    assert BACKDATE_MS == 10_000
    assert in_dock({"not_before": format_time(NOW_MS - BACKDATE_MS)}) is None
    assert reason(in_dock({"not_before": format_time(NOW_MS - BACKDATE_MS - 1)})) is Reason.TTL_EXCEEDED


def test_a_lease_ends_no_later_than_its_dock() -> None:
    end_ms = NOW_MS + 15 * MINUTE_MS
    assert in_dock(dock={"not_after": format_time(end_ms)}) is None
    assert reason(in_dock(dock={"not_after": format_time(end_ms - 1)})) is Reason.DOCK_EXPIRED


def test_a_child_within_its_parent_fits() -> None:
    assert under_parent() is None
    assert under_parent(scope=["send:notice"], delegate_scope=[]) is None
    assert under_parent(scope=[], delegate_scope=[]) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"parent_lease_id": name("lse", 9)},
        {"parent_hash": ZERO},
        {"parent_lease_id": msgspec.UNSET},
        {"parent_hash": msgspec.UNSET},
        {"parent_lease_id": msgspec.UNSET, "parent_hash": msgspec.UNSET},
    ],
)
def test_a_child_of_another_parent_does_not_fit(changes: dict[str, Any]) -> None:
    assert reason(under_parent(**changes)) is Reason.LEASE_MISSING


def test_a_child_in_another_tenant_does_not_fit() -> None:
    assert reason(under_parent(tenant_id=name("tnt", 2))) is Reason.TENANT_MISMATCH


@pytest.mark.parametrize("depth", [0, 2, DEPTH_MAX])
def test_a_child_is_one_deeper_than_its_parent(depth: int) -> None:
    assert reason(under_parent(depth=depth)) is Reason.DELEGATION_TOO_DEEP


def test_delegation_ends_at_the_depth_limit() -> None:
    last = make_lease(depth=DEPTH_MAX)
    assert (
        refuse_outside_parent(
            make_child(make_lease(depth=DEPTH_MAX - 1), PARENT_HASH),
            make_lease(depth=DEPTH_MAX - 1),
            PARENT_HASH,
        )
        is None
    )
    assert (
        reason(refuse_outside_parent(make_child(last, PARENT_HASH), last, PARENT_HASH))
        is Reason.DELEGATION_TOO_DEEP
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": ["pay:invoice"]},
        {"delegate_scope": ["pay:invoice"]},
        {"delegate_scope": ["read:payments"]},
    ],
)
def test_a_child_with_more_than_its_parent_does_not_fit(changes: dict[str, Any]) -> None:
    refusal = under_parent(**changes)
    assert reason(refusal) is Reason.SCOPE_EXCEEDED
    assert refusal is not None
    assert refusal.detail == next(iter(changes.values()))[0]


def test_a_child_ends_no_later_than_its_parent() -> None:
    end_ms = parse_time(PARENT.expires_at)
    assert under_parent(expires_at=format_time(end_ms)) is None
    assert reason(under_parent(expires_at=format_time(end_ms + 1))) is Reason.TTL_EXCEEDED


def test_a_child_begins_no_earlier_than_its_parent() -> None:
    begin_ms = parse_time(PARENT.not_before)
    assert under_parent(not_before=format_time(begin_ms)) is None
    assert reason(under_parent(not_before=format_time(begin_ms - 1))) is Reason.TTL_EXCEEDED


@pytest.mark.parametrize(
    ("jitter", "share"), [(0.0, 0.5), (-1.0, 0.4), (1.0, 0.6), (0.5, 0.55), (-7.0, 0.4), (7.0, 0.6)]
)
def test_a_lease_is_renewed_at_half_its_life_give_or_take_a_tenth(jitter: float, share: float) -> None:
    assert abs(renew_at_ms(PARENT, jitter) - (NOW_MS + share * 15 * MINUTE_MS)) <= 1
