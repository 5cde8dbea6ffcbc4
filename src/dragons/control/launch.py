"""Launching: a measured agent becomes an instance with a lease, or is refused with the reason."""

from __future__ import annotations

from typing import NamedTuple

from dragons.authority.dock import TTL_SECONDS_MAX
from dragons.control.caller import Caller
from dragons.control.denials import Refused, Subject, record_denial
from dragons.control.issue import Grant, Place, Wish, fit, issue
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
    )
    fitting = fit(tx, wish, tx.now_ms)
    if isinstance(fitting, Refused):
        return _refuse(tx, issuer, wish, fitting)
    granted = issue(tx, issuer, wish, fitting, _dispatch(tx, issuer, caller, wanted))
    return _refuse(tx, issuer, wish, granted) if isinstance(granted, Refused) else granted


def _dispatch(tx: Transaction, issuer: Signer, caller: Caller, wanted: LaunchWish) -> Place:
    if not wanted.dispatch_id:
        place = Place(new_id(DISPATCH, tx.now_ms), 1)
        tx.put_epoch(caller.tenant_id, place.dispatch_id, 1, expected=0)
        return place
    check_id(DISPATCH, wanted.dispatch_id)
    before = tx.epoch(caller.tenant_id, wanted.dispatch_id)
    if before == 0:
        raise NotFoundError("dispatch_missing", f"There is no dispatch {wanted.dispatch_id}.")
    for old in tx.instances(caller.tenant_id, agent=wanted.manifest.agent, live=True):
        if old.dispatch_id == wanted.dispatch_id:
            change_state(tx, issuer, old, OrganismState.STOPPED, f"replaced by epoch {before + 1}")
    tx.put_epoch(caller.tenant_id, wanted.dispatch_id, before + 1, expected=before)
    return Place(wanted.dispatch_id, before + 1)


def _refuse(tx: Transaction, issuer: Signer, wish: Wish, refused: Refused) -> Refused:
    subject = Subject(
        wish.tenant_id, f"launch:{wish.manifest.agent}", wish.instance_id, About(agent=wish.manifest.agent)
    )
    return record_denial(tx, issuer, subject, "launch", refused)
