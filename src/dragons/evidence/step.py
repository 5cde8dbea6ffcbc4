"""The step key: a name for a step that happens once, which tells nothing of the step.

Equal for every instance that works on the same dispatch, so that a successor finds what was done
before it. Two ways to say how a step in doubt ended are the `reason` of a claim.
"""

from __future__ import annotations

from dragons.core.canonical import canonical
from dragons.core.errors import InvalidInputError
from dragons.core.hashing import sha256_hex

NAME_LENGTH_MAX = 200
# The `reason` of a claim by which an agent says how a step ended that was in doubt.
STEP_HAPPENED = "step_happened"
STEP_NOT_HAPPENED = "step_not_happened"


def dispatch_step_key(dispatch_id: str, task: str, step: str) -> str:
    """SHA-256 of the canonical {dispatch_id, task, step}, 64 hex digits."""
    return sha256_hex(canonical({"dispatch_id": dispatch_id, **_names(task, step)}))


def agent_step_key(agent: str, task: str, step: str) -> str:
    """SHA-256 of the canonical {agent, task, step}, 64 hex digits: once in all dispatches of an agent."""
    return sha256_hex(canonical({"agent": agent, **_names(task, step)}))


def _names(task: str, step: str) -> dict[str, str]:
    for what, name in (("task", task), ("step", step)):
        if not 0 < len(name) <= NAME_LENGTH_MAX:
            raise InvalidInputError(
                "step_malformed",
                f"The name of a {what} has 1 to {NAME_LENGTH_MAX} characters.",
                fix="Name what happens once by something that stays the same, such as an invoice number.",
            )
    return {"task": task, "step": step}
