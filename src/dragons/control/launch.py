"""Launching: a measured agent becomes an instance with a lease, or is refused with the reason."""

from __future__ import annotations

from typing import NamedTuple

from dragons.authority.dock import TTL_SECONDS_MAX
from dragons.control.caller import Caller
from dragons.control.denials import Refused, Subject, record_denial
from dragons.control.dispatches import HELD
from dragons.control.incidents import resolve_incident
from dragons.control.issue import Grant, Place, Wish, draft, fit, issue
from dragons.control.nodes import launched
from dragons.control.orders import open_start
from dragons.control.organism import advance
from dragons.control.ports import About, Transaction
from dragons.control.rows import InstanceRow
from dragons.core.capability import scope_of
from dragons.core.errors import ConflictError, InvalidInputError, NotFoundError
from dragons.core.ids import DISPATCH, check_id, check_instance_id, new_id
from dragons.core.keys import PublicKey, Signer
from dragons.core.statement import parse_envelope
from dragons.core.vocabulary import OrganismState, Reason
from dragons.identity.manifest import Manifest, check_manifest
from dragons.liveness.dispatch import DISPATCH_ORDER, Dispatch, refuse_beyond
from dragons.liveness.organism import Replaced


class LaunchWish(NamedTuple):
    """What a launcher asks for; `dispatch_id` empty starts a new dispatch.

    `epoch` 0 takes the next; another one must be the next, so that an order is carried out once. `node`
    is the launcher's name where it is a node, which answers for the end of the program.
    """

    instance_id: str
    instance_key: bytes
    manifest: Manifest
    scope: tuple[str, ...] = ()
    delegate_scope: tuple[str, ...] = ()
    ttl_seconds: int = 900
    dispatch_id: str = ""
    epoch: int = 0
    node: str = ""


def launch_instance(tx: Transaction, issuer: Signer, caller: Caller, wanted: LaunchWish) -> Grant | Refused:
    """Issue the first lease of a new instance. A refusal is on the record and returned as data."""
    check_instance_id(wanted.instance_id)
    check_manifest(wanted.manifest)
    if not 1 <= wanted.ttl_seconds <= TTL_SECONDS_MAX:
        raise InvalidInputError("ttl_invalid", f"A lease lasts 1 to {TTL_SECONDS_MAX} seconds.")
    if tx.instance(caller.tenant_id, wanted.instance_id) is not None:
        raise ConflictError("instance_exists", f"{wanted.instance_id} was launched already.")
    ordered = _ordered(tx, caller.tenant_id, wanted.dispatch_id)
    wish = Wish(
        caller.tenant_id,
        wanted.instance_id,
        PublicKey(wanted.instance_key),
        wanted.manifest,
        tuple(scope_of(wanted.scope if ordered is None else wanted.scope or ordered.scope)),
        tuple(scope_of(wanted.delegate_scope)),
        wanted.ttl_seconds,
        replaces=wanted.dispatch_id,
    )
    place = _place(tx, caller, wanted)
    held = _held(tx, caller.tenant_id, wanted) or _beyond(wish, ordered)
    if held is not None:
        return _refuse(tx, issuer, wish, held)
    fitting = fit(tx, wish, tx.now_ms)
    made = fitting if isinstance(fitting, Refused) else draft(tx, wish, fitting, place, tx.now_ms)
    if isinstance(made, Refused):
        return _refuse(tx, issuer, wish, made)
    old = _dispatch(tx, issuer, caller, place)
    grant = issue(tx, issuer, made)
    _carry_out(tx, grant, old, wanted.node)
    return grant


def _ordered(tx: Transaction, tenant_id: str, dispatch_id: str) -> Dispatch | None:
    """What an operator signed of this dispatch, None when nobody ordered it."""
    row = tx.dispatch(tenant_id, dispatch_id) if dispatch_id else None
    return None if row is None else parse_envelope(row.statement).body(DISPATCH_ORDER, Dispatch)


