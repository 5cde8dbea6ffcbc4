"""The control plane's own decision about one action. A denial is data, not a problem."""

from __future__ import annotations

from dragons.api.operation import Call, Operation
from dragons.control.authorize import authorize_action
from dragons.control.denials import Refused
from dragons.control.steps import StepStands, StepWish
from dragons.core.clock import format_time
from dragons.core.vocabulary import Reason
from dragons.wire.authority import Authorize, Authorized, StepView
from dragons.wire.remedies import REMEDIES


async def authorize(call: Call[Authorize]) -> Authorized:
    """Whether an action of an open session may begin now; on the record either way.

    A step that is completed is answered with its receipt instead, as often as anybody asks.
    """
    wanted, caller = call.input, call.caller
    issuer = call.backend.keyring.issuer(caller.tenant_id)
    wish = StepWish(wanted.step_key, wanted.attempt, wanted.resolves) if wanted.step_key else None
    outcome = await call.write(
        lambda tx: authorize_action(tx, issuer, caller, wanted.session_id, wanted.action, wish=wish)
    )
    if isinstance(outcome, StepStands):
        refused = outcome.refused or Refused(Reason.STEP_COMPLETED, outcome.row.receipt_id)
        return _denied(refused, _step_view(outcome))
    if isinstance(outcome, Refused):
        return _denied(outcome)
    return Authorized(allowed=True, decision_id=outcome.decision_id)


def _denied(refused: Refused, step: StepView | None = None) -> Authorized:
    reason = refused.reason.value
    return Authorized(allowed=False, reason=reason, detail=refused.detail, fix=REMEDIES[reason], step=step)


def _step_view(stands: StepStands) -> StepView:
    row = stands.row
    return StepView(
        instance_id=row.instance_id,
        epoch=row.epoch,
        begun_at=format_time(row.begun_ms),
        decision_id=row.decision_id,
        completed_at="" if row.completed_ms is None else format_time(row.completed_ms),
        receipt_id=row.receipt_id,
        payload_hash=stands.payload_hash,
        running=stands.running,
    )


OPERATIONS = (Operation("decisions.authorize", "POST", "/v1/decisions", authorize, Authorize, Authorized),)
