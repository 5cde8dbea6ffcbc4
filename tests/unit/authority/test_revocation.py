"""Revoking an id ends everything beneath it, and says which id it was."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dragons.authority.revocation import (
    REVOCATION,
    REVOCATIONS_VIEW,
    Path,
    Revocation,
    RevocationsView,
    Target,
    entry,
    first_revoked,
    path_entries,
    reason_of,
)
from dragons.core.canonical import decode, encode
from dragons.core.clock import format_time
from dragons.core.errors import InvalidInputError
from dragons.core.vocabulary import Reason
from tests.property.builders import NOW_MS, name

PATH = Path(
    operator="opk_1",
    dock_id="dck_1",
    agent="reconciler",
    version="reconciler@v7",
    instance_id="0a",
    lease_id="lse_1",
    above=("operator:opk_1", "dock:dck_2", "agent:runner", "version:runner@v2", "instance:0b", "lease:lse_2"),
)
ENTRIES = (
    "operator:opk_1",
    "dock:dck_1",
    "agent:reconciler",
    "version:reconciler@v7",
    "instance:0a",
    "lease:lse_1",
    "dock:dck_2",
    "agent:runner",
    "version:runner@v2",
    "instance:0b",
    "lease:lse_2",
)
REASONS = {
    Target.OPERATOR: Reason.REVOKED_OPERATOR,
    Target.DOCK: Reason.REVOKED_DOCK,
    Target.AGENT: Reason.REVOKED_AGENT,
    Target.VERSION: Reason.REVOKED_VERSION,
    Target.INSTANCE: Reason.REVOKED_INSTANCE,
    Target.LEASE: Reason.REVOKED_LEASE,
}
NOTICE = Revocation(
    revocation_id=name("rev", 1),
    tenant_id=name("tnt", 1),
    kind=Target.LEASE,
    target="lse_1",
    revoked_at=format_time(NOW_MS),
    reason="lost",
)


def test_the_path_names_every_id_above_a_lease() -> None:
    assert path_entries(PATH) == ENTRIES


@pytest.mark.parametrize("revoked", ENTRIES)
def test_any_id_on_the_path_is_found(revoked: str) -> None:
    assert first_revoked(ENTRIES, {revoked, "lease:lse_9"}) == revoked


def test_the_highest_revoked_id_is_found_first() -> None:
    assert first_revoked(ENTRIES, frozenset(ENTRIES)) == "operator:opk_1"


@pytest.mark.parametrize(
    "revoked", [set(), {"lse_1"}, {"lease:lse_9"}, {"dock:lse_1"}, {"lease:lse"}, {"LEASE:lse_1"}]
)
def test_what_is_not_on_the_path_is_not_found(revoked: set[str]) -> None:
    assert first_revoked(ENTRIES, revoked) is None


@pytest.mark.parametrize("target", list(Target))
def test_every_kind_of_target_has_its_reason(target: Target) -> None:
    assert reason_of(entry(target, "lse_1"), "lse_1") is REASONS[target]


def test_a_revoked_lease_above_ones_own_is_the_parents() -> None:
    assert reason_of("lease:lse_2", "lse_1") is Reason.REVOKED_PARENT
    assert reason_of("instance:lse_2", "lse_1") is Reason.REVOKED_INSTANCE


def test_an_entry_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="planet"):
        reason_of("planet:mars", "lse_1")


def test_revocations_come_back_from_their_bytes() -> None:
    view = RevocationsView(
        tenant_id=name("tnt", 1),
        after=3,
        count=5,
        entries=["dock:dck_1", "lease:lse_1"],
        as_of=format_time(NOW_MS),
    )
    assert decode(Revocation, encode(NOTICE)) == NOTICE
    assert decode(RevocationsView, encode(view)) == view
    assert (REVOCATION, REVOCATIONS_VIEW) == ("revocation", "revocations-view")


@pytest.mark.parametrize(
    "changes",
    [{"target": ""}, {"target": "x" * 129}, {"reason": ""}, {"reason": "x" * 501}, {"kind": "planet"}],
)
def test_a_revocation_with_a_value_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        decode(Revocation, encode(replace(NOTICE, **changes)))
