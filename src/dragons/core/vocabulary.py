"""The words that documents, decisions and screens share. Each value is part of a format."""

from __future__ import annotations

from enum import StrEnum


class OrganismState(StrEnum):
    """The semantic life of an instance."""

    RUNNING = "running"
    DEGRADED = "degraded"
    AUTOHEALING = "autohealing"
    QUARANTINED = "quarantined"
    STOPPED = "stopped"


class Outcome(StrEnum):
    """How a started cycle ended; every one of them ends."""

    COMPLETED = "completed"
    FAILED = "failed"
    DENIED = "denied"
    ABANDONED = "abandoned"


class Kind(StrEnum):
    """Kinds of receipt: work, and the governance events around it."""

    TENANT_CREATED = "tenant.created"
    KEY_REGISTERED = "key.registered"
    KEY_REVOKED = "key.revoked"
    CATALOGUE_PUBLISHED = "catalogue.published"
    MANIFEST_REGISTERED = "manifest.registered"
    VERSION_ACTIVATED = "version.activated"
    AGENT_DOCKED = "agent.docked"
    REVOKED = "revoked"
    LEASE_ISSUED = "lease.issued"
    LEASE_RENEWED = "lease.renewed"
    LEASE_DELEGATED = "lease.delegated"
    LEASE_RELEASED = "lease.released"
    SESSION_OPENED = "session.opened"
    ACTION_AUTHORIZED = "action.authorized"
    WORK = "work"
    SESSION_CLOSED = "session.closed"
    DENIED = "denied"
    STATE_CHANGED = "state.changed"
    INTERVENTION = "intervention"
    ERASED = "erased"
    POLICY_PUBLISHED = "policy.published"
    DISPATCH_ORDERED = "dispatch.ordered"
    DISPATCH_ENDED = "dispatch.ended"
    REDISPATCHED = "redispatched"
    NOTIFIED = "notified"


class Reason(StrEnum):
    """Why an action was denied. Stable: policies, tests and people match on these."""

    LEASE_MISSING = "lease_missing"
    LEASE_NOT_YET_VALID = "lease_not_yet_valid"
    LEASE_EXPIRED = "lease_expired"
    LEASE_DELEGATED = "lease.delegated"
    LEASE_RELEASED = "lease_released"
    REVOKED_OPERATOR = "operator_revoked"
    REVOKED_DOCK = "dock_revoked"
    REVOKED_AGENT = "agent_revoked"
    REVOKED_VERSION = "version_revoked"
    REVOKED_INSTANCE = "instance_revoked"
    REVOKED_LEASE = "lease_revoked"
    REVOKED_PARENT = "parent_lease_revoked"
    DOCK_MISSING = "dock_missing"
    DOCK_EXPIRED = "dock_expired"
    DOCK_INSTANCES_EXHAUSTED = "dock_instances_exhausted"
    MANIFEST_UNRECORDED = "manifest_unrecorded"
    MANIFEST_MISMATCH = "manifest_mismatch"
    VERSION_INACTIVE = "version_inactive"
    INSTANCE_MISMATCH = "instance_mismatch"
    TENANT_MISMATCH = "tenant_mismatch"
    EPOCH_STALE = "epoch_stale"
    CAPABILITY_UNKNOWN = "capability_unknown"
    CAPABILITY_NOT_DECLARED = "capability_not_declared"
    CAPABILITY_NOT_DOCKED = "capability_not_docked"
    CAPABILITY_NOT_LEASED = "capability_not_leased"
    CAPABILITY_NOT_DELEGABLE = "capability_not_delegable"
    ONLINE_CHECK_REQUIRED = "online_check_required"
    SCOPE_EXCEEDED = "scope_exceeded"
    TTL_EXCEEDED = "ttl_exceeded"
    DELEGATION_TOO_DEEP = "delegation_too_deep"
    ORGANISM_AUTOHEALING = "organism_autohealing"
    ORGANISM_QUARANTINED = "organism_quarantined"
    ORGANISM_STOPPED = "organism_stopped"
    AUTHORITY_STALE = "authority_stale"
    CLOCK_JUMPED = "clock_jumped"
    SESSION_CLOSED = "session_closed"
    DISPATCH_ENDED = "dispatch_ended"
    DISPATCH_NOT_ORDERED = "dispatch_not_ordered"
    STEP_COMPLETED = "step_completed"
    STEP_IN_DOUBT = "step_in_doubt"


class Risk(StrEnum):
    """How much a capability can do; `HIGH` demands the control plane's own check at every action."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Role(StrEnum):
    """Who a caller of the API is. A keyholder proves an operator key at hand and has no token yet."""

    ADMIN = "admin"
    OPERATOR = "operator"
    LAUNCHER = "launcher"
    AUDITOR = "auditor"
    INSTANCE = "instance"
    KEYHOLDER = "keyholder"
    ANYONE = "anyone"
