"""The life of a lease after issue: renewal, release, delegation to a child."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from dragons.authority.lease import (
    BACKDATE_MS,
    DELEGATION,
    DEPTH_MAX,
    LEASE,
    RELEASE,
    Delegation,
    Lease,
    Release,
    refuse_outside_parent,
)
from dragons.control.caller import Caller
from dragons.control.catalogue import current_catalogue
from dragons.control.denials import Refused, Subject, record_denial
from dragons.control.docks import dock_of, dock_status
from dragons.control.issue import Fitting, Grant, Place, Wish, draft, fit, issue, record_lease
from dragons.control.organism import advance
from dragons.control.policies import now_of
from dragons.control.ports import Appended, Transaction
from dragons.control.rows import LeaseRow
from dragons.control.standing import Standing, about, ended, standing_of
from dragons.control.statements import check_date, take_instance_statement
from dragons.core.capability import check_scope_form
from dragons.core.clock import format_time, parse_time
from dragons.core.errors import ConflictError, ForbiddenError, NotFoundError
from dragons.core.ids import DISPATCH, check_instance_id, new_id
from dragons.core.keys import PublicKey, Signer
from dragons.core.statement import Envelope, parse_envelope
from dragons.core.vocabulary import Kind, OrganismState, Reason
from dragons.identity.manifest import Manifest, check_manifest
from dragons.liveness.organism import Ended, Renewed
from dragons.liveness.outages import elapsed_ms

# So many times a lease may have lapsed before what lies between its first gaps counts as one.
GAPS_MAX = 32


def renew_lease(tx: Transaction, issuer: Signer, caller: Caller) -> Grant | Refused:
    """Extend the caller's lease by its own length, within dock, parent and delegation.

    A lease that lapsed is renewed as long as the policy's grace lasts and nothing else speaks against it;
    between its end and the renewal it gave no authority, and never will have.
    """
    standing = standing_of(tx, caller.tenant_id, caller.instance_id)
    over = ended(tx, standing, tx.now_ms)
    late = over is not None and _only_lapsed(tx, standing)
    if over is not None and not late:
        return _deny(tx, issuer, standing, "renew", Refused(over.reason, standing.lease.lease_id))
    before = parse_envelope(standing.lease.statement).body(LEASE, Lease)
    dock_row = tx.dock(caller.tenant_id, before.dock_id)
    if dock_row is None or dock_status(tx, dock_row, tx.now_ms) != "valid":
        return _deny(tx, issuer, standing, "renew", Refused(Reason.DOCK_EXPIRED, before.dock_id))
    dock, dock_envelope = dock_of(dock_row)
    length_ms = min(standing.lease.expires_ms - standing.lease.issued_ms, dock.ttl_seconds_max * 1000)
    ends_ms = tx.now_ms + length_ms
    if not isinstance(dock.not_after, msgspec.UnsetType):
        ends_ms = min(ends_ms, parse_time(dock.not_after))
    if standing.lease.parent_lease_id is not None:
        parent = tx.lease(caller.tenant_id, standing.lease.parent_lease_id)
        ends_ms = min(ends_ms, 0 if parent is None else parent.expires_ms)
    if standing.lease.not_after_ms is not None:
        ends_ms = min(ends_ms, standing.lease.not_after_ms)
    if ends_ms <= tx.now_ms:
        return _deny(
            tx, issuer, standing, "renew", Refused(Reason.LEASE_EXPIRED, "nothing is left to extend")
        )
    after = msgspec.structs.replace(
        before,
        serial=before.serial + 1,
        issued_at=format_time(tx.now_ms),
        not_before=format_time(tx.now_ms - BACKDATE_MS),
        expires_at=format_time(ends_ms),
    )
    grant = record_lease(
        tx,
        issuer,
        standing.instance,
        after,
        dock=dock_envelope,
        kind=Kind.LEASE_RENEWED,
        path=standing.lease.path,
        not_after_ms=standing.lease.not_after_ms,
        gaps=gaps_after(standing.lease, tx.now_ms),
    )
    return grant._replace(instance=advance(tx, issuer, grant.instance, Renewed(ends_ms)))


def gaps_after(lease: LeaseRow, renewed_ms: int) -> tuple[int, ...]:
    """The gaps of `lease` once it is renewed: from when, and until when not, it gave no authority, in pairs.

    Of too many the oldest two become one, with the time between them: that permits less, never more.
    """
    if renewed_ms <= lease.expires_ms:
        return lease.gaps
    gaps = (*lease.gaps, lease.expires_ms, renewed_ms)
    return gaps if len(gaps) <= 2 * GAPS_MAX else (gaps[0], *gaps[3:])


def _only_lapsed(tx: Transaction, standing: Standing) -> bool:
    """True when nothing but its expiry ended the instance's authority, and the grace is not over."""
    instance, lease = standing.instance, standing.lease
    if lease.released_ms is not None or standing.revoked is not None or standing.epoch != instance.epoch:
        return False
    if instance.state not in {OrganismState.RUNNING, OrganismState.DEGRADED}:
        return False
    now = now_of(tx, instance.tenant_id, instance.agent, tx.now_ms)
    return elapsed_ms(now.outages, lease.expires_ms, tx.now_ms) < now.policy.lease_grace_ms


