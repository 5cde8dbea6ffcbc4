"""What can go wrong for a client of the control plane, each as a type that a program can catch.

Every error carries `code`, a message and `fix`. Never carries a token, a key or a payload.
"""

from __future__ import annotations

from typing import Any

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

_OTHERS = (
    "Leave it out, or have the operator grant it: catalogue, agent.yaml, dock and lease must all name it."
)
_ENDED = "End this session; an operator decides whether a new instance may begin."
_REGISTER = "Register and activate what you want to run: `dragons manifests register DIR --activate`."
_DOCK = "Dock the agent: `dragons docks create --agent NAME --scope CAP`."

# What helps against a denial, by its reason.
FIXES: dict[str, str] = {
    Reason.LEASE_MISSING: "Act inside `with open_session(...)`.",
    Reason.LEASE_EXPIRED: "Reach the control plane: it renews a lapsed lease within the policy's grace. After that, open a new session.",
    Reason.LEASE_RELEASED: "Open a new session.",
    Reason.LEASE_NOT_YET_VALID: "Wait until the lease begins, or correct this machine's clock.",
    Reason.CLOCK_JUMPED: "Keep this machine's clock steady; the next renewal takes the new time.",
    Reason.AUTHORITY_STALE: "Reach the control plane: `dragons doctor`. Work goes on as soon as it answers.",
    Reason.ONLINE_CHECK_REQUIRED: "Ask again: the control plane decides about each action of high risk.",
    Reason.SCOPE_EXCEEDED: "Open the session, or delegate, with a scope that names it.",
    Reason.CAPABILITY_UNKNOWN: "Describe it in the catalogue: `dragons capabilities publish FILE`.",
    Reason.CAPABILITY_NOT_DECLARED: "Declare it in agent.yaml and register the manifest.",
    Reason.CAPABILITY_NOT_DOCKED: _OTHERS,
    Reason.CAPABILITY_NOT_LEASED: _OTHERS,
    Reason.CAPABILITY_NOT_DELEGABLE: "Do it in this session; the catalogue says that it is not handed on.",
    Reason.DELEGATION_TOO_DEEP: "Delegate from a session nearer to the dock.",
    Reason.TTL_EXCEEDED: "Ask for a shorter ttl_seconds.",
    Reason.MANIFEST_UNRECORDED: _REGISTER,
    Reason.MANIFEST_MISMATCH: _REGISTER,
    Reason.VERSION_INACTIVE: _REGISTER,
    Reason.DOCK_MISSING: _DOCK,
    Reason.DOCK_EXPIRED: _DOCK,
    Reason.DOCK_INSTANCES_EXHAUSTED: "End another instance, or dock the agent with more --instances.",
    Reason.EPOCH_STALE: "End this process: a newer instance took over its dispatch.",
    Reason.SESSION_CLOSED: "Open a new session.",
    Reason.DISPATCH_ENDED: "End this process: its dispatch is over.",
    Reason.DISPATCH_NOT_ORDERED: "End this process: the control plane orders who works on its dispatch.",
    Reason.STEP_COMPLETED: "Go on with the next step: `result` and `receipt_id` say what came of this one.",
    Reason.STEP_IN_DOUBT: "Find out whether it happened, and say so: `session.resolve_step(...)`.",
    **dict.fromkeys(
        (
            Reason.REVOKED_OPERATOR, Reason.REVOKED_DOCK, Reason.REVOKED_AGENT, Reason.REVOKED_VERSION,
            Reason.REVOKED_INSTANCE, Reason.REVOKED_LEASE, Reason.REVOKED_PARENT,
            Reason.INSTANCE_MISMATCH, Reason.TENANT_MISMATCH,
            Reason.ORGANISM_AUTOHEALING, Reason.ORGANISM_QUARANTINED, Reason.ORGANISM_STOPPED,
        ),
        _ENDED,
    ),
}  # fmt: skip


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
        why = f" ({detail})" if detail else ""
        super().__init__(code, f"{action or 'The action'} is denied: {code}{why}.", fix=FIXES.get(code, ""))
        self.reason = code
        self.detail = detail
        self.action = action


class StepCompleted(ActionDenied):
    """A step that happens once was done earlier. Nothing was carried out now.

    `result` is what its action recorded; `result_known` is False where that payload is not on this
    machine. `receipt_id` and `completed_at` are empty while the claim waits here to be sent.
    """

    def __init__(
        self,
        action: str,
        *,
        receipt_id: str = "",
        completed_at: str = "",
        result: dict[str, Any] | None = None,
        result_known: bool = False,
    ) -> None:
        super().__init__(Reason.STEP_COMPLETED, receipt_id or "its claim waits to be sent", action=action)
        self.receipt_id = receipt_id
        self.completed_at = completed_at
        self.result = result
        self.result_known = result_known


class StepInDoubt(ActionDenied):
    """A step that happens once was begun, and nobody knows how it ended. `session.resolve_step` says it.

    `running` is True where this instance itself began it and has not reported its end: another thread or
    process of it may still be at it.
    """

    def __init__(self, action: str, detail: str, *, running: bool = False) -> None:
        super().__init__(Reason.STEP_IN_DOUBT, detail, action=action)
        self.running = running


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


def with_fix(error: ForbiddenError) -> ForbiddenError:
    """A refusal with what helps against it, where it names nothing itself."""
    if error.fix or error.code not in FIXES:
        return error
    return ForbiddenError(error.code, error.message, fix=FIXES[error.code])


def error_of(problem: Problem, retry_after_s: float) -> DragonsError:
    """The exception for a problem that the control plane reported (RFC 9457)."""
    if problem.status in _LIMITS:
        return LimitedError(problem.code, problem.detail, fix=problem.fix, retry_after_s=retry_after_s)
    kind = _BY_STATUS.get(problem.status, DragonsError)
    return kind(problem.code, problem.detail, fix=problem.fix)
