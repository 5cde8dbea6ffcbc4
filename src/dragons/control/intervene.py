"""A person's hand on an instance: signed, on the record, and counted by MTBOI."""

from __future__ import annotations

from dragons.control.caller import Caller
from dragons.control.organism import change_state
from dragons.control.ports import Appended, Transaction
from dragons.control.standing import about, standing_of
from dragons.control.statements import check_date, take_operator_statement
from dragons.core.clock import parse_time
from dragons.core.errors import ConflictError, InvalidInputError, NotFoundError
from dragons.core.keys import Signer
from dragons.core.statement import Envelope
from dragons.core.vocabulary import Kind, OrganismState
from dragons.evidence.receipt import INTERVENTION, Intervention

STOP = "stop"


def intervene(tx: Transaction, issuer: Signer, caller: Caller, statement: Envelope) -> Appended:
    """Record an intervention and carry it out. `stop` ends the instance for good."""
    body, _ = take_operator_statement(tx, caller, statement, INTERVENTION, Intervention)
    check_date("at", parse_time(body.at), tx.now_ms)
    if body.action != STOP:
        raise InvalidInputError(
            "intervention_unknown", f"{body.action!r} is no intervention.", fix="Use stop."
        )
    instance = tx.instance(caller.tenant_id, body.instance_id)
    if instance is None:
        raise NotFoundError("instance_missing", f"There is no instance {body.instance_id}.")
    if instance.state is OrganismState.STOPPED:
        raise ConflictError("organism_stopped", f"{body.instance_id} is stopped already.")
    appended = tx.append(
        caller.tenant_id,
        Kind.INTERVENTION,
        statement,
        about(tx, standing_of(tx, caller.tenant_id, body.instance_id)),
    )
    change_state(tx, issuer, instance, OrganismState.STOPPED, f"stopped by an operator: {body.reason}")
    return appended
