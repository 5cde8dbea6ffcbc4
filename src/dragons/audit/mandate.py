"""Authority as the ledger tells it: docks, leases and revocations in order, and who may claim what.

Fed with governance statements whose signatures hold, then asked about every piece of work:
receipt → lease → dock → operator, valid at that time. Uses the same rules that issued the lease.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from dragons.authority.catalogue import Catalogue
from dragons.authority.dock import Dock
from dragons.authority.lease import Delegation, Lease, refuse_outside_dock, refuse_outside_parent
from dragons.authority.revocation import Path, Revocation, Target, entry, path_entries
from dragons.core.statement import Envelope
from dragons.core.vocabulary import Outcome, Reason, Risk
from dragons.evidence.receipt import Claim, Closing, Decision, Header, Session
from dragons.identity.records import Registration, version_name


@dataclass(slots=True)
class HeldLease:
    """A lease with its renewals: valid in [not_before, expires_at)."""

    body: Lease
    digest: str
    not_before: str
    expires_at: str
    scope: frozenset[str]
    name: str
    path: tuple[str, ...]
    released_at: str = ""


@dataclass(slots=True)
class Mandate:
    """What is authorized at this point of the ledger."""

    docks: dict[str, tuple[Dock, str]] = field(default_factory=dict)
    leases: dict[str, HeldLease] = field(default_factory=dict)
    delegations: dict[str, Delegation] = field(default_factory=dict)
    revoked: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, Registration] = field(default_factory=dict)
    risks: dict[str, Risk] = field(default_factory=dict)
    epochs: dict[str, tuple[int, str]] = field(default_factory=dict)
    decisions: dict[str, tuple[Decision, int]] = field(default_factory=dict)

    def admit_catalogue(self, body: Catalogue) -> str | None:
        self.risks = {name: item.risk for name, item in body.capabilities.items()}
        return None

    def admit_registration(self, body: Registration) -> str | None:
        if body.manifest.hash() != body.manifest_hash:
            return "the manifest_hash is not the hash of the manifest"
        self.manifests[body.manifest_hash] = body
        return None

    def admit_dock(self, body: Dock, envelope: Envelope) -> str | None:
        if envelope.signatures[0].keyid != body.operator:
            return "the dock names another operator than the one who signed it"
        self.docks[body.dock_id] = (body, envelope.payload_digest())
        return None

    def admit_revocation(self, body: Revocation, at: str) -> str | None:
        self.revoked.setdefault(entry(body.kind, body.target), at)
        return None

    def admit_delegation(self, body: Delegation, envelope: Envelope) -> str | None:
        self.delegations[envelope.payload_digest()] = body
        return None

    def admit_lease(self, body: Lease, envelope: Envelope, at: str) -> str | None:
        """Take in a lease or a renewal; returns the reason why it has no authority."""
        if wrong := self._refuse(body, at):
            return wrong
        digest = envelope.payload_digest()
        known = self.leases.get(body.lease_id)
        if known is not None:
            return self._renew(known, body, digest)
        if body.serial != 0:
            return f"{Reason.LEASE_MISSING}: {body.lease_id} is renewed but was never issued"
        ancestors = self._ancestors(body)
        path = Path(
            body.authorized_by, body.dock_id, body.agent, version_name(body.agent, body.version),
            body.instance_id, (body.lease_id, *ancestors),
        )  # fmt: skip
        self.leases[body.lease_id] = HeldLease(
            body, digest, body.not_before, body.expires_at, frozenset(body.scope),
            version_name(body.agent, body.version), path_entries(path),
        )  # fmt: skip
        epoch, _ = self.epochs.get(body.dispatch_id, (0, ""))
        if body.epoch > epoch:
            self.epochs[body.dispatch_id] = (body.epoch, at)
        return None

    def judge_work(self, header: Header, claim: Claim) -> str | None:
        """Why this claim had no authority when it began, None when it had."""
        lease = self.leases.get(claim.lease_id)
        if lease is None:
            return f"{Reason.LEASE_MISSING}: {claim.lease_id}"
        if wrong := self._judge_identity(header, lease, claim.instance_id, claim.epoch):
            return wrong
        if header.late is True and header.issued_at < lease.expires_at and not self._ended(lease):
            return "late_unfounded: the lease was valid when the receipt was issued"
        if header.late is not True and header.issued_at >= lease.expires_at:
            return "late_unmarked: the lease had expired when the receipt was issued"
        if claim.outcome is Outcome.DENIED:
            return None
        if not lease.not_before <= claim.started_at < lease.expires_at:
            return f"{Reason.LEASE_EXPIRED}: it began at {claim.started_at}, outside the lease"
        if lease.released_at and claim.started_at >= lease.released_at:
            return f"{Reason.LEASE_RELEASED}: {claim.lease_id}"
        for one in lease.path:
            at = self.revoked.get(one)
            if at is not None and claim.started_at >= at:
                return f"revoked: {one} at {at}"
        epoch, since = self.epochs[lease.body.dispatch_id]
        if epoch > claim.epoch and claim.started_at >= since:
            return f"{Reason.EPOCH_STALE}: epoch {epoch} was dispatched at {since}"
        if claim.action not in lease.scope:
            return f"{Reason.CAPABILITY_NOT_LEASED}: {claim.action}"
        return self._judge_risk(claim)

    def judge_session(self, header: Header, body: Session | Closing) -> str | None:
        """Why this session had no authority, None when it had."""
        lease = self.leases.get(body.lease_id)
        if lease is None:
            return f"{Reason.LEASE_MISSING}: {body.lease_id}"
        epoch = body.epoch if isinstance(body, Session) else lease.body.epoch
        if wrong := self._judge_identity(header, lease, body.instance_id, epoch):
            return wrong
        if isinstance(body, Session):
            if not lease.not_before <= body.opened_at < lease.expires_at:
                return f"{Reason.LEASE_EXPIRED}: the session was opened outside its lease"
            if extra := set(body.scope) - lease.scope - set(lease.body.delegate_scope):
                return f"{Reason.SCOPE_EXCEEDED}: {', '.join(sorted(extra))}"
        return None

    def instance_key(self, lease_id: str) -> bytes | None:
        """The raw public key of the instance that holds `lease_id`."""
        lease = self.leases.get(lease_id)
        return None if lease is None else lease.body.instance_key

    def _refuse(self, body: Lease, at: str) -> str | None:
        dock = self.docks.get(body.dock_id)
        if dock is None:
            return f"{Reason.DOCK_MISSING}: {body.dock_id}"
        refusal = refuse_outside_dock(body, *dock)
        if refusal is not None:
            return f"{refusal.reason}: {refusal.detail}"
        manifest = self.manifests.get(body.manifest_hash)
        if manifest is None or (manifest.manifest.agent, manifest.version) != (body.agent, body.version):
            return f"{Reason.MANIFEST_UNRECORDED}: {body.manifest_hash}"
        if extra := (set(body.scope) | set(body.delegate_scope)) - set(manifest.manifest.capabilities):
            return f"{Reason.CAPABILITY_NOT_DECLARED}: {', '.join(sorted(extra))}"
        for one in (entry(Target.DOCK, body.dock_id), entry(Target.OPERATOR, body.authorized_by)):
            if self.revoked.get(one, at) < at:
                return f"revoked: {one}"
        return self._refuse_delegated(body)

    def _refuse_delegated(self, body: Lease) -> str | None:
        if isinstance(body.parent_lease_id, msgspec.UnsetType):
            return None if body.depth == 0 else f"{Reason.LEASE_MISSING}: it has a depth but no parent"
        parent = self.leases.get(body.parent_lease_id)
        if parent is None:
            return f"{Reason.LEASE_MISSING}: the parent {body.parent_lease_id} is unknown"
        refusal = refuse_outside_parent(body, parent.body, parent.digest)
        if refusal is not None:
            return f"{refusal.reason}: {refusal.detail}"
        wish = self.delegations.get(
            "" if isinstance(body.delegation_hash, msgspec.UnsetType) else body.delegation_hash
        )
        if wish is None or (wish.parent_lease_id, wish.instance_id, wish.instance_key) != (
            body.parent_lease_id,
            body.instance_id,
            body.instance_key,
        ):
            return f"{Reason.LEASE_MISSING}: no delegation by the parent's holder names this instance"
        if set(body.scope) - set(wish.scope):
            return f"{Reason.SCOPE_EXCEEDED}: wider than the delegation"
        return None

    def _renew(self, known: HeldLease, body: Lease, digest: str) -> str | None:
        before = known.body
        same = ("instance_id", "instance_key", "dock_id", "agent", "version", "manifest_hash",
                "dispatch_id", "epoch", "depth", "authorized_by")  # fmt: skip
        if any(getattr(before, name) != getattr(body, name) for name in same):
            return "a renewal changed what the lease is about"
        if body.serial != before.serial + 1 or body.issued_at >= known.expires_at:
            return f"{Reason.LEASE_EXPIRED}: a renewal must follow its lease while that is valid"
        if set(body.scope) - set(before.scope):
            return f"{Reason.SCOPE_EXCEEDED}: a renewal may not widen the scope"
        known.body, known.digest, known.expires_at = body, digest, body.expires_at
        known.scope = frozenset(body.scope)
        return None

    def _ancestors(self, body: Lease) -> tuple[str, ...]:
        found: list[str] = []
        parent = body.parent_lease_id
        while not isinstance(parent, msgspec.UnsetType) and parent in self.leases:
            found.append(parent)
            parent = self.leases[parent].body.parent_lease_id
        return tuple(found)

    def _judge_identity(self, header: Header, lease: HeldLease, instance_id: str, epoch: int) -> str | None:
        body = lease.body
        if header.lease_ref != body.lease_id or header.instance_id != body.instance_id:
            return f"{Reason.INSTANCE_MISMATCH}: the header names another lease or instance"
        if instance_id != body.instance_id or header.agent != lease.name:
            return f"{Reason.INSTANCE_MISMATCH}: the statement is about another instance"
        if header.manifest_hash != body.manifest_hash:
            return f"{Reason.MANIFEST_MISMATCH}: {header.manifest_hash}"
        if not epoch == header.epoch == body.epoch:
            return f"{Reason.EPOCH_STALE}: epoch {epoch} under a lease of epoch {body.epoch}"
        return None

    def _judge_risk(self, claim: Claim) -> str | None:
        risk = self.risks.get(claim.action)
        if risk is None:
            return f"{Reason.CAPABILITY_UNKNOWN}: {claim.action}"
        if risk is not Risk.HIGH:
            return None
        decision = None if isinstance(claim.decision_id, msgspec.UnsetType) else self.decisions.get(claim.decision_id)
        if decision is None or decision[0].action != claim.action or decision[0].instance_id != claim.instance_id:
            return f"{Reason.ONLINE_CHECK_REQUIRED}: no decision of the control plane for {claim.action}"
        return None

    def _ended(self, lease: HeldLease) -> bool:
        return bool(lease.released_at) or any(one in self.revoked for one in lease.path)
