"""Steps that happen once: an action with a key, and what a session remembers of its steps.

The control plane decides whether a step may begin; what waits in the local store answers for steps that
it has not heard of yet. Never takes a step that failed for one that did not happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from dragons.core.errors import InvalidInputError
from dragons.core.ids import new_nonce
from dragons.core.vocabulary import Outcome, Reason
from dragons.evidence.payload import opens
from dragons.evidence.receipt import Claim
from dragons.evidence.step import STEP_HAPPENED, STEP_NOT_HAPPENED, agent_step_key, dispatch_step_key
from dragons.sdk.action import Action, digest_of
from dragons.sdk.errors import SessionStateError, StepCompleted, StepInDoubt
from dragons.sdk.localstore import LocalStore
from dragons.wire.authority import Authorize, Authorized

DISPATCH, AGENT = "dispatch", "agent"


class StepName(NamedTuple):
    """What happens once: the step of a task, in one dispatch or in all of an agent's.

    `key` is what the control plane gets to know of it.
    """

    task: str
    step: str
    key: str


def step_name(task: str, step: str, task_scope: str, *, dispatch_id: str, agent: str) -> StepName:
    """The step's name and key; `task_scope` is `dispatch` or `agent`."""
    if task_scope == DISPATCH:
        return StepName(task, step, dispatch_step_key(dispatch_id, task, step))
    if task_scope == AGENT:
        return StepName(task, step, agent_step_key(agent, task, step))
    raise InvalidInputError(
        "step_malformed",
        f"{task_scope!r} is no scope of a task.",
        fix="A task is one of a `dispatch`, or of an `agent` in all of its dispatches.",
    )


class Step(Action):
    """An action that happens once: what the body of `with session.once(...) as step` holds."""

    def __init__(
        self, capability: str, resource: str, arguments: Mapping[str, Any], name: StepName
    ) -> None:
        super().__init__(capability, resource, arguments)
        self.name = name
        self.attempt = new_nonce()

    @property
    def resolves(self) -> str:
        """The decision whose step this one says the end of; empty for a step that is carried out."""
        return ""

    @property
    def reason(self) -> str:
        """What the claim says of a step that was in doubt."""
        return ""


class Resolution(Step):
    """What an agent says of a step in doubt: it happened, or it did not."""

    def __init__(  # noqa: PLR0913 - the arguments of `resolve_step`
        self,
        doubt: Doubt,
        name: StepName,
        *,
        happened: bool,
        evidence: Mapping[str, Path | str | bytes],
        result: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(doubt.capability, doubt.resource, {}, name)
        self._decision_id, self._happened = doubt.decision_id, happened
        # Read before the control plane is asked: a file that is missing leaves no step half resolved.
        self._found = [digest_of(label, source) for label, source in evidence.items()]
        self._result = result

    @property
    def resolves(self) -> str:
        return self._decision_id

    @property
    def reason(self) -> str:
        return STEP_HAPPENED if self._happened else STEP_NOT_HAPPENED
