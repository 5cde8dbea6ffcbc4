"""Issuing a lease: the checks and the writing that launching and delegating share."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from dragons.authority.dock import Dock
from dragons.authority.lease import BACKDATE_MS, LEASE, Lease, path_of, refuse_outside_dock
from dragons.authority.revocation import reason_of
from dragons.control.denials import Refused
from dragons.control.docks import dock_of, dock_revoked, dock_status
from dragons.control.organism import arm
from dragons.control.ports import Reader, Transaction
from dragons.control.rows import InstanceRow, LeaseRow, VersionRow
from dragons.control.standing import Standing, about
from dragons.control.versions import active_version
from dragons.core.canonical import encode
from dragons.core.clock import format_time, parse_time
from dragons.core.hashing import sha256_hex
from dragons.core.ids import LEASE as LEASE_PREFIX
from dragons.core.ids import new_id
from dragons.core.keys import PublicKey, Signer
from dragons.core.statement import Envelope, parse_envelope, sign
from dragons.core.vocabulary import Kind, OrganismState, Reason
from dragons.identity.manifest import Manifest, difference
from dragons.identity.records import REGISTRATION, Registration, version_name
from dragons.identity.tokens import Confirmation, Workload, issue_token, thumbprint


class Wish(NamedTuple):
    """A lease that somebody wants; an empty `scope` means all that dock and manifest allow.

    `replaces` is the dispatch whose present instance makes room for this one.
    """

    tenant_id: str
    instance_id: str
    instance_key: PublicKey
    manifest: Manifest
    scope: tuple[str, ...]
    delegate_scope: tuple[str, ...]
    ttl_seconds: int
    replaces: str = ""


class Place(NamedTuple):
    """Where the lease stands: its dispatch and epoch, and when it was delegated, parent and wished end."""

    dispatch_id: str
    epoch: int
    parent: LeaseRow | None = None
    delegation_hash: str = ""
    not_after_ms: int | None = None


class Grant(NamedTuple):
    """A lease that was issued or renewed, with what its holder needs."""

    instance: InstanceRow
    lease: LeaseRow
    statement: Envelope
    dock: Envelope
    token: str


class Draft(NamedTuple):
    """A lease that may be issued; `path` are the entries whose revocation ends it."""

    lease: Lease
    path: tuple[str, ...]
    dock: Envelope
    not_after_ms: int | None


class Fitting(NamedTuple):
    """The version and the dock that a wish fits."""

    version: VersionRow
    dock: Dock
    dock_envelope: Envelope
    scope: tuple[str, ...]


def fit(reader: Reader, wish: Wish, now_ms: int) -> Fitting | Refused:
    """The recorded, active version and a dock for `wish`, or why there is none."""
    manifest = wish.manifest
    hold = reader.hold(wish.tenant_id, manifest.agent)
    if hold is not None:
        why = f"{hold.agent} was quarantined by an operator: {hold.reason}"
        return Refused(Reason.ORGANISM_QUARANTINED, why)
    version = reader.version_by_hash(wish.tenant_id, manifest.hash())
    active = active_version(reader, wish.tenant_id, manifest.agent)
    if version is None:
        return Refused(Reason.MANIFEST_UNRECORDED, _explain(manifest, active))
    if active is None or active.version != version.version:
        now = "no version is" if active is None else f"{version_name(active.agent, active.version)} is"
        return Refused(
            Reason.VERSION_INACTIVE, f"{version_name(version.agent, version.version)} is not active; {now}."
        )
    wanted = set(wish.scope) | set(wish.delegate_scope)
    if extra := wanted - set(manifest.capabilities):
        return Refused(Reason.CAPABILITY_NOT_DECLARED, ", ".join(sorted(extra)))
    refusal = Refused(Reason.DOCK_MISSING, f"{manifest.agent} is not docked in this tenant")
    for row in reversed(reader.docks(wish.tenant_id, manifest.agent)):
        dock, envelope = dock_of(row)
        status = dock_status(reader, row, now_ms)
        if status != "valid":
            revoked = dock_revoked(reader, wish.tenant_id, dock)
            reason = Reason.DOCK_EXPIRED if revoked is None else reason_of(revoked, "")
            refusal = Refused(reason, dock.dock_id) if refusal.reason is Reason.DOCK_MISSING else refusal
            continue
        found = _fit_dock(reader, wish, dock, now_ms)
        if not isinstance(found, Refused):
            return Fitting(version, dock, envelope, found)
        refusal = found
    return refusal


def draft(reader: Reader, wish: Wish, fitting: Fitting, place: Place, now_ms: int) -> Draft | Refused:
    """The lease for `wish`, or why it may not be issued. Writes nothing."""
    dock, version = fitting.dock, fitting.version
    ends_ms = now_ms + wish.ttl_seconds * 1000
    for limit_ms in (place.not_after_ms, None if place.parent is None else place.parent.expires_ms):
        ends_ms = ends_ms if limit_ms is None else min(ends_ms, limit_ms)
    lease = Lease(
        lease_id=new_id(LEASE_PREFIX, now_ms),
        serial=0,
        tenant_id=wish.tenant_id,
        dock_id=dock.dock_id,
        dock_hash=fitting.dock_envelope.payload_digest(),
        agent=version.agent,
        version=version.version,
        manifest_hash=version.manifest_hash,
        instance_id=wish.instance_id,
        instance_key=wish.instance_key.raw,
        dispatch_id=place.dispatch_id,
        epoch=place.epoch,
        scope=list(fitting.scope),
        delegate_scope=sorted(wish.delegate_scope),
        depth=0 if place.parent is None else place.parent.depth + 1,
        issued_at=format_time(now_ms),
        not_before=format_time(now_ms - BACKDATE_MS),
        expires_at=format_time(ends_ms),
        authorized_by=dock.operator,
        parent_lease_id=msgspec.UNSET if place.parent is None else place.parent.lease_id,
        parent_hash=msgspec.UNSET if place.parent is None else _digest(place.parent),
        delegation_hash=place.delegation_hash or msgspec.UNSET,
    )
    refusal = refuse_outside_dock(lease, dock, lease.dock_hash)
    if refusal is not None:
        return Refused(*refusal)
    row = lease_row(lease, b"", () if place.parent is None else place.parent.path)
    revoked = reader.is_revoked(wish.tenant_id, row.path)
    if revoked is not None:
        return Refused(reason_of(revoked, lease.lease_id), revoked)
    return Draft(lease, row.path, fitting.dock_envelope, place.not_after_ms)


def issue(tx: Transaction, issuer: Signer, made: Draft) -> Grant:
    """Sign and record a drafted lease and the instance that holds it."""
    lease, now_ms = made.lease, tx.now_ms
    instance = InstanceRow(
        tenant_id=lease.tenant_id,
        instance_id=lease.instance_id,
        agent=lease.agent,
        version=lease.version,
        manifest_hash=lease.manifest_hash,
        public_key=lease.instance_key,
        dock_id=lease.dock_id,
        dispatch_id=lease.dispatch_id,
        epoch=lease.epoch,
        lease_id=lease.lease_id,
        state=OrganismState.RUNNING,
        state_reason="lease issued",
        state_since_ms=now_ms,
        started_ms=now_ms,
        owed_ms=now_ms,
    )
    grant = record_lease(
        tx,
        issuer,
        instance,
        lease,
        dock=made.dock,
        kind=Kind.LEASE_ISSUED,
        path=made.path,
        not_after_ms=made.not_after_ms,
    )
    arm(tx, instance)
    return grant


def record_lease(
    tx: Transaction,
    issuer: Signer,
    instance: InstanceRow,
    lease: Lease,
    *,
    dock: Envelope,
    kind: Kind,
    path: tuple[str, ...],
    not_after_ms: int | None,
    gaps: tuple[int, ...] = (),
) -> Grant:
    """Sign `lease`, write the rows and the receipt, make the workload token."""
    statement = sign(LEASE, lease, issuer)
    row = replace(lease_row(lease, encode(statement), (), path=path), not_after_ms=not_after_ms, gaps=gaps)
    tx.put_lease(row)
    known = about(tx, Standing(instance, row, lease.epoch, None))
    appended = tx.append(lease.tenant_id, kind, statement, known)
    if kind is Kind.LEASE_ISSUED:
        instance = replace(instance, begun_seq=appended.seq)
    tx.put_instance(instance)
    token = issue_token(
        Workload(
            tenant_id=lease.tenant_id,
            sub=lease.instance_id,
            agent=version_name(lease.agent, lease.version),
            lease_id=lease.lease_id,
            epoch=lease.epoch,
            iat=row.issued_ms // 1000,
            exp=row.expires_ms // 1000,
            cnf=Confirmation(jkt=thumbprint(PublicKey(lease.instance_key))),
        ),
        issuer,
    )
    return Grant(instance, row, statement, dock, token)


def lease_row(
    lease: Lease, statement: bytes, above: tuple[str, ...], *, path: tuple[str, ...] = ()
) -> LeaseRow:
    """The row of a lease; `path` when it is known already, else it is made with `above`, the parent's."""
    entries = path or path_of(lease, above)
    parent = lease.parent_lease_id
    return LeaseRow(
        tenant_id=lease.tenant_id,
        lease_id=lease.lease_id,
        instance_id=lease.instance_id,
        agent=lease.agent,
        dock_id=lease.dock_id,
        serial=lease.serial,
        epoch=lease.epoch,
        depth=lease.depth,
        statement=statement,
        scope=tuple(lease.scope),
        delegate_scope=tuple(lease.delegate_scope),
        path=entries,
        issued_ms=parse_time(lease.issued_at),
        not_before_ms=parse_time(lease.not_before),
        expires_ms=parse_time(lease.expires_at),
        parent_lease_id=parent if isinstance(parent, str) else None,
    )


