"""What an operator's key signs, sent to the control plane: registrations, docks, revocations and the rest.

Each method makes one statement, signs it here and returns what was recorded. The API token carries
the request; the authority is the signature. Never sends a private key anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from dragons.authority.catalogue import CATALOGUE, Catalogue, Entry
from dragons.authority.dock import DOCK, Budget, Dock, check_dock
from dragons.authority.revocation import REVOCATION, Revocation, Target
from dragons.core.capability import scope_of
from dragons.core.clock import format_time
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.ids import DISPATCH as DISPATCH_ID
from dragons.core.ids import DOCK as DOCK_ID
from dragons.core.ids import REVOCATION as REVOCATION_ID
from dragons.core.ids import check_agent_name, check_id, check_instance_id, new_id
from dragons.core.keys import KeyRole, PublicKey, Signer
from dragons.core.statement import sign
from dragons.evidence.receipt import ERASURE, INTERVENTION, Erasure, Intervention
from dragons.identity.manifest import Manifest, check_manifest
from dragons.identity.records import (
    ACTIVATION,
    KEY,
    KEY_REVOCATION,
    REGISTRATION,
    Activation,
    Key,
    KeyRevocation,
    Registration,
    version_name,
)
from dragons.liveness.dispatch import DISPATCH_ORDER, Dispatch
from dragons.liveness.policy import POLICY, Policy, check_policy
from dragons.sdk.client import OperatorClient
from dragons.wire.base import Recorded
from dragons.wire.identity import Registered

STOP = "stop"
_YEAR_MS = 366 * 24 * 3600 * 1000
_DOCK_VALID = "valid"
# A copy that was killed counts until its lease ends; it must not keep the next one from starting.
READY_INSTANCES = 8


class Docked(NamedTuple):
    """A dock with the receipt that records it."""

    dock: Dock
    recorded: Recorded


class Ready(NamedTuple):
    """An agent that may be launched; what was there before is None."""

    registered: Registered
    activated: Recorded | None
    docked: Docked | None


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator at work: an API client and the key that signs."""

    client: OperatorClient
    signer: Signer

    def register_manifest(self, manifest: Manifest) -> Registered:
        """Put a manifest on the record as the agent's next version; a known one keeps its version."""
        check_manifest(manifest)
        body = Registration(
            tenant_id=self.client.tenant_id,
            version=self.client.next_version(manifest.agent).version,
            manifest=manifest,
            manifest_hash=manifest.hash(),
            registered_at=self._now(),
        )
        return self.client.register_manifest(sign(REGISTRATION, body, self.signer))

    def activate(self, agent: str, version: int, *, reason: str = "") -> Recorded:
        """Let `agent` run as `version` from now on; an older version is a rollback, on the record."""
        known = {view.version: view for view in self.client.agent(check_agent_name(agent)).versions}
        if version not in known:
            raise NotFoundError(
                "version_missing",
                f"{version_name(agent, version)} was never registered.",
                fix=f"List the versions with `dragons agents show {agent}`.",
            )
        body = Activation(
            tenant_id=self.client.tenant_id,
            agent=agent,
            version=version,
            manifest_hash=known[version].manifest_hash,
            ordinal=self.client.next_version(agent).ordinal,
            activated_at=self._now(),
            reason=reason or msgspec.UNSET,
        )
        return self.client.activate(sign(ACTIVATION, body, self.signer))

    def dock(
        self,
        agent: str,
        *,
        scope: Iterable[str],
        delegate_scope: Iterable[str] = (),
        ttl_seconds_max: int = 3600,
        instances_max: int = 1,
        not_after: str = "",
        budget: Budget | None = None,
    ) -> Docked:
        """Bind an agent to the tenant up to `scope`."""
        body = Dock(
            dock_id=new_id(DOCK_ID, self.client.clock.now_ms()),
            tenant_id=self.client.tenant_id,
            agent=check_agent_name(agent),
            scope=scope_of(scope),
            delegate_scope=scope_of(delegate_scope),
            ttl_seconds_max=ttl_seconds_max,
            instances_max=instances_max,
            operator=self.signer.key_id,
            created_at=self._now(),
            not_after=not_after or msgspec.UNSET,
            budget=budget if budget is not None else msgspec.UNSET,
        )
        check_dock(body)
        return Docked(body, self.client.create_dock(sign(DOCK, body, self.signer)))

    def publish_catalogue(self, entries: Mapping[str, Entry]) -> Recorded:
        """Replace the tenant's catalogue by its next version."""
        body = Catalogue(
            tenant_id=self.client.tenant_id,
            version=self.client.catalogue().version + 1,
            capabilities=dict(entries),
            published_at=self._now(),
        )
        return self.client.publish_catalogue(sign(CATALOGUE, body, self.signer))

    def revoke(self, kind: Target, target: str, *, reason: str) -> Recorded:
        """End everything beneath `target`: `dock` and `dck_…`, or `version` and `reconciler@v7`."""
        body = Revocation(
            revocation_id=new_id(REVOCATION_ID, self.client.clock.now_ms()),
            tenant_id=self.client.tenant_id,
            kind=kind,
            target=target,
            revoked_at=self._now(),
            reason=reason,
        )
        return self.client.revoke(sign(REVOCATION, body, self.signer))

    def intervene(
        self, instance_id: str = "", *, agent: str = "", reason: str, action: str = STOP
    ) -> Recorded:
        """Lay hand on an instance, or on all of `agent`; MTBOI counts it.

        `action` is stop, quarantine, release or redispatch. InvalidInputError unless one of the two is named.
        """
        if bool(instance_id) == bool(agent):
            raise InvalidInputError(
                "target_malformed", "An intervention names an instance or an agent, and one of them."
            )
        body = Intervention(
            tenant_id=self.client.tenant_id,
            instance_id=check_instance_id(instance_id) if instance_id else msgspec.UNSET,
            agent=check_agent_name(agent) if agent else msgspec.UNSET,
            action=action,
            reason=reason,
            at=self._now(),
        )
        return self.client.intervene(sign(INTERVENTION, body, self.signer))

    def create_dispatch(self, body: Dispatch) -> Recorded:
        """Order work that goes on until it is done; the first instance is started by its dispatcher."""
        return self.client.create_dispatch(sign(DISPATCH_ORDER, body, self.signer))

    def cancel_dispatch(self, dispatch_id: str, *, reason: str) -> Recorded:
        """End a dispatch and whatever works on it, for good; MTBOI counts it."""
        body = Intervention(
            tenant_id=self.client.tenant_id,
            dispatch_id=check_id(DISPATCH_ID, dispatch_id),
            action=STOP,
            reason=reason,
            at=self._now(),
        )
        return self.client.intervene(sign(INTERVENTION, body, self.signer))

    def publish_policy(self, agent: str, values: Mapping[str, Any]) -> Recorded:
        """Publish the next liveness policy of `agent` (`*` is every agent) with these thresholds, by field."""
        known = self.client.policy(agent)
        given = {
            "tenant_id": self.client.tenant_id,
            "agent": agent,
            "version": known.next_version,
            "published_at": self._now(),
            **values,
        }
        try:
            body = check_policy(msgspec.convert(given, Policy))
        except msgspec.ValidationError as error:
            raise InvalidInputError(
                "policy_invalid", f"The policy is malformed: {error}.", fix="Correct the value."
            ) from error
        return self.client.publish_policy(sign(POLICY, body, self.signer))

    def erase(self, receipts: Sequence[str], *, reason: str) -> Recorded:
        """Record that payload and salt of `receipts` are destroyed; `dragons.sdk.localstore` does it."""
        body = Erasure(
            tenant_id=self.client.tenant_id, receipts=list(receipts), reason=reason, erased_at=self._now()
        )
        return self.client.erase(sign(ERASURE, body, self.signer))

    def make_ready(self, manifest: Manifest, *, ttl_seconds_max: int = 3600) -> Ready:
        """Register and activate a manifest; dock its agent to what it declares unless a dock allows it."""
        registered = self.register_manifest(manifest)
        views = self.client.agent(manifest.agent).versions
        active = any(view.active and view.version == registered.version for view in views)
        activated = None if active else self.activate(manifest.agent, registered.version)
        wanted = set(manifest.capabilities)
        docks = self.client.docks(manifest.agent).docks
        allowed = any(view.status == _DOCK_VALID and wanted <= set(view.scope) for view in docks)
        docked = None
        if wanted and not allowed:
            docked = self.dock(
                manifest.agent,
                scope=manifest.capabilities,
                ttl_seconds_max=ttl_seconds_max,
                instances_max=READY_INSTANCES,
            )
        return Ready(registered, activated, docked)

    def _now(self) -> str:
        return format_time(self.client.clock.now_ms())


