"""Identity on the record: the bodies of the statements that create tenants, keys and versions.

Each is signed by the key that its docstring names and becomes a receipt of its own kind.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from dragons.core.canonical import Count, Document
from dragons.core.clock import Timestamp
from dragons.core.hashing import Digest
from dragons.core.ids import AgentName, Id
from dragons.identity.manifest import Manifest

TENANT = "tenant"
KEY = "key"
KEY_REVOCATION = "key-revocation"
REGISTRATION = "registration"
ACTIVATION = "activation"

RawKey = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Text = Annotated[str, msgspec.Meta(max_length=500)]


class Tenant(Document):
    """Genesis of a tenant, signed by its root key; names the first ledger key, so that every receipt verifies."""

    tenant_id: Id
    name: Text
    root_key: RawKey
    ledger_key: RawKey
    created_at: Timestamp


class Key(Document):
    """A key and what it is for, signed by the root, and on rotation also by the key it `replaces`.

    `role` is operator, issuer or ledger; `subject` names the person or service; `roles` are what an
    operator may do. The key is valid in [not_before, not_after).
    """

    tenant_id: Id
    key_id: str
    role: str
    public_key: RawKey
    subject: Text
    roles: list[str]
    not_before: Timestamp
    not_after: Timestamp
    replaces: str | msgspec.UnsetType = msgspec.UNSET


class KeyRevocation(Document):
    """The end of a key, signed by the root. Signatures dated at or after `compromised_since` don't count."""

    tenant_id: Id
    key_id: str
    revoked_at: Timestamp
    compromised_since: Timestamp
    reason: Text


class Registration(Document):
    """A manifest becomes version `agent@v<version>`, signed by an operator."""

    tenant_id: Id
    version: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    manifest: Manifest
    manifest_hash: Digest
    registered_at: Timestamp


class Activation(Document):
    """From now on `agent` runs as `version`, signed by an operator; `ordinal` counts them from 0."""

    tenant_id: Id
    agent: AgentName
    version: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    manifest_hash: Digest
    ordinal: Count
    activated_at: Timestamp
    reason: Text | msgspec.UnsetType = msgspec.UNSET


def version_name(agent: str, version: int) -> str:
    """`reconciler@v7`."""
    return f"{agent}@v{version}"


def parse_version_name(text: str) -> tuple[str, int]:
    """Agent and version of `reconciler@v7`; ValueError otherwise."""
    agent, _, version = text.rpartition("@v")
    if not agent or not version.isascii() or not version.isdigit() or version.startswith("0"):
        msg = f"{text!r} is not a version name like reconciler@v7"
        raise ValueError(msg)
    return agent, int(version)
