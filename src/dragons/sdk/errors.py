"""What can go wrong for a client of the control plane, each as a type that a program can catch.

Every error carries `code`, a message and `fix`. Never carries a token, a key or a payload.
"""

from __future__ import annotations

from dragons.core.errors import (
    ConflictError,
    DragonsError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    UnauthenticatedError,
)
from dragons.core.vocabulary import Reason
from dragons.wire.base import Problem


class ControlPlaneUnreachable(DragonsError):  # noqa: N818 - the name that agents catch
    """No answer came. `maybe_recorded` is True when the request may have arrived all the same."""

    status = 503

    def __init__(self, url: str, why: str, *, maybe_recorded: bool) -> None:
        tail = " Whether the request was recorded is unknown." if maybe_recorded else ""
        super().__init__(
            "control_plane_unreachable",
            f"The control plane at {url} does not answer: {why}.{tail}",
            fix="Start it with `dragons up`, or check the address.",
        )
        self.maybe_recorded = maybe_recorded


class LimitedError(DragonsError):
    """A limit was reached; `retry_after_s` says when to come back, 0 when waiting does not help."""

    status = 429

    def __init__(self, code: str, message: str, *, fix: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(code, message, fix=fix)
        self.retry_after_s = retry_after_s


class UnexpectedAnswerError(DragonsError):
    """The answer is none that the API describes: another program listens there, or another version."""

    status = 502

    def __init__(self, url: str, what: str) -> None:
        super().__init__(
            "answer_unexpected",
            f"{url} answered with {what}.",
            fix="Check that the address is a Dragons control plane of the same version.",
        )


class ActionDenied(DragonsError):  # noqa: N818 - a denial is data; the exception only carries it out of a `with`
    """An action may not happen. `reason` is the reason code, `detail` the value that decided."""

    status = 403

    def __init__(self, reason: Reason | str, detail: str, *, action: str = "") -> None:
        code = reason.value if isinstance(reason, Reason) else reason
        super().__init__(code, f"{action or 'The action'} is denied: {code} ({detail}).")
        self.reason = code
        self.detail = detail
        self.action = action


class SessionStateError(DragonsError):
    """A session or an action was used outside its `with` block."""

    status = 409


_BY_STATUS: dict[int, type[DragonsError]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidInputError,
    503: StorageError,
}
_LIMITS = frozenset({413, 429})


def error_of(problem: Problem, retry_after_s: float) -> DragonsError:
    """The exception for a problem that the control plane reported (RFC 9457)."""
    if problem.status in _LIMITS:
        return LimitedError(problem.code, problem.detail, fix=problem.fix, retry_after_s=retry_after_s)
    kind = _BY_STATUS.get(problem.status, DragonsError)
    return kind(problem.code, problem.detail, fix=problem.fix)
