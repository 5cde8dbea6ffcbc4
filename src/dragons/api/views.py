# ruff: noqa: D103 - each function is named after what it shows
"""What the store keeps, as the wire shows it: tenant, keys, tokens, agents, docks, leases, instances.

Derives every figure from rows of the caller's own tenant. Never shows a secret or its hash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dragons.api.answers import text_of
from dragons.authority.lease import LEASE, Lease
from dragons.control.catalogue import current_catalogue
from dragons.control.docks import dock_of, dock_status
from dragons.control.ports import Reader
from dragons.control.rows import (
    ActivationRow,
    DockRow,
    InstanceRow,
    KeyRow,
    LeaseRow,
    TokenRow,
    VersionRow,
)
from dragons.control.standing import compute_mtboi
from dragons.control.statements import key_holds
from dragons.core.clock import format_time
from dragons.core.errors import NotFoundError
from dragons.core.keys import PublicKey
from dragons.core.statement import parse_envelope
from dragons.core.vocabulary import OrganismState
from dragons.identity.records import REGISTRATION, Registration, version_name
from dragons.wire.authority import CatalogueView, Docks, DockView, LeaseDetail, Leases, LeaseView
from dragons.wire.base import PAGE_MAX
from dragons.wire.identity import (
    ActivationView,
    Agents,
    AgentView,
    History,
    Keys,
    KeyView,
    TenantView,
    Tokens,
    TokenView,
    VersionDetail,
    VersionView,
)
from dragons.wire.liveness import Instances, InstanceView

# Ages and positions of what never happened.
NEVER = -1
# From best to worst: an agent's state is that of its worst live instance.
_STATES = (
    OrganismState.RUNNING,
    OrganismState.DEGRADED,
    OrganismState.AUTOHEALING,
    OrganismState.QUARANTINED,
)


def tenant(reader: Reader, tenant_id: str) -> TenantView:
    row = reader.tenant(tenant_id)
    if row is None:
        raise NotFoundError("tenant_missing", "The tenant does not exist.")
    return TenantView(
        tenant_id=row.tenant_id,
        name=row.name,
        root_fingerprint=PublicKey(row.root_key).fingerprint,
        created_at=format_time(row.created_ms),
        receipts=reader.tree_size(tenant_id),
    )


def keys(reader: Reader, tenant_id: str, now_ms: int) -> Keys:
    return Keys(keys=[_key(row, now_ms) for row in reader.keys(tenant_id)])


def tokens(reader: Reader, tenant_id: str, now_ms: int) -> Tokens:
    holding = {row.key_id for row in reader.keys(tenant_id) if key_holds(row, now_ms)}
    return Tokens(
        tokens=[token(row, _token_status(row, holding, now_ms)) for row in reader.tokens(tenant_id)]
    )


def token(row: TokenRow, status: str) -> TokenView:
    return TokenView(
        token_id=row.token_id,
        role=row.role,
        label=row.label,
        key_id=row.key_id,
        created_at=format_time(row.created_ms),
        expires_at=format_time(row.expires_ms),
        status=status,
    )


def catalogue(reader: Reader, tenant_id: str) -> CatalogueView:
    row, body = reader.catalogue(tenant_id), current_catalogue(reader, tenant_id)
    if row is None:
        return CatalogueView(version=0, capabilities={})
    if body is None:  # published with a key that was compromised by then; the next one has the next number
        return CatalogueView(version=row.version, capabilities={})
    return CatalogueView(
        version=body.version,
        capabilities=body.capabilities,
        published_at=body.published_at,
        published_by=parse_envelope(row.statement).signatures[0].keyid,
    )


def agents(reader: Reader, tenant_id: str, now_ms: int) -> Agents:
    return Agents(agents=[_agent(reader, tenant_id, name, now_ms) for name in reader.agents(tenant_id)])


def history(reader: Reader, tenant_id: str, agent: str) -> History:
    versions = reader.versions(tenant_id, agent)
    if not versions:
        raise NotFoundError(
            "agent_missing", f"{agent} has no version on the record.", fix="Register its manifest first."
        )
    activations = reader.activations(tenant_id, agent)
    active = activations[-1].version if activations else 0
    hold = reader.hold(tenant_id, agent)
    return History(
        agent=agent,
        versions=[_version(row, active=row.version == active) for row in versions],
        activations=_activations(activations),
        held_since="" if hold is None else format_time(hold.since_ms),
        held_reason="" if hold is None else hold.reason,
        held_by="" if hold is None else hold.receipt_id,
    )


def version_detail(reader: Reader, tenant_id: str, manifest_hash: str) -> VersionDetail:
    row = reader.version_by_hash(tenant_id, manifest_hash)
    if row is None:
        raise NotFoundError("manifest_unrecorded", "No manifest with this hash is on the record.")
    activations = reader.activations(tenant_id, row.agent)
    active = bool(activations) and activations[-1].version == row.version
    envelope = parse_envelope(row.statement)
    manifest = envelope.body(REGISTRATION, Registration).manifest
    return VersionDetail(view=_version(row, active=active), manifest=manifest, statement=envelope)


def docks(reader: Reader, tenant_id: str, agent: str | None, now_ms: int) -> Docks:
    live = Counter(row.dock_id for row in reader.instances(tenant_id, agent=agent, live=True))
    rows = reader.docks(tenant_id, agent)
    return Docks(docks=[_dock(reader, row, live[row.dock_id], now_ms) for row in rows])


def dock(reader: Reader, tenant_id: str, dock_id: str, now_ms: int) -> DockView:
    row = reader.dock(tenant_id, dock_id)
    if row is None:
        raise NotFoundError("dock_missing", f"There is no dock {dock_id}.")
    instances = reader.instances(tenant_id, agent=row.agent, live=True)
    return _dock(reader, row, sum(one.dock_id == dock_id for one in instances), now_ms)


def leases(reader: Reader, tenant_id: str, agent: str | None, now_ms: int) -> Leases:
    rows = reader.leases(tenant_id, agent=agent)[-PAGE_MAX:]
    return Leases(leases=[_lease(reader, row, now_ms) for row in rows])


def lease_detail(reader: Reader, tenant_id: str, lease_id: str, now_ms: int) -> LeaseDetail:
    row = reader.lease(tenant_id, lease_id)
    if row is None:
        raise NotFoundError("lease_missing", f"There is no lease {lease_id}.")
    return LeaseDetail(view=_lease(reader, row, now_ms), statement=parse_envelope(row.statement))


def instances(reader: Reader, tenant_id: str, agent: str | None, *, live: bool, now_ms: int) -> Instances:
    rows = reader.instances(tenant_id, agent=agent, live=live)[-PAGE_MAX:]
    mtboi = {name: compute_mtboi(reader, tenant_id, name, now_ms) for name in {row.agent for row in rows}}
    return Instances(instances=[_instance(reader, row, mtboi[row.agent], now_ms) for row in rows])


def instance(reader: Reader, tenant_id: str, instance_id: str, now_ms: int) -> InstanceView:
    row = reader.instance(tenant_id, instance_id)
    if row is None:
        raise NotFoundError("instance_missing", f"There is no instance {instance_id}.")
    return _instance(reader, row, compute_mtboi(reader, tenant_id, row.agent, now_ms), now_ms)


def _key(row: KeyRow, now_ms: int) -> KeyView:
    if row.revoked_ms is not None:
        status = "revoked"
    elif now_ms >= row.not_after_ms:
        status = "expired"
    else:
        status = "valid" if key_holds(row, now_ms) else "not_yet_valid"
    return KeyView(
        key_id=row.key_id,
        role=row.role,
        subject=row.subject,
        roles=list(row.roles),
        public_key=row.public_key,
        not_before=format_time(row.not_before_ms),
        not_after=format_time(row.not_after_ms),
        status=status,
        revoked_at=None if row.revoked_ms is None else format_time(row.revoked_ms),
        compromised_since=None if row.compromised_ms is None else format_time(row.compromised_ms),
    )


def _token_status(row: TokenRow, holding: set[str], now_ms: int) -> str:
    if row.revoked_ms is not None:
        return "revoked"
    if now_ms >= row.expires_ms:
        return "expired"
    return "valid" if row.key_id in holding else "key_ended"


def _agent(reader: Reader, tenant_id: str, agent: str, now_ms: int) -> AgentView:
    versions, activations = reader.versions(tenant_id, agent), reader.activations(tenant_id, agent)
    active = activations[-1] if activations else None
    live = reader.instances(tenant_id, agent=agent, live=True)
    valid = [row for row in reader.docks(tenant_id, agent) if dock_status(reader, row, now_ms) == "valid"]
    state = max((row.state for row in live), key=_STATES.index, default=OrganismState.STOPPED)
    return AgentView(
        agent=agent,
        versions=len(versions),
        active="" if active is None else version_name(agent, active.version),
        manifest_hash="" if active is None else active.manifest_hash,
        docks=len(valid),
        running=len(live),
        state=state.value,
        mtboi_seconds=compute_mtboi(reader, tenant_id, agent, now_ms),
    )


def _version(row: VersionRow, *, active: bool) -> VersionView:
    manifest = parse_envelope(row.statement).body(REGISTRATION, Registration).manifest
    return VersionView(
        name=version_name(row.agent, row.version),
        agent=row.agent,
        version=row.version,
        manifest_hash=row.manifest_hash,
        registered_at=format_time(row.registered_ms),
        registered_by=row.registered_by,
        active=active,
        files=len(manifest.code) + len(manifest.config),
        capabilities=manifest.capabilities,
    )


def _activations(rows: Sequence[ActivationRow]) -> list[ActivationView]:
    before = 0
    found = []
    for row in rows:
        found.append(
            ActivationView(
                ordinal=row.ordinal,
                name=version_name(row.agent, row.version),
                manifest_hash=row.manifest_hash,
                activated_at=format_time(row.activated_ms),
                activated_by=row.activated_by,
                reason=row.reason,
                rollback=row.version < before,
            )
        )
        before = row.version
    return found


def _dock(reader: Reader, row: DockRow, live: int, now_ms: int) -> DockView:
    body, _ = dock_of(row)
    return DockView(
        dock_id=row.dock_id,
        agent=row.agent,
        scope=body.scope,
        delegate_scope=body.delegate_scope,
        ttl_seconds_max=body.ttl_seconds_max,
        instances_max=body.instances_max,
        instances_live=live,
        operator=body.operator,
        created_at=body.created_at,
        status=dock_status(reader, row, now_ms),
        not_after=text_of(body.not_after),
    )


def _lease(reader: Reader, row: LeaseRow, now_ms: int) -> LeaseView:
    if row.released_ms is not None:
        status = "released"
    elif reader.is_revoked(row.tenant_id, row.path) is not None:
        status = "revoked"
    else:
        status = "expired" if now_ms >= row.expires_ms else "valid"
    body = parse_envelope(row.statement).body(LEASE, Lease)
    return LeaseView(
        lease_id=row.lease_id,
        agent=row.agent,
        version=body.version,
        instance_id=row.instance_id,
        dock_id=row.dock_id,
        authorized_by=body.authorized_by,
        scope=list(row.scope),
        delegate_scope=list(row.delegate_scope),
        epoch=row.epoch,
        serial=row.serial,
        depth=row.depth,
        issued_at=format_time(row.issued_ms),
        expires_at=format_time(row.expires_ms),
        left_seconds=max(0, row.expires_ms - now_ms) // 1000 if status == "valid" else 0,
        status=status,
        parent_lease_id=row.parent_lease_id or "",
    )


def _instance(reader: Reader, row: InstanceRow, mtboi_seconds: int, now_ms: int) -> InstanceView:
    lease = reader.lease(row.tenant_id, row.lease_id)
    left_ms = 0 if lease is None or lease.released_ms is not None else max(0, lease.expires_ms - now_ms)
    return InstanceView(
        instance_id=row.instance_id,
        agent=row.agent,
        version=row.version,
        manifest_hash=row.manifest_hash,
        dock_id=row.dock_id,
        lease_id=row.lease_id,
        dispatch_id=row.dispatch_id,
        epoch=row.epoch,
        state=row.state.value,
        state_reason=row.state_reason,
        state_since=format_time(row.state_since_ms),
        started_at=format_time(row.started_ms),
        stopped_at="" if row.stopped_ms is None else format_time(row.stopped_ms),
        lease_left_seconds=left_ms // 1000,
        pulse_age_ms=NEVER if row.pulse_ms is None else max(0, now_ms - row.pulse_ms),
        progress_sequence=row.progress_sequence,
        progress_age_ms=NEVER if row.progress_ms is None else max(0, now_ms - row.progress_ms),
        progress_source=row.progress_source,
        mtboi_seconds=mtboi_seconds,
    )
