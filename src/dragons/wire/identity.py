"""Tenants, keys, API tokens, manifests and versions on the wire."""

from __future__ import annotations

from typing import Annotated

import msgspec

from dragons.core.statement import Envelope
from dragons.identity.manifest import Manifest
from dragons.wire.base import Request, Response

LABEL_LENGTH_MAX = 100


class TenantView(Response):
    tenant_id: str
    name: str
    root_fingerprint: str
    created_at: str
    receipts: int


class KeyView(Response):
    key_id: str
    role: str
    subject: str
    roles: list[str]
    public_key: bytes
    not_before: str
    not_after: str
    status: str
    revoked_at: str | None = None
    compromised_since: str | None = None


class Keys(Response):
    keys: list[KeyView]


class TokenRequest(Request):
    """`ttl_seconds` up to a year; `role` is admin, operator, launcher or auditor."""

    role: Annotated[str, msgspec.Meta(pattern="^(admin|operator|launcher|auditor)$")]
    label: Annotated[str, msgspec.Meta(min_length=1, max_length=LABEL_LENGTH_MAX)]
    ttl_seconds: Annotated[int, msgspec.Meta(ge=60, le=366 * 24 * 3600)] = 90 * 24 * 3600


class TokenView(Response):
    token_id: str
    role: str
    label: str
    key_id: str
    created_at: str
    expires_at: str
    status: str


class TokenIssued(Response):
    """`token` is shown this once; only its hash is kept."""

    token: str
    view: TokenView


class Tokens(Response):
    tokens: list[TokenView]


class VersionView(Response):
    """`name` is `reconciler@v7`; `active` says whether instances may be launched as it."""

    name: str
    agent: str
    version: int
    manifest_hash: str
    registered_at: str
    registered_by: str
    active: bool
    files: int
    capabilities: list[str]


class VersionDetail(Response):
    view: VersionView
    manifest: Manifest
    statement: Envelope


class AgentView(Response):
    agent: str
    versions: int
    active: str
    manifest_hash: str
    docks: int
    running: int
    state: str
    mtboi_seconds: int


class Agents(Response):
    agents: list[AgentView]


class ActivationView(Response):
    """One entry of the audited history: which version became active when and by whose key."""

    ordinal: int
    name: str
    manifest_hash: str
    activated_at: str
    activated_by: str
    reason: str
    rollback: bool


class History(Response):
    """`held_…` say since when and why an operator quarantined the agent, and by which receipt."""

    agent: str
    versions: list[VersionView]
    activations: list[ActivationView]
    held_since: str = ""
    held_reason: str = ""
    held_by: str = ""


class NextVersion(Response):
    """What the next registration and activation of an agent must be numbered."""

    agent: str
    version: int
    ordinal: int


class Registered(Response):
    """`created` is False when the same manifest was on the record already."""

    name: str
    version: int
    manifest_hash: str
    created: bool
