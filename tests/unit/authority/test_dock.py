"""The dock: a ceiling in one form, within fixed bounds."""

from __future__ import annotations

from typing import Any

import pytest

from dragons.authority.dock import DOCK, INSTANCES_MAX, TTL_SECONDS_MAX, Budget, Dock, check_dock
from dragons.core.canonical import decode, encode
from dragons.core.clock import format_time
from dragons.core.errors import InvalidInputError
from tests.property.builders import NOW_MS, make_dock


def test_a_good_dock_passes_and_comes_back() -> None:
    dock = make_dock(not_after=format_time(NOW_MS), budget=Budget(requests=10))
    check_dock(dock)
    assert decode(Dock, encode(dock)) == dock
    assert DOCK == "dock"


def test_a_dock_without_an_end_does_not_write_one() -> None:
    assert b"not_after" not in encode(make_dock())
    assert b"budget" not in encode(make_dock())


@pytest.mark.parametrize("changes", [{"scope": []}, {"delegate_scope": []}])
def test_one_of_both_scopes_may_be_empty(changes: dict[str, Any]) -> None:
    check_dock(make_dock(**changes))


def test_a_dock_that_allows_nothing_is_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_dock(make_dock(scope=[], delegate_scope=[]))
    assert caught.value.code == "dock_empty"


@pytest.mark.parametrize("field", ["scope", "delegate_scope"])
@pytest.mark.parametrize("scope", [["b:x", "a:x"], ["a:x", "a:x"]])
def test_a_scope_in_another_form_is_refused(field: str, scope: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_dock(make_dock(**{field: scope}))
    assert caught.value.code == "scope_unsorted"


@pytest.mark.parametrize("not_after", ["2027-02-30T00:00:00.000Z", "2027-01-15T25:00:00.000Z"])
def test_an_end_that_no_calendar_has_is_refused(not_after: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_dock(make_dock(not_after=not_after))
    assert caught.value.code == "time_malformed"


@pytest.mark.parametrize(
    "changes",
    [
        {"ttl_seconds_max": 0},
        {"ttl_seconds_max": TTL_SECONDS_MAX + 1},
        {"instances_max": 0},
        {"instances_max": INSTANCES_MAX + 1},
        {"agent": "Reconciler"},
        {"scope": ["read:*"]},
        {"budget": Budget(bytes=-1)},
        {"not_after": "never"},
    ],
)
def test_a_dock_with_a_value_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        decode(Dock, encode(make_dock(**changes)))


@pytest.mark.parametrize(
    "changes",
    [{"ttl_seconds_max": 1}, {"ttl_seconds_max": TTL_SECONDS_MAX}, {"instances_max": INSTANCES_MAX}],
)
def test_the_bounds_themselves_are_allowed(changes: dict[str, Any]) -> None:
    assert decode(Dock, encode(make_dock(**changes))) == make_dock(**changes)
