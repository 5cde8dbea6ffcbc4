"""A person's hand on an instance or an agent: signed, on the record, and counted by MTBOI."""

from __future__ import annotations

from dragons.control.caller import Caller
from dragons.control.dispatches import HELD, OPEN, end_dispatch, release_dispatch, set_held
from dragons.control.organism import advance
from dragons.control.ports import About, Appended, Transaction
from dragons.control.rows import HoldRow, InstanceRow
from dragons.control.standing import about, agent_mtboi, standing_of
from dragons.control.statements import check_date, take_operator_statement
from dragons.core.clock import parse_time
from dragons.core.errors import ConflictError, InvalidInputError, NotFoundError
from dragons.core.keys import Signer
from dragons.core.statement import Envelope
from dragons.core.vocabulary import Kind, OrganismState, Reason
from dragons.evidence.receipt import INTERVENTION, Intervention
from dragons.liveness.organism import Act, Operated


def intervene(tx: Transaction, issuer: Signer, caller: Caller, statement: Envelope) -> Appended:
    """Record an intervention and carry it out: on one instance, one dispatch, or all of an agent.

    `stop` ends for good, `quarantine` isolates, `release` ends a quarantine, `redispatch` replaces.
    """
    body, _ = take_operator_statement(tx, caller, statement, INTERVENTION, Intervention)
    check_date("at", parse_time(body.at), tx.now_ms)
    try:
        act = Act(body.action)
    except ValueError as error:
        raise InvalidInputError(
            "intervention_unknown",
            f"{body.action!r} is no intervention.",
            fix=f"Use {', '.join(one.value for one in Act)}.",
        ) from error
    if sum(isinstance(one, str) for one in (body.instance_id, body.agent, body.dispatch_id)) != 1:
        raise InvalidInputError(
            "target_malformed", "An intervention names an instance, a dispatch or an agent, and one of them."
        )
    if isinstance(body.instance_id, str):
        return _on_instance(tx, issuer, statement, body, Operated(act, body.reason))
    if isinstance(body.dispatch_id, str):
        return _on_dispatch(tx, issuer, statement, body, Operated(act, body.reason))
    return _on_agent(tx, issuer, statement, body, Operated(act, body.reason))


def _on_instance(
    tx: Transaction, issuer: Signer, statement: Envelope, body: Intervention, event: Operated
) -> Appended:
    tenant_id, instance_id = body.tenant_id, str(body.instance_id)
    instance = tx.instance(tenant_id, instance_id)
    if instance is None:
        raise NotFoundError("instance_missing", f"There is no instance {instance_id}.")
    if instance.state is OrganismState.STOPPED:
        raise ConflictError("organism_stopped", f"{instance_id} is stopped already.")
    if event.act is Act.RELEASE and tx.hold(tenant_id, instance.agent) is not None:
        raise ConflictError(
            Reason.ORGANISM_QUARANTINED,
            f"All of {instance.agent} is quarantined, not {instance_id} alone.",
            fix=f"Release the agent: `dragons agents release {instance.agent} --reason …`.",
        )
    known = about(tx, standing_of(tx, tenant_id, instance_id))
    appended = tx.append(tenant_id, Kind.INTERVENTION, statement, known)
    advance(tx, issuer, instance, event)
    return appended


def _on_dispatch(
    tx: Transaction, issuer: Signer, statement: Envelope, body: Intervention, event: Operated
) -> Appended:
    """Cancel a dispatch, whether an instance works on it now or not."""
    tenant_id, dispatch_id = body.tenant_id, str(body.dispatch_id)
    dispatch = tx.dispatch(tenant_id, dispatch_id)
    if dispatch is None:
        raise NotFoundError(
            "dispatch_unknown",
            f"No dispatch {dispatch_id} was ordered.",
            fix="`dragons dispatch list` shows the dispatches.",
        )
    if event.act is not Act.STOP:
        raise InvalidInputError(
            "intervention_unsuitable",
            f"A dispatch can be stopped; {event.act.value} is for an instance or an agent.",
            fix="Name the instance, or the agent with all that it does.",
        )
    if dispatch.ended_ms is not None:
        raise ConflictError(Reason.DISPATCH_ENDED, f"{dispatch_id} is {dispatch.state}.")
    known = About(agent=dispatch.agent, mtboi_seconds=agent_mtboi(tx, tenant_id, dispatch.agent))
    appended = tx.append(tenant_id, Kind.INTERVENTION, statement, known)
    for instance in tx.instances(tenant_id, live=True, dispatch_id=dispatch_id):
        advance(tx, issuer, instance, event)
    after = tx.dispatch(tenant_id, dispatch_id)
    if after is not None and after.ended_ms is None:
        end_dispatch(tx, issuer, after, "cancelled", f"stopped by an operator: {event.reason}")
    return appended


