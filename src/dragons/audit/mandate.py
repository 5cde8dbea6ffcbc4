"""Authority as the ledger tells it: docks, leases and revocations in order, and who may claim what.

Fed with governance statements whose signatures hold, then asked about every piece of work:
receipt → lease → dock → operator, valid at that time. Every answer is None, or `code: detail`.

Memory grows with docks, manifests, leases and steps that happen once, never with other work: a
decision is forgotten when the action that it authorized is on the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dragons.audit.dispatches import Dispatches
from dragons.audit.leases import HeldLease, changed_by_renewal, held, is_delegated
from dragons.audit.organisms import ENDED_STATES, Organisms
from dragons.authority.catalogue import Catalogue, Entry
from dragons.authority.dock import Dock
from dragons.authority.lease import Delegation, Lease, refuse_outside_dock, refuse_outside_parent
from dragons.authority.revocation import STALE_AFTER_MS, Revocation, Target, Withdrawal, entry
from dragons.core.clock import parse_time
from dragons.core.errors import InvalidInputError
from dragons.core.statement import Envelope
from dragons.core.vocabulary import OrganismState, Reason, Risk
from dragons.evidence.receipt import Decision, Header, Redispatch
from dragons.identity.records import Activation, Registration
from dragons.liveness.dispatch import Dispatch
from dragons.liveness.policy import Policy, check_policy

# An issuer dates a lease when it records it; an older date would authorize the past.
ISSUE_SKEW_MS_MAX = 60_000


@dataclass(slots=True)
class Mandate:
    """What is authorized at this point of the ledger.

    `revoked` maps an entry to the time of its receipt, `epochs` a dispatch to its newest epoch and
    since when, `policies` an agent to its newest policy's version, `steps` a step to the receipt that
    completed it. `whole` says that the pack shows the ledger from its beginning without gaps.
    """

    whole: bool = True
    docks: dict[str, tuple[Dock, str]] = field(default_factory=dict)
    leases: dict[str, HeldLease] = field(default_factory=dict)
    delegations: dict[str, Delegation] = field(default_factory=dict)
    revoked: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, Registration] = field(default_factory=dict)
    active: dict[str, int] = field(default_factory=dict)
    catalogue: dict[str, Entry] = field(default_factory=dict)
    high_risk: frozenset[str] = frozenset()
    epochs: dict[str, tuple[int, str]] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    policies: dict[str, int] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)
    organisms: Organisms = field(default_factory=Organisms)
    dispatches: Dispatches = field(default_factory=Dispatches)

    # --- governance --------------------------------------------------------------------------------

    def admit_catalogue(self, body: Catalogue) -> str | None:
        self.catalogue = body.capabilities
        self.high_risk = frozenset(name for name, one in body.capabilities.items() if one.risk is Risk.HIGH)
        return None

    def admit_registration(self, body: Registration) -> str | None:
        if body.manifest.hash() != body.manifest_hash:
            return f"{Reason.MANIFEST_MISMATCH}: the manifest_hash is not the hash of the manifest"
        known = self.manifests.get(body.manifest_hash)
        if known is not None:
            return f"{Reason.MANIFEST_MISMATCH}: the manifest is version {known.version} already"
        self.manifests[body.manifest_hash] = body
        return None

    def admit_activation(self, body: Activation) -> str | None:
        if not self._recorded(body.manifest_hash, body.agent, body.version):
            return f"{Reason.MANIFEST_UNRECORDED}: {body.manifest_hash}"
        self.active[body.agent] = body.version
        return None

    def admit_dock(self, body: Dock, envelope: Envelope) -> str | None:
        if envelope.signatures[0].keyid != body.operator:
            return f"{Reason.DOCK_MISSING}: the dock names another operator than the one who signed it"
        if body.dock_id in self.docks:
            return f"{Reason.DOCK_MISSING}: a second dock {body.dock_id}"
        self.docks[body.dock_id] = (body, envelope.payload_digest())
        return None

    def admit_revocation(self, body: Revocation, at: str) -> str | None:
        self.revoke(body.kind, body.target, at)
        return None

    def revoke(self, kind: Target, target: str, at: str) -> None:
        """Nothing under `target` has authority from `at` on; the first time counts."""
        self.revoked.setdefault(entry(kind, target), at)

    def is_revoked(self, kind: Target, target: str) -> bool:
        return entry(kind, target) in self.revoked

    def admit_withdrawal(self, body: Withdrawal, at: str) -> str | None:
        """The issuer takes a lease back. A selection shows every revocation, but not every lease."""
        lease = self.leases.get(body.lease_id)
        if lease is None and self.whole:
            return f"{Reason.LEASE_MISSING}: {body.lease_id}"
        if lease is not None and lease.body.instance_id != body.instance_id:
            return f"{Reason.INSTANCE_MISMATCH}: the withdrawal names another instance"
        self.revoke(Target.LEASE, body.lease_id, at)
        return None

    def admit_policy(self, body: Policy) -> str | None:
        expected = self.policies.get(body.agent, 0) + 1
        if body.version != expected:
            return f"policy_version_conflict: version {body.version} of {body.agent} follows {expected - 1}"
        try:
            check_policy(body)
        except InvalidInputError:
            return "policy_invalid: it contradicts itself"
        self.policies[body.agent] = body.version
        return None

    def admit_dispatch(self, body: Dispatch) -> str | None:
        return self.dispatches.admit_dispatch(body, self._epoch(body.dispatch_id))

    def admit_redispatch(self, body: Redispatch) -> str | None:
        """The next instance is ordered: only when no older one of the dispatch may act any more."""
        wrong = self.dispatches.refuse_start(body, self._epoch(body.dispatch_id))
        wrong = wrong or self.organisms.refuse_successor(body.dispatch_id)
        if wrong is None:
            self.dispatches.start(body)
        return wrong

    def admit_delegation(self, body: Delegation, envelope: Envelope, header: Header) -> str | None:
        """A parent's signed wish; that the parent signed it has been checked."""
        parent = self.leases[body.parent_lease_id]
        if body.parent_instance_id != parent.body.instance_id:
            return f"{Reason.INSTANCE_MISMATCH}: the delegation names another parent instance"
        if over := self.over(parent, header):
            return f"{over}: {body.parent_lease_id}"
        if extra := set(body.scope) - parent.scope - set(parent.body.delegate_scope):
            return f"{Reason.SCOPE_EXCEEDED}: {', '.join(sorted(extra))}"
        for name in body.scope:
            known = self.catalogue.get(name)
            if known is None or not known.delegable:
                return f"{Reason.CAPABILITY_NOT_DELEGABLE}: {name}"
        if body.not_after > parent.expires_at:
            return f"{Reason.TTL_EXCEEDED}: the parent ends at {parent.expires_at}"
        self.delegations[envelope.payload_digest()] = body
        return None

    def admit_lease(self, body: Lease, envelope: Envelope, at: str) -> str | None:
        """Take in a lease or a renewal; returns the reason why it has no authority."""
        known = self.leases.get(body.lease_id)
        if known is None and body.serial != 0:
            return f"{Reason.LEASE_MISSING}: {body.lease_id} is renewed but was never issued"
        lease = held(body, envelope.payload_digest(), self._above(body))
        if wrong := self._refuse(body, lease, at):
            return wrong
        if known is not None:
            if wrong := self._refuse_renewal(known, body):
                return wrong
            known.renew(body, lease.digest)
            return None
        if wrong := self._refuse_launch(body, lease, at):
            return wrong
        self.epochs[body.dispatch_id] = (body.epoch, at)
        self.leases[body.lease_id] = lease
        self.organisms.launched(body)
        return None

    def admit_decision(self, body: Decision, header: Header) -> str | None:
        """The control plane's own check of one action."""
        lease = self.leases.get(body.lease_id)
        if lease is None:
            return f"{Reason.LEASE_MISSING}: {body.lease_id}"
        if wrong := self.mismatch(header, lease, body.instance_id, body.epoch):
            return wrong
        if over := self.over(lease, header):
            return f"{over}: an action was authorized under {body.lease_id}"
        if body.action not in lease.scope:
            return f"{Reason.CAPABILITY_NOT_LEASED}: {body.action}"
        self.decisions[body.decision_id] = body
        return None

    # --- what work asks ----------------------------------------------------------------------------

    def over(self, lease: HeldLease, header: Header) -> Reason | None:
        """Why the lease had ended when this receipt was issued, None while it had not."""
        at = header.issued_at
        if at >= lease.expires_at:
            return Reason.LEASE_EXPIRED
        if lease.released_at:
            return Reason.LEASE_RELEASED
        if self.revoked and any(one in self.revoked for one in lease.path):
            return Reason.REVOKED_LEASE
        if self.epochs[lease.body.dispatch_id][0] != lease.body.epoch:
            return Reason.EPOCH_STALE
        if header.organism_state in ENDED_STATES and header.instance_id == lease.body.instance_id:
            return ENDED_STATES[OrganismState(header.organism_state)]
        halted = self.organisms.halted.get(lease.body.instance_id)
        return None if halted is None or header.instance_id != lease.body.instance_id else halted[0]

    def mismatch(self, header: Header, lease: HeldLease, instance_id: str, epoch: int) -> str | None:
        """How header, statement and lease contradict each other about who this is."""
        body = lease.body
        if not header.instance_id == instance_id == body.instance_id or header.lease_ref != body.lease_id:
            return f"{Reason.INSTANCE_MISMATCH}: header, statement and lease name different instances"
        if header.agent != lease.name:
            return f"{Reason.INSTANCE_MISMATCH}: the header names {header.agent}, the lease {lease.name}"
        if header.manifest_hash != body.manifest_hash:
            return f"{Reason.MANIFEST_MISMATCH}: {header.manifest_hash}"
        if not epoch == header.epoch == body.epoch:
            return f"{Reason.EPOCH_STALE}: epoch {epoch} under a lease of epoch {body.epoch}"
        return None

    # --- whether a lease fits ----------------------------------------------------------------------

    def _recorded(self, manifest_hash: str, agent: str, version: int) -> bool:
        found = self.manifests.get(manifest_hash)
        return found is not None and (found.manifest.agent, found.version) == (agent, version)

    def _refuse(self, body: Lease, lease: HeldLease, at: str) -> str | None:
        dock = self.docks.get(body.dock_id)
        if dock is None:
            return f"{Reason.DOCK_MISSING}: {body.dock_id}"
        refusal = refuse_outside_dock(body, *dock)
        if refusal is not None:
            return f"{refusal.reason}: {refusal.detail}"
        if abs(parse_time(at) - parse_time(body.issued_at)) > ISSUE_SKEW_MS_MAX:
            return f"{Reason.LEASE_NOT_YET_VALID}: dated {body.issued_at}, recorded {at}"
        if not self._recorded(body.manifest_hash, body.agent, body.version):
            return f"{Reason.MANIFEST_UNRECORDED}: {body.manifest_hash}"
        declared = self.manifests[body.manifest_hash].manifest.capabilities
        if extra := (set(body.scope) | set(body.delegate_scope)) - set(declared):
            return f"{Reason.CAPABILITY_NOT_DECLARED}: {', '.join(sorted(extra))}"
        if ended := next((one for one in lease.path if one in self.revoked), None):
            return f"revoked: {ended}"
        if is_delegated(body):
            return self._refuse_delegated(body)
        return None if body.depth == 0 else f"{Reason.LEASE_MISSING}: it has a depth but no parent"

    def _refuse_delegated(self, body: Lease) -> str | None:
        parent = self.leases.get(str(body.parent_lease_id))
        if parent is None:
            return f"{Reason.LEASE_MISSING}: the parent {body.parent_lease_id} is unknown"
        # A renewal goes on citing the parent statement that the lease was issued under.
        cited = parent.digest if body.serial == 0 else str(body.parent_hash)
        refusal = refuse_outside_parent(body, parent.body, cited)
        if refusal is not None:
            return f"{refusal.reason}: {refusal.detail}"
        if body.issued_at >= parent.expires_at or (parent.released_at and body.serial == 0):
            return f"{Reason.LEASE_EXPIRED}: the parent had ended"
        wish = self.delegations.get(str(body.delegation_hash))
        if wish is None or (wish.parent_lease_id, wish.agent, wish.instance_id, wish.instance_key) != (
            body.parent_lease_id,
            body.agent,
            body.instance_id,
            body.instance_key,
        ):
            return f"{Reason.LEASE_MISSING}: no delegation by the parent's holder names this instance"
        if extra := (set(body.scope) | set(body.delegate_scope)) - set(wish.scope):
            return f"{Reason.SCOPE_EXCEEDED}: wider than the delegation: {', '.join(sorted(extra))}"
        if body.expires_at > wish.not_after:
            return f"{Reason.TTL_EXCEEDED}: the delegation ends at {wish.not_after}"
        return None

    def _refuse_launch(self, body: Lease, lease: HeldLease, at: str) -> str | None:
        if self.active.get(body.agent) != body.version:
            return f"{Reason.VERSION_INACTIVE}: {lease.name} was not the active version"
        if body.epoch <= self._epoch(body.dispatch_id):
            return f"{Reason.EPOCH_STALE}: epoch {body.epoch} was dispatched before"
        wrong = self.dispatches.refuse_launch(body, at) or self.organisms.refuse_launch(body)
        return wrong or self._refuse_unfenced(body, at)

    def _refuse_unfenced(self, body: Lease, at: str) -> str | None:
        """A start says why the instance before can't act any more; that it died is the control plane's word."""
        before = self.organisms.newest.get(body.dispatch_id)
        ordered = self.dispatches.known.get(body.dispatch_id)
        if before is None or ordered is None or ordered.fenced_by == "death":
            return None
        if ordered.fenced_by == "expiry":
            ended_ms = parse_time(self.leases[self.organisms.known[before].lease_id].expires_at)
        elif ordered.fenced_by == "staleness":
            ended_ms = parse_time(self.organisms.halted[before][1]) + STALE_AFTER_MS
        else:
            return f"holder_unfenced: nothing says why {before} can't act"
        return None if ended_ms <= parse_time(at) else f"holder_unfenced: {before} may act for a while yet"

    def _refuse_renewal(self, known: HeldLease, body: Lease) -> str | None:
        # It may come after the lease's end: how long after is the control plane's to decide.
        before = known.body
        if field_name := changed_by_renewal(before, body):
            return f"{Reason.LEASE_MISSING}: a renewal changed {field_name}"
        if body.serial != before.serial + 1:
            return f"{Reason.LEASE_MISSING}: renewal {body.serial} follows renewal {before.serial}"
        if known.released_at:
            return f"{Reason.LEASE_RELEASED}: a renewal of a lease that was given back"
        if (halted := self.organisms.halted.get(body.instance_id)) is not None:
            return f"{halted[0]}: a renewal for an instance that is halted since {halted[1]}"
        if extra := (set(body.scope) - known.scope) | (set(body.delegate_scope) - set(before.delegate_scope)):
            return f"{Reason.SCOPE_EXCEEDED}: a renewal may not widen: {', '.join(sorted(extra))}"
        return None

    def _epoch(self, dispatch_id: str) -> int:
        return self.epochs.get(dispatch_id, (0, ""))[0]

    def _above(self, body: Lease) -> tuple[str, ...]:
        parent = body.parent_lease_id
        return self.leases[parent].path if isinstance(parent, str) and parent in self.leases else ()
