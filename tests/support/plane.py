"""A control plane in process, without HTTP: real use cases, real SQLite, keys in memory, a clock to move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dragons.adapters.sql.store import SqlStore
from dragons.authority.catalogue import CATALOGUE, Catalogue, Entry
from dragons.authority.dock import DOCK, Dock
from dragons.authority.revocation import REVOCATION, Revocation, Target
from dragons.control.append import ClaimReceipt, append_claim, check_claim
from dragons.control.caller import Caller
from dragons.control.catalogue import publish_catalogue
from dragons.control.denials import Refused
from dragons.control.docks import dock_agent
from dragons.control.genesis import FirstKeys, create_tenant, prepare_genesis
from dragons.control.issue import Grant
from dragons.control.launch import LaunchWish, launch_instance
from dragons.control.ports import Appended
from dragons.control.revoke import revoke
from dragons.control.sessions import close_session, open_session
from dragons.control.sweep import sweep
from dragons.control.versions import activate_version, register_manifest
from dragons.core.clock import ManualClock, format_time
from dragons.core.hashing import sha256_hex
from dragons.core.ids import (
    CLAIM,
    SESSION,
    new_id,
    uuid7_hex,
)
from dragons.core.ids import (
    DOCK as DOCK_PREFIX,
)
from dragons.core.ids import (
    REVOCATION as REVOCATION_PREFIX,
)
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import Envelope, sign
from dragons.core.vocabulary import Outcome, Risk, Role
from dragons.evidence import receipt
from dragons.evidence.payload import commit
from dragons.identity.manifest import FileDigest, Manifest
from dragons.identity.records import ACTIVATION, REGISTRATION, Activation, Registration
from dragons.liveness.organism import LivenessPolicy

CAPABILITIES = {
    "read:payments": Entry(description="Read payments.", risk=Risk.LOW, delegable=True),
    "write:ledger": Entry(description="Post to the ledger.", risk=Risk.MEDIUM, delegable=False),
    "pay:supplier": Entry(description="Send money.", risk=Risk.HIGH, delegable=False),
    "send:email": Entry(description="Send mail.", risk=Risk.LOW, delegable=True),
}
WAIT_SECONDS = 30


class MemoryKeyring:
    """Issuer and ledger keys of several tenants."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, KeyRole], LocalSigner] = {}

    def issuer(self, tenant_id: str) -> LocalSigner:
        return self.keys[tenant_id, KeyRole.ISSUER]

    def ledger(self, tenant_id: str) -> LocalSigner:
        return self.keys[tenant_id, KeyRole.LEDGER]


@dataclass
class Agent:
    """A launched instance: its key, its grant and one open session."""

    signer: LocalSigner
    grant: Grant
    caller: Caller
    session_id: str = ""


@dataclass
class Plane:
    """One store with any number of tenants."""

    path: Path
    clock: ManualClock = field(default_factory=ManualClock)
    keyring: MemoryKeyring = field(default_factory=MemoryKeyring)

    def __post_init__(self) -> None:
        self.store = SqlStore(self.path, self.keyring, self.clock)

    def tenant(self, name: str = "acme") -> Tenancy:
        root, operator, issuer, ledger = (
            LocalSigner.generate(role)
            for role in (KeyRole.ROOT, KeyRole.OPERATOR, KeyRole.ISSUER, KeyRole.LEDGER)
        )
        now = self.clock.now_ms()
        tenant_id, genesis = prepare_genesis(name, "ada", FirstKeys(root, ledger, issuer, operator), now)
        self.keyring.keys[tenant_id, KeyRole.ISSUER] = issuer
        self.keyring.keys[tenant_id, KeyRole.LEDGER] = ledger
        self.store.write(lambda tx: create_tenant(tx, genesis)).result(WAIT_SECONDS)
        return Tenancy(self, tenant_id, root, operator)


