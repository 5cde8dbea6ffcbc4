"""Launching: a measured agent becomes an instance with a lease, or is refused with the reason."""

from __future__ import annotations

from typing import NamedTuple

from dragons.authority.dock import TTL_SECONDS_MAX
from dragons.control.caller import Caller
from dragons.control.denials import Refused, Subject, record_denial
from dragons.control.issue import Grant, Place, Wish, draft, fit, issue
from dragons.control.organism import change_state
from dragons.control.ports import About, Transaction
from dragons.core.capability import scope_of
from dragons.core.errors import ConflictError, InvalidInputError, NotFoundError
from dragons.core.ids import DISPATCH, check_id, check_instance_id, new_id
from dragons.core.keys import PublicKey, Signer
from dragons.core.vocabulary import OrganismState
from dragons.identity.manifest import Manifest, check_manifest


class LaunchWish(NamedTuple):
    """What a launcher asks for; `dispatch_id` empty starts a new dispatch."""

    instance_id: str
    instance_key: bytes
    manifest: Manifest
    scope: tuple[str, ...] = ()
    delegate_scope: tuple[str, ...] = ()
    ttl_seconds: int = 900
    dispatch_id: str = ""


def launch_instance(tx: Transaction, issuer: Signer, caller: Caller, wanted: LaunchWish) -> Grant | Refused:
    """Issue the first lease of a new instance. A refusal is on the record and returned as data."""
    check_instance_id(wanted.instance_id)
    check_manifest(wanted.manifest)
    if not 1 <= wanted.ttl_seconds <= TTL_SECONDS_MAX:
        raise InvalidInputError("ttl_invalid", f"A lease lasts 1 to {TTL_SECONDS_MAX} seconds.")
    if tx.instance(caller.tenant_id, wanted.instance_id) is not None:
        raise ConflictError("instance_exists", f"{wanted.instance_id} was launched already.")
    wish = Wish(
        caller.tenant_id,
        wanted.instance_id,
        PublicKey(wanted.instance_key),
        wanted.manifest,
        tuple(scope_of(wanted.scope)),
        tuple(scope_of(wanted.delegate_scope)),
        wanted.ttl_seconds,
        replaces=wanted.dispatch_id,
    )
    place = _place(tx, caller, wanted)
    fitting = fit(tx, wish, tx.now_ms)
    made = fitting if isinstance(fitting, Refused) else draft(tx, wish, fitting, place, tx.now_ms)
    if isinstance(made, Refused):
        return _refuse(tx, issuer, wish, made)
    _dispatch(tx, issuer, caller, place)
    return issue(tx, issuer, made)


def _place(tx: Transaction, caller: Caller, wanted: LaunchWish) -> Place:
    if not wanted.dispatch_id:
        return Place(new_id(DISPATCH, tx.now_ms), 1)
    check_id(DISPATCH, wanted.dispatch_id)
    before = tx.epoch(caller.tenant_id, wanted.dispatch_id)
    known = tx.instances(caller.tenant_id, dispatch_id=wanted.dispatch_id)
    if before == 0 or any(one.agent != wanted.manifest.agent for one in known):
        raise NotFoundError(
            "dispatch_missing", f"{wanted.manifest.agent} has no dispatch {wanted.dispatch_id}."
        )
    return Place(wanted.dispatch_id, before + 1)


def _dispatch(tx: Transaction, issuer: Signer, caller: Caller, place: Place) -> None:
    # Only when the new instance may begin: a refused launch leaves the old one at work.
    for old in tx.instances(caller.tenant_id, live=True, dispatch_id=place.dispatch_id):
        change_state(tx, issuer, old, OrganismState.STOPPED, f"replaced by epoch {place.epoch}")
    tx.put_epoch(caller.tenant_id, place.dispatch_id, place.epoch, expected=place.epoch - 1)


def _refuse(tx: Transaction, issuer: Signer, wish: Wish, refused: Refused) -> Refused:
    subject = Subject(
        wish.tenant_id, f"launch:{wish.manifest.agent}", wish.instance_id, About(agent=wish.manifest.agent)
    )
    return record_denial(tx, issuer, subject, "launch", refused)
