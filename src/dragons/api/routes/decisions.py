"""The control plane's own decision about one action. A denial is data, not a problem."""

from __future__ import annotations

from dragons.api.operation import Call, Operation
from dragons.control.authorize import authorize_action
from dragons.control.denials import Refused
from dragons.wire.authority import Authorize, Authorized
from dragons.wire.remedies import REMEDIES


async def authorize(call: Call[Authorize]) -> Authorized:
    """Whether an action of an open session may begin now; on the record either way."""
    wanted = call.input
    issuer = call.backend.keyring.issuer(call.caller.tenant_id)
    outcome = await call.write(
        lambda tx: authorize_action(tx, issuer, call.caller, wanted.session_id, wanted.action)
    )
    if isinstance(outcome, Refused):
        reason = outcome.reason.value
        return Authorized(allowed=False, reason=reason, detail=outcome.detail, fix=REMEDIES[reason])
    return Authorized(allowed=True, decision_id=outcome.decision_id)


OPERATIONS = (Operation("decisions.authorize", "POST", "/v1/decisions", authorize, Authorize, Authorized),)