def release_lease(tx: Transaction, issuer: Signer, caller: Caller, statement: Envelope) -> Appended:
    """The instance gives its lease back; its open sessions are abandoned.

    It is stopped, unless its program failed and a dispatch goes on with another instance.
    """
    standing = standing_of(tx, caller.tenant_id, caller.instance_id)
    key = PublicKey(standing.instance.public_key)
    body = take_instance_statement(caller, statement, RELEASE, Release, key)
    check_date("released_at", parse_time(body.released_at), tx.now_ms)
    if body.lease_id != standing.lease.lease_id:
        raise ForbiddenError(Reason.LEASE_MISSING, f"{body.lease_id} is not the instance's lease.")
    if standing.lease.released_ms is not None:
        raise ConflictError(Reason.LEASE_RELEASED, f"{body.lease_id} was given back already.")
    lease = replace(standing.lease, released_ms=tx.now_ms)
    tx.put_lease(lease)
    detail = body.detail if isinstance(body.detail, str) else "the lease was given back"
    instance = advance(tx, issuer, standing.instance, Ended(body.outcome == "failed", detail))
    return tx.append(
        caller.tenant_id,
        Kind.LEASE_RELEASED,
        statement,
        about(tx, Standing(instance, lease, standing.epoch, None)),
    )


def delegate_lease(
    tx: Transaction, issuer: Signer, caller: Caller, statement: Envelope, manifest: Manifest
) -> Grant | Refused:
    """Issue a child lease under the caller's: less scope, no more time, its own dock, one level deeper."""
    standing = standing_of(tx, caller.tenant_id, caller.instance_id)
    body = statement.body(DELEGATION, Delegation)
    own = PublicKey(standing.instance.public_key)
    take_instance_statement(
        replace(caller, instance_id=body.instance_id), statement, DELEGATION, Delegation, own
    )
    if (body.parent_instance_id, body.parent_lease_id) != (caller.instance_id, standing.lease.lease_id):
        raise ForbiddenError(Reason.LEASE_MISSING, "The delegation is not of the caller's own lease.")
    check_instance_id(body.instance_id)
    check_scope_form(body.scope)
    check_date("created_at", parse_time(body.created_at), tx.now_ms)
    check_manifest(manifest)
    if tx.instance(caller.tenant_id, body.instance_id) is not None:
        raise ConflictError("instance_exists", f"{body.instance_id} was launched already.")
    refusal = _refuse_delegation(tx, standing, body)
    if refusal is not None:
        return _deny(tx, issuer, standing, "delegate", refusal)
    ttl_seconds = max(1, (parse_time(body.not_after) - tx.now_ms) // 1000)
    wish = Wish(
        caller.tenant_id,
        body.instance_id,
        PublicKey(body.instance_key),
        manifest,
        tuple(body.scope),
        (),
        ttl_seconds,
    )
    fitting = fit(tx, wish, tx.now_ms)
    if isinstance(fitting, Refused) or body.agent != manifest.agent:
        wrong = fitting if isinstance(fitting, Refused) else Refused(Reason.MANIFEST_MISMATCH, body.agent)
        return _deny(tx, issuer, standing, "delegate", wrong)
    return _issue_child(tx, issuer, standing, statement, wish=wish, fitting=fitting)


def _issue_child(
    tx: Transaction, issuer: Signer, standing: Standing, statement: Envelope, *, wish: Wish, fitting: Fitting
) -> Grant | Refused:
    place = Place(
        new_id(DISPATCH, tx.now_ms),
        1,
        parent=standing.lease,
        delegation_hash=statement.payload_digest(),
        not_after_ms=parse_time(statement.body(DELEGATION, Delegation).not_after),
    )
    made = draft(tx, wish, fitting, place, tx.now_ms)
    if isinstance(made, Refused):
        return _deny(tx, issuer, standing, "delegate", made)
    parent = parse_envelope(standing.lease.statement)
    wider = refuse_outside_parent(made.lease, parent.body(LEASE, Lease), parent.payload_digest())
    if wider is not None:
        return _deny(tx, issuer, standing, "delegate", Refused(*wider))
    tx.append(wish.tenant_id, Kind.LEASE_DELEGATED, statement, about(tx, standing))
    tx.put_epoch(wish.tenant_id, place.dispatch_id, 1, expected=0)
    return issue(tx, issuer, made)


def _refuse_delegation(tx: Transaction, standing: Standing, body: Delegation) -> Refused | None:
    lease = standing.lease
    over = ended(tx, standing, tx.now_ms)
    if over is not None:
        return Refused(over.reason, lease.lease_id)
    if lease.depth >= DEPTH_MAX:
        return Refused(Reason.DELEGATION_TOO_DEEP, f"at most {DEPTH_MAX} levels")
    if extra := set(body.scope) - set(lease.scope) - set(lease.delegate_scope):
        return Refused(Reason.SCOPE_EXCEEDED, ", ".join(sorted(extra)))
    if not body.scope:
        return Refused(Reason.SCOPE_EXCEEDED, "a delegation names at least one capability")
    catalogue = current_catalogue(tx, body.tenant_id)
    if catalogue is None:
        raise NotFoundError("catalogue_missing", "The tenant has no capability catalogue.")
    for name in body.scope:
        known = catalogue.capabilities.get(name)
        if known is None or not known.delegable:
            return Refused(Reason.CAPABILITY_NOT_DELEGABLE, name)
    if parse_time(body.not_after) > lease.expires_ms:
        return Refused(Reason.TTL_EXCEEDED, f"the parent ends at {format_time(lease.expires_ms)}")
    if parse_time(body.not_after) <= tx.now_ms:
        return Refused(Reason.LEASE_EXPIRED, "the delegation has ended")
    return None


def _deny(tx: Transaction, issuer: Signer, standing: Standing, action: str, refused: Refused) -> Refused:
    instance = standing.instance
    subject = Subject(instance.tenant_id, instance.instance_id, instance.instance_id, about(tx, standing))
    return record_denial(tx, issuer, subject, action, refused)