def _fit_dock(reader: Reader, wish: Wish, dock: Dock, now_ms: int) -> tuple[str, ...] | Refused:
    scope = tuple(sorted(wish.scope)) or tuple(sorted(set(dock.scope) & set(wish.manifest.capabilities)))
    if extra := set(scope) - set(dock.scope):
        return Refused(Reason.CAPABILITY_NOT_DOCKED, ", ".join(sorted(extra)))
    if extra := set(wish.delegate_scope) - set(dock.delegate_scope):
        return Refused(Reason.CAPABILITY_NOT_DOCKED, ", ".join(sorted(extra)))
    if wish.ttl_seconds > dock.ttl_seconds_max:
        return Refused(Reason.TTL_EXCEEDED, f"the dock allows {dock.ttl_seconds_max} s")
    # Here as in `refuse_outside_dock`, so that an older dock which lasts longer has its turn.
    if isinstance(dock.not_after, str) and now_ms + wish.ttl_seconds * 1000 > parse_time(dock.not_after):
        return Refused(Reason.DOCK_EXPIRED, f"the dock ends at {dock.not_after}")
    live = reader.live_under(wish.tenant_id, dock.dock_id, but_dispatch=wish.replaces)
    if live >= dock.instances_max:
        return Refused(Reason.DOCK_INSTANCES_EXHAUSTED, f"{live} of {dock.instances_max} run already")
    return scope


def _explain(manifest: Manifest, active: VersionRow | None) -> str:
    if active is None:
        return f"no manifest of {manifest.agent} is on the record"
    recorded = parse_envelope(active.statement).body(REGISTRATION, Registration).manifest
    name = version_name(active.agent, active.version)
    return f"it differs from {name}: {difference(recorded, manifest).describe()}"


def _digest(row: LeaseRow) -> str:
    return sha256_hex(parse_envelope(row.statement).payload)
