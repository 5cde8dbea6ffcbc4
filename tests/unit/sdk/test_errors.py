from __future__ import annotations

import pytest

from dragons.core import errors
from dragons.core.vocabulary import Reason
from dragons.sdk.errors import (
    FIXES,
    ActionDenied,
    ControlPlaneUnreachable,
    LimitedError,
    UnexpectedAnswerError,
    error_of,
    with_fix,
)
from dragons.wire.base import Problem


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.UnauthenticatedError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (409, errors.ConflictError),
        (413, LimitedError),
        (422, errors.InvalidInputError),
        (429, LimitedError),
        (503, errors.StorageError),
        (500, errors.DragonsError),
    ],
)
def test_a_problem_becomes_its_error(status: int, kind: type[errors.DragonsError]) -> None:
    problem = Problem(type="t", title="t", status=status, detail="what", code="code", fix="do this")
    error = error_of(problem, 2.0)
    assert type(error) is kind
    assert (error.code, error.message, error.fix) == ("code", "what", "do this")
    if isinstance(error, LimitedError):
        assert error.retry_after_s == 2.0


def test_unreachable_says_whether_something_may_have_happened() -> None:
    assert "unknown" in str(ControlPlaneUnreachable("http://x", "refused", maybe_recorded=True))
    assert "unknown" not in str(ControlPlaneUnreachable("http://x", "refused", maybe_recorded=False))


def test_a_denial_carries_its_reason() -> None:
    denied = ActionDenied(Reason.LEASE_EXPIRED, "lse_1", action="read:payments")
    assert (denied.reason, denied.code, denied.detail) == ("lease_expired", "lease_expired", "lse_1")
    assert str(denied).startswith(
        "read:payments is denied: lease_expired (lse_1). Fix: Reach the control plane"
    )
    assert str(ActionDenied("own_code", "")) == "The action is denied: own_code."


def test_every_reason_has_its_remedy() -> None:
    assert set(Reason) - set(FIXES) <= {Reason.LEASE_DELEGATED}
    assert all(fix.endswith(".") for fix in FIXES.values())


def test_a_remedy_is_added_only_where_there_is_none() -> None:
    bare, full = (
        errors.ForbiddenError(Reason.DOCK_MISSING, "m"),
        errors.ForbiddenError(Reason.DOCK_MISSING, "m", fix="f"),
    )
    assert "dragons docks create" in with_fix(bare).fix
    assert (with_fix(bare).code, with_fix(bare).message) == ("dock_missing", "m")
    assert with_fix(full) is full
    other = errors.ForbiddenError("role_forbidden", "m")
    assert with_fix(other) is other


def test_an_unexpected_answer_names_the_address() -> None:
    assert "http://x" in str(UnexpectedAnswerError("http://x", "status 200"))
