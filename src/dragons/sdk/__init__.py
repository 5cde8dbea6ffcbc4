"""What an agent imports: sessions whose every action is decided, recorded and proven."""

from dragons.sdk.action import Action
from dragons.sdk.errors import (
    ActionDenied,
    ControlPlaneUnreachable,
    LimitedError,
    SessionStateError,
    StepCompleted,
    StepInDoubt,
)
from dragons.sdk.once import Step
from dragons.sdk.session import Session, open_session

__all__ = [
    "Action",
    "ActionDenied",
    "ControlPlaneUnreachable",
    "LimitedError",
    "Session",
    "SessionStateError",
    "Step",
    "StepCompleted",
    "StepInDoubt",
    "open_session",
]
