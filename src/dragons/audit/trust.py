"""Trust: the keys that follow, statement by statement, from one pinned root fingerprint.

A key that comes along in a pack is only a candidate. It counts from the moment that a statement
signed by the pinned root (and, on rotation, by the key it replaces) names it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole, PublicKey, role_of
from dragons.core.statement import Envelope, is_signed_by
from dragons.identity.records import Key, KeyRevocation, Tenant

FOREVER = "9999-12-31T23:59:59.999Z"
SIGNING_ROLES = frozenset({"admin", "operator"})
_ROLE_NAMES = {KeyRole.OPERATOR: "operator", KeyRole.ISSUER: "issuer", KeyRole.LEDGER: "ledger"}


@dataclass(slots=True)
class TrustedKey:
    """A key that the root vouches for, valid in [not_before, not_after) until it is revoked.

    `last_use` is the latest time at which a signature of it was accepted.
    """

    key: PublicKey
    role: KeyRole
    not_before: str
    not_after: str
    roles: frozenset[str] = frozenset()
    compromised_since: str = FOREVER
    last_use: str = ""

    def holds_at(self, time: str) -> bool:
        """True when a signature dated `time` counts. RFC 3339 in one form sorts as text."""
        return self.not_before <= time < self.not_after and time < self.compromised_since


@dataclass(slots=True)
class Trust:
    """The keys trusted so far, by key id. `pinned` is the root's SHA-256 fingerprint."""

    pinned: str
    tenant_id: str = ""
    root: PublicKey | None = None
    root_id: str = ""
    keys: dict[str, TrustedKey] = field(default_factory=dict)

    def admit_tenant(self, envelope: Envelope) -> str | None:
        """Take in the genesis; returns what is wrong with it, None when it is accepted."""
        tenant = envelope.body("tenant", Tenant)
        if self.root is not None:
            return "a second genesis"
        try:
            root, ledger = PublicKey(tenant.root_key), PublicKey(tenant.ledger_key)
        except InvalidInputError as error:
            return f"an unsafe key: {error.code}"
        if root.fingerprint != self.pinned:
            return f"the root key's fingerprint is {root.fingerprint}, not the pinned one"
        root_id = root.key_id(KeyRole.ROOT)
        if not _exactly(envelope, {root_id}) or not is_signed_by(envelope, root_id, root):
            return "the genesis is not signed by the root key"
        self.root, self.root_id, self.tenant_id = root, root_id, tenant.tenant_id
        self.keys[ledger.key_id(KeyRole.LEDGER)] = TrustedKey(
            ledger, KeyRole.LEDGER, tenant.created_at, FOREVER
        )
        return None

    def admit_key(self, envelope: Envelope) -> str | None:
        """Take in a key statement; returns what is wrong with it, None when it is accepted."""
        body = envelope.body("key", Key)
        signers = {self.root_id}
        if not isinstance(body.replaces, msgspec.UnsetType):
            signers.add(body.replaces)
        if wrong := self._not_by_root(envelope, body.tenant_id, signers):
            return wrong
        try:
            key = PublicKey(body.public_key)
        except InvalidInputError as error:
            return f"an unsafe key: {error.code}"
        role = role_of(body.key_id)
        if role is None or _ROLE_NAMES.get(role) != body.role or key.key_id(role) != body.key_id:
            return "the key id does not follow from the key and its role"
        if body.key_id in self.keys:
            return f"{body.key_id} was already registered"
        if not isinstance(body.replaces, msgspec.UnsetType):
            old = self.keys.get(body.replaces)
            if old is None or old.role is not role or not is_signed_by(envelope, body.replaces, old.key):
                return f"the rotation is not signed by the key it replaces, {body.replaces}"
        self.keys[body.key_id] = TrustedKey(key, role, body.not_before, body.not_after, frozenset(body.roles))
        return None

    def admit_revocation(self, envelope: Envelope, at: str) -> str | None:
        """Take in the end of a key, recorded `at`; returns what is wrong with it, None when accepted.

        From `at` on nothing that the key signs counts, and what it signed since it was compromised
        does not count either.
        """
        body = envelope.body("key-revocation", KeyRevocation)
        if wrong := self._not_by_root(envelope, body.tenant_id, {self.root_id}):
            return wrong
        if body.key_id not in self.keys:
            return f"{body.key_id} is not a registered key"
        entry = self.keys[body.key_id]
        entry.compromised_since = min(entry.compromised_since, body.compromised_since)
        entry.not_after = min(entry.not_after, at)
        return None

    def signer(self, envelope: Envelope, role: KeyRole, time: str) -> TrustedKey | str:
        """The trusted key that is the envelope's one signer, or what is wrong. Checks no signature."""
        signatures = envelope.signatures
        if len(signatures) != 1:
            return f"it carries {len(signatures)} signatures instead of one"
        key_id = signatures[0].keyid
        entry = self.keys.get(key_id)
        if entry is None or entry.role is not role:
            return f"{key_id} is no {role.name.lower()} key that the pinned root vouches for"
        if not (entry.not_before <= time < entry.not_after and time < entry.compromised_since):
            return f"{key_id} was not valid at {time}"
        if role is KeyRole.OPERATOR and not entry.roles & SIGNING_ROLES:
            return f"{key_id} may not sign for the tenant"
        entry.last_use = max(entry.last_use, time)
        return entry

    def ledger_keys(self, time: str = "") -> list[PublicKey]:
        """The ledger's keys: those that hold at `time`, or all that ever did when it is empty."""
        return [
            entry.key
            for entry in self.keys.values()
            if entry.role is KeyRole.LEDGER and (not time or entry.holds_at(time))
        ]

    def used_after_compromise(self) -> dict[str, str]:
        """Keys that signed at or after the time since which they are not trusted, with that time."""
        return {
            key_id: entry.compromised_since
            for key_id, entry in self.keys.items()
            if entry.last_use >= entry.compromised_since
        }

    def _not_by_root(self, envelope: Envelope, tenant_id: str, signers: set[str]) -> str | None:
        if self.root is None:
            return "it comes before the genesis"
        if tenant_id != self.tenant_id:
            return "it belongs to another tenant"
        if not _exactly(envelope, signers) or not is_signed_by(envelope, self.root_id, self.root):
            return "it is not signed by the root key"
        return None


def _exactly(envelope: Envelope, signers: set[str]) -> bool:
    # A statement with more or fewer signatures than it needs is not the one that was made.
    return {signature.keyid for signature in envelope.signatures} == signers and len(
        envelope.signatures
    ) == len(signers)


def check_fingerprint(text: str) -> str:
    """A pinned root fingerprint in its one form; InvalidInputError when it isn't one."""
    digits = text.strip().lower().removeprefix("sha256:")
    if len(digits) != 64 or any(digit not in "0123456789abcdef" for digit in digits):  # noqa: PLR2004
        raise InvalidInputError(
            "fingerprint_malformed",
            "A root fingerprint is 64 hexadecimal digits.",
            fix="Ask the tenant's owner for the output of `dragons keys fingerprint`.",
        )
    return digits