def _beyond(wish: Wish, ordered: Dispatch | None) -> Refused | None:
    """Why a wish is more than the operator ordered, None when it is not."""
    if ordered is None:
        return None
    wrong = refuse_beyond(ordered, wish.scope, wish.delegate_scope, wish.ttl_seconds * 1000)
    return None if wrong is None else Refused(*wrong)


def _place(tx: Transaction, caller: Caller, wanted: LaunchWish) -> Place:
    if not wanted.dispatch_id:
        return Place(new_id(DISPATCH, tx.now_ms), 1)
    check_id(DISPATCH, wanted.dispatch_id)
    before = tx.epoch(caller.tenant_id, wanted.dispatch_id)
    known = tx.instances(caller.tenant_id, dispatch_id=wanted.dispatch_id)
    dispatch = tx.dispatch(caller.tenant_id, wanted.dispatch_id)
    if (
        (before == 0 and dispatch is None)
        or (dispatch is not None and dispatch.agent != wanted.manifest.agent)
        or any(one.agent != wanted.manifest.agent for one in known)
    ):
        raise NotFoundError(
            "dispatch_missing", f"{wanted.manifest.agent} has no dispatch {wanted.dispatch_id}."
        )
    if wanted.epoch not in {0, before + 1}:
        raise ConflictError(
            Reason.EPOCH_STALE,
            f"Epoch {wanted.epoch} of {wanted.dispatch_id} is not the next: {before + 1} is.",
        )
    return Place(wanted.dispatch_id, before + 1)


def _held(tx: Transaction, tenant_id: str, wanted: LaunchWish) -> Refused | None:
    """Why nothing of this dispatch may be launched now, None when it may."""
    if not wanted.dispatch_id:
        return None
    for one in tx.instances(tenant_id, live=True, dispatch_id=wanted.dispatch_id):
        if one.state is OrganismState.QUARANTINED:
            return Refused(Reason.ORGANISM_QUARANTINED, f"{one.instance_id}: {one.state_reason}")
    dispatch = tx.dispatch(tenant_id, wanted.dispatch_id)
    if dispatch is None:
        return None
    if dispatch.ended_ms is not None:
        return Refused(Reason.DISPATCH_ENDED, f"{dispatch.dispatch_id} is {dispatch.state}")
    if dispatch.state == HELD:
        return Refused(Reason.ORGANISM_QUARANTINED, dispatch.state_reason)
    order = open_start(tx, dispatch)
    if order is None or order.due_ms > tx.now_ms or wanted.epoch not in {0, order.epoch}:
        return Refused(
            Reason.DISPATCH_NOT_ORDERED, "no start of this dispatch and epoch is ordered at this time"
        )
    return None


def _carry_out(tx: Transaction, grant: Grant, replaced: list[InstanceRow], node: str) -> None:
    """What a launch settles: the order that asked for it, and the incident that it heals."""
    instance = grant.instance
    dispatch = tx.dispatch(instance.tenant_id, instance.dispatch_id)
    order = None if dispatch is None else open_start(tx, dispatch)
    if order is not None:
        launched(tx, instance, order, node)
    for old in replaced:
        resolve_incident(tx, old, tx.tree_size(instance.tenant_id) - 1, f"healed by epoch {instance.epoch}")


def _dispatch(tx: Transaction, issuer: Signer, caller: Caller, place: Place) -> list[InstanceRow]:
    # Only when the new instance may begin: a refused launch leaves the old one at work.
    old = list(tx.instances(caller.tenant_id, live=True, dispatch_id=place.dispatch_id))
    replaced = [advance(tx, issuer, one, Replaced(place.epoch)) for one in old]
    tx.put_epoch(caller.tenant_id, place.dispatch_id, place.epoch, expected=place.epoch - 1)
    return replaced


def _refuse(tx: Transaction, issuer: Signer, wish: Wish, refused: Refused) -> Refused:
    subject = Subject(
        wish.tenant_id, f"launch:{wish.manifest.agent}", wish.instance_id, About(agent=wish.manifest.agent)
    )
    return record_denial(tx, issuer, subject, "launch", refused)