@dataclass(frozen=True, slots=True)
class RootHolder:
    """The holder of the tenant's root key at work: which keys count, and until when."""

    client: OperatorClient
    root: Signer

    def register_key(
        self,
        key: PublicKey,
        role: KeyRole,
        *,
        subject: str,
        roles: Sequence[str] = (),
        ttl_ms: int = _YEAR_MS,
        replaces: Signer | None = None,
    ) -> Recorded:
        """Vouch for a key; a rotation also carries the signature of the key it replaces."""
        now_ms = self.client.clock.now_ms()
        body = Key(
            tenant_id=self.client.tenant_id,
            key_id=key.key_id(role),
            role=role.name.lower(),
            public_key=key.raw,
            subject=subject,
            roles=sorted(roles),
            not_before=format_time(now_ms),
            not_after=format_time(now_ms + ttl_ms),
            replaces=msgspec.UNSET if replaces is None else replaces.key_id,
        )
        signers = (self.root,) if replaces is None else (self.root, replaces)
        return self.client.register_key(sign(KEY, body, *signers))

    def revoke_key(self, key_id: str, *, reason: str, compromised_since: str = "") -> Recorded:
        """End a key; signatures dated at or after `compromised_since` stop counting."""
        now = format_time(self.client.clock.now_ms())
        body = KeyRevocation(
            tenant_id=self.client.tenant_id,
            key_id=key_id,
            revoked_at=now,
            compromised_since=compromised_since or now,
            reason=reason,
        )
        return self.client.revoke_key(sign(KEY_REVOCATION, body, self.root))
