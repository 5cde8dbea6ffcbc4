"""The access table is the specification's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dragons.api.access import ACCESS, LAPSED, check_role, roles_of
from dragons.api.app import OPERATIONS
from dragons.api.routes.document import operation_for
from dragons.core.errors import ForbiddenError
from dragons.core.vocabulary import Role

SPEC = Path(__file__).parents[3] / "spec" / "api.md"
_ROW = re.compile(r"^\| (GET|POST|DELETE) (\S+) \| ([\w.]+) \| ([^|]+) \|", re.MULTILINE)

ALL = (*OPERATIONS, operation_for(OPERATIONS))


def specified() -> dict[str, tuple[str, str, frozenset[Role]]]:
    """Operation → method, path and roles, as spec/api.md says."""
    found: dict[str, tuple[str, str, frozenset[Role]]] = {}
    above: frozenset[Role] = frozenset()
    for method, path, name, who in _ROW.findall(SPEC.read_text("utf-8")):
        words = re.findall(r"\w+", who)
        roles = frozenset(Role(word) for word in words if word in {role.value for role in Role})
        above = roles | above if "same" in words else roles
        found[name] = (method, path.partition("?")[0], above)
        if "itself" in words:
            above -= {Role.INSTANCE}
    return found


def test_the_table_is_the_specification() -> None:
    assert dict(ACCESS) == {name: roles for name, (_, _, roles) in specified().items()}


def test_every_operation_is_where_the_specification_says() -> None:
    assert {one.name: (one.method, one.path) for one in ALL} == {
        name: (method, path) for name, (method, path, _) in specified().items()
    }


def test_names_and_places_are_distinct() -> None:
    assert len({one.name for one in ALL}) == len(ALL)
    assert len({(one.method, one.path) for one in ALL}) == len(ALL)


@pytest.mark.parametrize("name", sorted(ACCESS))
def test_each_role_is_let_in_or_not(name: str) -> None:
    for role in Role:
        if role in roles_of(name):
            check_role(name, role)
        else:
            with pytest.raises(ForbiddenError) as caught:
                check_role(name, role)
            assert caught.value.code == "role_forbidden"


def test_what_is_not_in_the_table_is_for_nobody() -> None:
    for role in Role:
        with pytest.raises(ForbiddenError) as caught:
            check_role("docks.destroy", role)
        assert caught.value.code == "route_undeclared"


def test_only_reports_and_a_late_renewal_may_come_after_the_token_has_expired() -> None:
    assert {name: roles_of(name) for name in LAPSED} == {
        "leases.renew": {Role.INSTANCE},
        "receipts.append": {Role.INSTANCE},
        "sessions.close": {Role.INSTANCE},
    }