@dataclass
class Tenancy:
    """A tenant with its operator's hands."""

    plane: Plane
    tenant_id: str
    root: LocalSigner
    operator: LocalSigner

    @property
    def now(self) -> str:
        return format_time(self.plane.clock.now_ms())

    @property
    def caller(self) -> Caller:
        return Caller(self.tenant_id, Role.ADMIN, key_id=self.operator.key_id)

    @property
    def issuer(self) -> LocalSigner:
        return self.plane.keyring.issuer(self.tenant_id)

    def do(self, use_case: object, *arguments: object) -> object:
        """Run a use case that takes (tx, caller, …) and wait until it is durable."""
        return self.plane.store.write(
            lambda tx: use_case(tx, self.caller, *arguments)  # type: ignore[operator]
        ).result(WAIT_SECONDS)

    def publish(self, version: int = 1, capabilities: dict[str, Entry] | None = None) -> Appended:
        body = Catalogue(
            tenant_id=self.tenant_id,
            version=version,
            capabilities=CAPABILITIES if capabilities is None else capabilities,
            published_at=self.now,
        )
        return self.do(publish_catalogue, sign(CATALOGUE, body, self.operator))  # type: ignore[return-value]

    def register(self, manifest: Manifest, version: int = 1) -> None:
        body = Registration(
            tenant_id=self.tenant_id,
            version=version,
            manifest=manifest,
            manifest_hash=manifest.hash(),
            registered_at=self.now,
        )
        self.do(register_manifest, sign(REGISTRATION, body, self.operator))

    def activate(self, manifest: Manifest, version: int = 1, ordinal: int = 0) -> None:
        body = Activation(
            tenant_id=self.tenant_id,
            agent=manifest.agent,
            version=version,
            manifest_hash=manifest.hash(),
            ordinal=ordinal,
            activated_at=self.now,
        )
        self.do(activate_version, sign(ACTIVATION, body, self.operator))

    def dock(self, agent: str, scope: Sequence[str], *, delegate: Sequence[str] = (), **limits: int) -> str:
        body = Dock(
            dock_id=new_id(DOCK_PREFIX, self.plane.clock.now_ms()),
            tenant_id=self.tenant_id,
            agent=agent,
            scope=sorted(scope),
            delegate_scope=sorted(delegate),
            ttl_seconds_max=limits.get("ttl_seconds_max", 3600),
            instances_max=limits.get("instances_max", 10),
            operator=self.operator.key_id,
            created_at=self.now,
        )
        self.do(dock_agent, sign(DOCK, body, self.operator))
        return body.dock_id

    def revoke(self, kind: Target, target: str) -> Appended:
        body = Revocation(
            revocation_id=new_id(REVOCATION_PREFIX, self.plane.clock.now_ms()),
            tenant_id=self.tenant_id,
            kind=kind,
            target=target,
            revoked_at=self.now,
            reason="test",
        )
        return self.do(revoke, sign(REVOCATION, body, self.operator))  # type: ignore[return-value]

    def ready(
        self, agent: str = "reconciler", scope: Sequence[str] = ("read:payments", "write:ledger")
    ) -> Manifest:
        """Catalogue, manifest, activation and dock in one go."""
        manifest = make_manifest(agent)
        self.publish()
        self.register(manifest)
        self.activate(manifest)
        self.dock(agent, scope)
        return manifest

    def launch(self, manifest: Manifest, **wish: object) -> Agent | Refused:
        signer = LocalSigner.generate(KeyRole.INSTANCE)
        wanted = LaunchWish(
            instance_id=uuid7_hex(self.plane.clock.now_ms()),
            instance_key=signer.public_key.raw,
            manifest=manifest,
            **wish,  # type: ignore[arg-type]
        )
        found = self.plane.store.write(
            lambda tx: launch_instance(tx, self.issuer, self.caller, wanted)
        ).result(WAIT_SECONDS)
        if isinstance(found, Refused):
            return found
        caller = Caller(
            self.tenant_id, Role.INSTANCE, instance_id=wanted.instance_id, lease_id=found.lease.lease_id
        )
        return Agent(signer, found, caller)

    def started(self, manifest: Manifest, **wish: object) -> Agent:
        """A launched instance with an open session."""
        agent = self.launch(manifest, **wish)
        assert isinstance(agent, Agent), agent
        opened = self.open(agent)
        assert isinstance(opened, Appended), opened
        return agent

    def open(self, agent: Agent) -> Appended | Refused:
        lease = agent.grant.lease
        agent.session_id = new_id(SESSION, self.plane.clock.now_ms())
        body = receipt.Session(
            session_id=agent.session_id,
            tenant_id=self.tenant_id,
            instance_id=lease.instance_id,
            lease_id=lease.lease_id,
            epoch=lease.epoch,
            scope=list(lease.scope),
            payload_hash=commit({"goal": "reconcile payments", "scope": list(lease.scope)}).payload_hash,
            opened_at=self.now,
        )
        envelope = sign(receipt.SESSION, body, agent.signer)
        return self.plane.store.write(
            lambda tx: open_session(tx, self.issuer, agent.caller, envelope)
        ).result(WAIT_SECONDS)

    def claim(self, agent: Agent, action: str = "read:payments", **changes: object) -> Envelope:
        """A signed claim of one action, now."""
        lease = agent.grant.lease
        fields: dict[str, object] = {
            "claim_id": new_id(CLAIM, self.plane.clock.now_ms()),
            "tenant_id": self.tenant_id,
            "instance_id": lease.instance_id,
            "lease_id": lease.lease_id,
            "epoch": lease.epoch,
            "session_id": agent.session_id,
            "action": action,
            "started_at": self.now,
            "ended_at": self.now,
            "elapsed_ms": 3,
            "payload_hash": sha256_hex(new_id(CLAIM, 0).encode()),
            "evidence": [sha256_hex(b"statement")],
            "outcome": Outcome.COMPLETED,
        }
        return sign(receipt.CLAIM, receipt.Claim(**{**fields, **changes}), agent.signer)  # type: ignore[arg-type]

    def append(self, agent: Agent, claim: Envelope) -> ClaimReceipt | Refused:
        checked = check_claim(agent.caller, claim, agent.signer.public_key)
        return self.plane.store.write(lambda tx: append_claim(tx, self.issuer, agent.caller, checked)).result(
            WAIT_SECONDS
        )

    def close(self, agent: Agent, outcome: Outcome = Outcome.COMPLETED) -> Appended:
        lease = agent.grant.lease
        body = receipt.Closing(
            session_id=agent.session_id,
            tenant_id=self.tenant_id,
            instance_id=lease.instance_id,
            lease_id=lease.lease_id,
            outcome=outcome,
            payload_hash=sha256_hex(b"summary"),
            evidence=[],
            closed_at=self.now,
        )
        envelope = sign(receipt.CLOSING, body, agent.signer)
        return self.plane.store.write(lambda tx: close_session(tx, agent.caller, envelope)).result(
            WAIT_SECONDS
        )

    def sweep(self, policy: LivenessPolicy | None = None) -> object:
        return self.plane.store.write(
            lambda tx: sweep(
                tx,
                self.issuer,
                self.plane.keyring.ledger(self.tenant_id),
                self.tenant_id,
                policy or LivenessPolicy(),
            )
        ).result(WAIT_SECONDS)


def make_manifest(
    agent: str = "reconciler", code: bytes = b"print(1)", capabilities: Sequence[str] = ()
) -> Manifest:
    """A manifest of one file."""
    return Manifest(
        agent=agent,
        code=[FileDigest(path="agent.py", sha256=sha256_hex(code), bytes=len(code))],
        config=[],
        capabilities=sorted(capabilities or CAPABILITIES),
        entrypoint=["python", "agent.py"],
    )
