"""What is kept of a lease, and what a renewal may change."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dragons.audit.leases import changed_by_renewal, held, is_delegated
from dragons.core.keys import KeyRole, PublicKey
from tests.property.builders import make_child, make_lease, name


def test_a_held_lease_knows_its_key_name_and_path() -> None:
    body = make_lease()
    lease = held(body, "d" * 64, (f"lease:{name('lse', 7)}",))
    assert lease.name == f"{body.agent}@v{body.version}"
    assert lease.key_id == PublicKey(body.instance_key).key_id(KeyRole.INSTANCE)
    assert f"lease:{body.lease_id}" in lease.path
    assert f"lease:{name('lse', 7)}" in lease.path
    assert f"dock:{body.dock_id}" in lease.path


def test_a_renewal_keeps_the_beginning() -> None:
    body = make_lease()
    lease = held(body, "d" * 64, ())
    lease.renew(
        replace(body, serial=1, scope=["read:payments"], expires_at="2027-01-15T09:00:00.000Z"), "e" * 64
    )
    assert lease.not_before == body.not_before
    assert lease.expires_at == "2027-01-15T09:00:00.000Z"
    assert lease.scope == {"read:payments"}
    assert lease.digest == "e" * 64


def test_a_late_renewal_leaves_a_gap() -> None:
    """Until the renewal was issued, whatever its `not_before` says."""
    body = make_lease()
    lease = held(body, "d" * 64, ())
    lease.renew(replace(body, serial=1, expires_at="2027-01-15T09:00:00.000Z"), "e" * 64)
    assert lease.gaps == []
    times = {"issued_at": "2027-01-15T09:01:00.000Z", "not_before": "2027-01-15T09:00:50.000Z"}
    lease.renew(replace(body, serial=2, expires_at="2027-01-15T09:16:00.000Z", **times), "f" * 64)
    assert lease.gaps == [("2027-01-15T09:00:00.000Z", "2027-01-15T09:01:00.000Z")]


@pytest.mark.parametrize(
    "changes", [{"serial": 1}, {"scope": []}, {"expires_at": "2027-01-15T09:00:00.000Z"}]
)
def test_a_renewal_may_change_times_and_narrow(changes: dict[str, Any]) -> None:
    assert changed_by_renewal(make_lease(), replace(make_lease(), **changes)) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("epoch", 9), ("instance_key", bytes(32)), ("dock_id", name("dck", 9)), ("depth", 1), ("version", 8)],
)
def test_a_renewal_may_change_nothing_else(field: str, value: object) -> None:
    assert changed_by_renewal(make_lease(), replace(make_lease(), **{field: value})) == field


def test_a_child_is_delegated() -> None:
    assert not is_delegated(make_lease())
    assert is_delegated(make_child(make_lease(), "0" * 64))
