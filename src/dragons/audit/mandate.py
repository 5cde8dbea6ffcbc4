"""Authority as the ledger tells it: docks, leases and revocations in order, and who may claim what.

Fed with governance statements whose signatures hold, then asked about every piece of work:
receipt → lease → dock → operator, valid at that time. Every answer is None, or `code: detail`.

Memory grows with docks, manifests, leases and steps that happen once, never with other work: a
decision is forgotten when the action that it authorized is on the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dragons.audit.dispatches import Dispatches
from dragons.audit.fitting import refuse_lease
from dragons.audit.leases import HeldLease, held
from dragons.audit.organisms import ENDED_STATES, Organisms
from dragons.authority.catalogue import Catalogue, Entry
from dragons.authority.dock import Dock
from dragons.authority.lease import Delegation, Lease
from dragons.authority.revocation import Revocation, Target, Withdrawal, entry
from dragons.core.errors import InvalidInputError
from dragons.core.statement import Envelope
from dragons.core.vocabulary import OrganismState, Reason, Risk
from dragons.evidence.receipt import Decision, Header, Redispatch
from dragons.identity.records import Activation, Registration
from dragons.liveness.dispatch import Dispatch
from dragons.liveness.policy import Policy, check_policy


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
        if not self.is_recorded(body.manifest_hash, body.agent, body.version):
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
        return self.dispatches.admit_dispatch(body, self.epoch(body.dispatch_id))

    def admit_redispatch(self, body: Redispatch) -> str | None:
        """The next instance is ordered: only when no older one of the dispatch may act any more."""
        wrong = self.dispatches.refuse_start(body, self.epoch(body.dispatch_id))
        wrong = wrong or self.organisms.refuse_successor(body.dispatch_id)
        if wrong is None:
            self.dispatches.start(body)
        return wrong

    def annul_dispatch(self, dispatch_id: str, at: str) -> None:
        """Nothing of a dispatch has authority from `at` on, as what it rests on doesn't count any more."""
        if self.dispatches.annul(dispatch_id):
            for lease_id, lease in self.leases.items():
                if lease.body.dispatch_id == dispatch_id:
                    self.revoke(Target.LEASE, lease_id, at)

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
        parent = body.parent_lease_id
        above = self.leases[parent].path if isinstance(parent, str) and parent in self.leases else ()
        lease = held(body, envelope.payload_digest(), above)
        if wrong := refuse_lease(self, lease, known, at):
            return wrong
        if known is not None:
            known.renew(body, lease.digest)
            return None
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

    def is_recorded(self, manifest_hash: str, agent: str, version: int) -> bool:
        """True when the manifest is registered as that agent and version."""
        found = self.manifests.get(manifest_hash)
        return found is not None and (found.manifest.agent, found.version) == (agent, version)

    def epoch(self, dispatch_id: str) -> int:
        """The newest epoch of a dispatch that was leased, 0 for none."""
        return self.epochs.get(dispatch_id, (0, ""))[0]
