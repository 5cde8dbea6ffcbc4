"""Steps that happen once: an action with a key, and what a session remembers of its steps.

The control plane decides whether a step may begin; what waits in the local store answers for steps whose
end it has not heard of yet. Never takes a step that failed for one that did not happen.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dragons.authority.decide import Deny
from dragons.core.canonical import parse_canonical
from dragons.core.errors import InvalidInputError
from dragons.core.ids import new_nonce
from dragons.core.vocabulary import Outcome, Reason
from dragons.evidence.payload import opens
from dragons.evidence.receipt import Claim
from dragons.evidence.step import STEP_HAPPENED, STEP_NOT_HAPPENED, agent_step_key, dispatch_step_key
from dragons.sdk.action import RESULT_BYTES_MAX, Action, checked, digest_of, return_value
from dragons.sdk.errors import ActionDenied, SessionStateError, StepCompleted, StepInDoubt
from dragons.sdk.localstore import LocalStore
from dragons.sdk.statements import StepName
from dragons.wire.authority import Authorize, Authorized, StepView

DISPATCH, AGENT = "dispatch", "agent"


class Doubt(NamedTuple):
    """A step whose end is not known, as it was begun."""

    capability: str
    resource: str
    decision_id: str


class Step(Action):
    """What the body of `with session.once(...) as step` holds.

    `running` is True where this instance itself began it before and may still be at it, `waiting` a claim
    about it that had not been sent when the control plane was asked. With `resolves` nothing is carried
    out: the agent says how a step ended that `resolves` had begun, and `reason` is what it says.
    """

    def __init__(self, capability: str, resource: str, arguments: Mapping[str, Any], name: StepName) -> None:
        super().__init__(capability, resource, arguments)
        self.name = name
        self.resolves = ""
        self.reason = ""
        self.running = False
        self.waiting: Claim | None = None

    def ending(self, error: BaseException | None) -> tuple[Outcome, dict[str, Any]]:
        outcome, ending = super().ending(error)
        if self.reason:
            ending["reason"] = self.reason
        return Outcome.FAILED if self.reason == STEP_NOT_HAPPENED else outcome, ending


class StepMemory:
    """What a session knows of steps beyond the answers of the control plane."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._doubts: dict[str, Doubt] = {}
        self._unanswered: dict[tuple[str, str], str] = {}

    def question(self, session_id: str, step: Step) -> Authorize:
        """What to ask; one that was not answered is asked again, by one caller at a time."""
        # Looked up before the question: what is sent while the answer is on its way waits no longer after it.
        step.waiting = self._store.waiting_step(step.name.key)
        attempt = self._unanswered.pop((step.name.key, step.resolves), "") or new_nonce()
        return Authorize(
            session_id=session_id,
            action=step.capability,
            step_key=step.name.key,
            attempt=attempt,
            resolves=step.resolves,
        )

    def unanswered(self, question: Authorize) -> None:
        """The control plane may have allowed the step without our knowing."""
        self._unanswered[question.step_key, question.resolves] = question.attempt

    def take_answer(self, step: Step, answer: Authorized) -> None:
        """Remember a doubt; StepCompleted when the step is done."""
        seen = answer.step
        if seen is None:
            return
        if answer.reason == Reason.STEP_COMPLETED:
            raise self._completed(step, seen)
        waiting = self._store.waiting_step(step.name.key) or step.waiting
        if waiting is not None and waiting.outcome is Outcome.COMPLETED:
            raise self._completed(step, None, waiting.payload_hash)
        step.running = seen.running and waiting is None
        self._doubts[step.name.key] = Doubt(step.capability, step.resource, seen.decision_id)

    def ended(self, step: Step, *, failed: bool) -> None:
        """A step's body is over."""
        if failed and not step.resolves:
            self._doubts[step.name.key] = Doubt(step.capability, step.resource, step.decision_id)
        else:
            self._doubts.pop(step.name.key, None)

    def resolution(
        self,
        name: StepName,
        *,
        happened: bool,
        evidence: Mapping[str, Path | str | bytes],
        result: Mapping[str, Any] | None,
    ) -> Step:
        """What is said of a step in doubt; SessionStateError for one that this session never met."""
        doubt = self._doubts.get(name.key)
        if doubt is None:
            raise SessionStateError(
                "step_not_in_doubt",
                f"The step {name.step!r} of the task {name.task!r} is not known to be in doubt.",
                fix="Begin it with `session.once(...)`; `StepInDoubt` says when there is a doubt to resolve.",
            )
        step = Step(doubt.capability, doubt.resource, {}, name)
        step.resolves = doubt.decision_id
        step.reason = STEP_HAPPENED if happened else STEP_NOT_HAPPENED
        # Read before the control plane is asked: a file that is missing leaves no step half resolved.
        step.evidence = [digest_of(label, source) for label, source in evidence.items()]
        step.result = None if result is None else checked("result", result, RESULT_BYTES_MAX)
        return step

    def _completed(self, step: Step, seen: StepView | None, payload_hash: str = "") -> StepCompleted:
        payload_hash = payload_hash if seen is None else seen.payload_hash
        kept = self._store.payload(payload_hash)
        known = kept is not None and opens(kept, payload_hash)
        value = parse_canonical(kept.body) if kept is not None and known else {}
        return StepCompleted(
            step.capability,
            receipt_id="" if seen is None else seen.receipt_id,
            completed_at="" if seen is None else seen.completed_at,
            result=value.get("outcome", {}).get("result"),
            result_known=known,
        )


def step_name(task: str, step: str, task_scope: str, *, dispatch_id: str, agent: str) -> StepName:
    """The step's name and key; `task_scope` is `dispatch`, or `agent` for all dispatches of an agent."""
    if task_scope == DISPATCH:
        return StepName(task, step, dispatch_step_key(dispatch_id, task, step))
    if task_scope == AGENT:
        return StepName(task, step, agent_step_key(agent, task, step))
    raise InvalidInputError(
        "step_malformed",
        f"{task_scope!r} is no scope of a task.",
        fix="A task is one of a `dispatch`, or of an `agent` in all of its dispatches.",
    )


def denial_of(action: Action, denied: Deny) -> ActionDenied:
    """The exception that carries a denial out of a `with`."""
    if denied.reason is not Reason.STEP_IN_DOUBT:
        return ActionDenied(denied.reason, denied.detail, action=action.capability)
    running = isinstance(action, Step) and action.running
    return StepInDoubt(action.capability, denied.detail, running=running)


def plain_result(value: object) -> dict[str, Any] | None:
    """What a step's function returned, where that is plain; InvalidInputError for work that is still to be done."""
    if isinstance(value, Awaitable | Generator | AsyncGenerator):
        raise InvalidInputError(
            "function_deferred",
            "The step's function returned before its work was done.",
            fix="Call one that does the work; use a session of `dragons.sdk.aio` to await it.",
        )
    return return_value(value)


def returned(result: Mapping[str, Any] | None) -> Any:  # noqa: ANN401 - what the agent's function returned
    """What a function returned, from what its action recorded (`dragons.sdk.action.return_value`)."""
    if result is None:
        return None
    return result["returned"] if set(result) == {"returned"} else dict(result)


def earlier(done: StepCompleted) -> Any:  # noqa: ANN401 - as above
    """What the function of a completed step returned; the exception itself where this machine can't know."""
    if not done.result_known:
        raise done
    return returned(done.result)
