"""What the store keeps beside the ledger: current state by noun, each row derived from receipts.

Times are epoch milliseconds. Envelopes are kept as canonical JSON bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from dragons.core.vocabulary import OrganismState


@dataclass(frozen=True, slots=True)
class TenantRow:
    tenant_id: str
    name: str
    root_key: bytes
    created_ms: int


@dataclass(frozen=True, slots=True)
class KeyRow:
    """`role` is operator, issuer or ledger; a revoked key has `revoked_ms` and `compromised_ms`."""

    tenant_id: str
    key_id: str
    role: str
    public_key: bytes
    subject: str
    roles: tuple[str, ...]
    not_before_ms: int
    not_after_ms: int
    registered_ms: int
    revoked_ms: int | None = None
    compromised_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TokenRow:
    """An API token; only its SHA-256 is kept. It acts for the operator key `key_id`."""

    token_id: str
    tenant_id: str
    token_hash: str
    key_id: str
    role: str
    label: str
    created_ms: int
    expires_ms: int
    revoked_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    tenant_id: str
    version: int
    statement: bytes
    published_ms: int


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A manifest on the record as `agent@v<version>`."""

    tenant_id: str
    agent: str
    version: int
    manifest_hash: str
    statement: bytes
    registered_ms: int
    registered_by: str


@dataclass(frozen=True, slots=True)
class ActivationRow:
    tenant_id: str
    agent: str
    ordinal: int
    version: int
    manifest_hash: str
    activated_ms: int
    activated_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class DockRow:
    tenant_id: str
    dock_id: str
    agent: str
    statement: bytes
    created_ms: int


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """One running copy. Its scope and times come from its current lease."""

    tenant_id: str
    instance_id: str
    agent: str
    version: int
    manifest_hash: str
    public_key: bytes
    dock_id: str
    dispatch_id: str
    epoch: int
    lease_id: str
    state: OrganismState
    state_reason: str
    state_since_ms: int
    started_ms: int
    stopped_ms: int | None = None
    pulse_ms: int | None = None
    beat_sequence: int = 0
    beats: int = 0
    progress_sequence: int = 0
    progress_ms: int | None = None
    progress_source: str = ""
    last_beat: bytes = b""


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """The newest statement of a lease; `path` are the entries whose revocation ends it.

    `not_after_ms` is the end that a delegating parent wished for; no renewal goes beyond it.
    """

    tenant_id: str
    lease_id: str
    instance_id: str
    agent: str
    dock_id: str
    serial: int
    epoch: int
    depth: int
    statement: bytes
    scope: tuple[str, ...]
    delegate_scope: tuple[str, ...]
    path: tuple[str, ...]
    issued_ms: int
    not_before_ms: int
    expires_ms: int
    parent_lease_id: str | None = None
    released_ms: int | None = None
    not_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SessionRow:
    tenant_id: str
    session_id: str
    instance_id: str
    agent: str
    lease_id: str
    opened_ms: int
    closed_ms: int | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class RevocationRow:
    """`entry` is `kind:target` as in `dragons.authority.revocation`."""

    tenant_id: str
    ordinal: int
    entry: str
    revoked_ms: int


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """An action that the control plane authorized and that awaits its receipt."""

    tenant_id: str
    decision_id: str
    session_id: str
    instance_id: str
    action: str
    decided_ms: int


@dataclass(frozen=True, slots=True)
class DenialRow:
    """Equal denials of one subject (an instance, or an agent whose launch was refused) since its last receipt."""

    tenant_id: str
    subject: str
    agent: str
    instance_id: str
    action: str
    reason: str
    detail: str
    count: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """A receipt as stored: everything a record is made of, and what it is found by."""

    tenant_id: str
    seq: int
    receipt_id: str
    kind: str
    issued_ms: int
    header: bytes
    header_signature: bytes
    ledger_key_id: str
    statement_type: str
    statement: bytes
    statement_signatures: bytes
    leaf_hash: bytes
    agent: str | None = None
    agent_seq: int | None = None
    session_id: str | None = None
    session_position: int | None = None
    claim_id: str | None = None