def _on_agent(
    tx: Transaction, issuer: Signer, statement: Envelope, body: Intervention, event: Operated
) -> Appended:
    tenant_id, agent = body.tenant_id, str(body.agent)
    if not tx.versions(tenant_id, agent):
        raise NotFoundError("agent_missing", f"{agent} has no version on the record.")
    hold = tx.hold(tenant_id, agent)
    touched = [one for one in tx.instances(tenant_id, agent=agent, live=True) if _applies(tx, one, event.act)]
    dispatches = tx.dispatches(tenant_id, agent=agent, open_only=True)
    held = [one for one in dispatches if one.state == HELD]
    if _is_idle(event.act, touched=bool(touched), held=bool(hold or held), dispatched=bool(dispatches)):
        raise ConflictError(
            f"nothing_to_{event.act.value}",
            f"Nothing of {agent} can be touched by {event.act.value} now.",
            fix=f"`dragons agents show {agent}` says what runs and what is quarantined.",
        )
    known = About(agent=agent, mtboi_seconds=agent_mtboi(tx, tenant_id, agent))
    appended = tx.append(tenant_id, Kind.INTERVENTION, statement, known)
    if event.act is Act.QUARANTINE:
        isolate_agent(tx, issuer, HoldRow(tenant_id, agent, tx.now_ms, event.reason, appended.receipt_id))
        return appended
    if event.act is Act.RELEASE and hold is not None:
        tx.drop_hold(tenant_id, agent)
    for instance in touched:
        advance(tx, issuer, instance, event)
    for before in dispatches:
        # As it is now: the instance's own move may have ended or released it.
        dispatch = tx.dispatch(tenant_id, before.dispatch_id)
        if dispatch is None or dispatch.ended_ms is not None:
            continue
        if event.act is Act.STOP:
            end_dispatch(tx, issuer, dispatch, "cancelled", f"stopped by an operator: {event.reason}")
        elif event.act is Act.RELEASE and dispatch.state == HELD:
            release_dispatch(tx, issuer, dispatch, event.reason)
    return appended


def isolate_agent(tx: Transaction, issuer: Signer, hold: HoldRow) -> None:
    """Quarantine all of an agent: what runs, and what may be launched or started."""
    tx.put_hold(hold)
    event = Operated(Act.QUARANTINE, hold.reason)
    for instance in tx.instances(hold.tenant_id, agent=hold.agent, live=True):
        if _applies(tx, instance, event.act):
            advance(tx, issuer, instance, event)
    for dispatch in tx.dispatches(hold.tenant_id, agent=hold.agent, open_only=True):
        if dispatch.state == OPEN:
            set_held(tx, dispatch, f"quarantined by an operator: {hold.reason}")


def _applies(tx: Transaction, instance: InstanceRow, act: Act) -> bool:
    if act is Act.RELEASE:
        return instance.state is OrganismState.QUARANTINED
    if act is Act.QUARANTINE:
        return instance.state is not OrganismState.QUARANTINED
    if act is Act.REDISPATCH:
        supervised = tx.dispatch(instance.tenant_id, instance.dispatch_id)
        healthy = instance.state in {OrganismState.RUNNING, OrganismState.DEGRADED}
        return healthy and supervised is not None and supervised.ended_ms is None
    return True


def _is_idle(act: Act, *, touched: bool, held: bool, dispatched: bool) -> bool:
    if act is Act.QUARANTINE:
        # Also an agent that does not run now: nothing of it shall be launched.
        return held and not touched
    if act is Act.RELEASE:
        return not (touched or held)
    return not touched and not (act is Act.STOP and dispatched)
