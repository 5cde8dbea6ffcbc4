"""A control plane in process, without HTTP: real use cases, real SQLite, keys in memory, a clock to move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dragons.adapters.sql.store import SqlStore
from dragons.audit.pack import Selection
from dragons.audit.verdicts import Report
from dragons.audit.verify import verify_file
from dragons.authority.lease import DELEGATION, RELEASE, Delegation, Release
from dragons.control.append import ClaimReceipt, append_claim, check_claim
from dragons.control.authorize import Authorized, authorize_action
from dragons.control.beat import Beats, accept_heartbeats, check_heartbeats
from dragons.control.caller import Caller
from dragons.control.denials import Refused
from dragons.control.export import export_pack
from dragons.control.fsck import fsck
from dragons.control.genesis import FirstKeys, create_tenant, prepare_genesis
from dragons.control.issue import Grant
from dragons.control.launch import LaunchWish, launch_instance
from dragons.control.leases import delegate_lease, release_lease, renew_lease
from dragons.control.ports import Appended, Keyring, Reader, Store, Transaction
from dragons.control.rows import InstanceRow, LeaseRow, SessionRow
from dragons.control.sessions import close_session, open_session
from dragons.control.steps import StepStands, StepWish
from dragons.core.clock import Clock, ManualClock, format_time
from dragons.core.hashing import sha256_hex
from dragons.core.ids import CLAIM, SESSION, new_id, uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import Envelope, sign
from dragons.core.vocabulary import Outcome, Role
from dragons.evidence import receipt
from dragons.evidence.payload import commit
from dragons.identity.manifest import Manifest
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat
from tests.support.governed import CAPABILITIES, Governed, MemoryKeyring, make_manifest

__all__ = [
    "CAPABILITIES",
    "Agent",
    "MemoryKeyring",
    "Plane",
    "Tenancy",
    "assert_sound",
    "assert_valid",
    "export",
    "make_manifest",
    "verify",
]

WAIT_SECONDS = 30
T = TypeVar("T")


@dataclass
class Agent:
    """A launched instance: its key, its grant and one open session."""

    signer: LocalSigner
    grant: Grant
    caller: Caller
    session_id: str = ""

    @property
    def lease(self) -> LeaseRow:
        return self.grant.lease

    @property
    def instance_id(self) -> str:
        return self.grant.lease.instance_id


@dataclass
class Plane:
    """One store with any number of tenants."""

    path: Path
    clock: ManualClock = field(default_factory=ManualClock)
    keyring: MemoryKeyring = field(default_factory=MemoryKeyring)

    # What the store reads instead of `clock`, for example a SteadyClock over it.
    store_clock: Clock | None = None
    open_store: Callable[[Path, Keyring, Clock], Store] = SqlStore

    def __post_init__(self) -> None:
        self.store = self.open_store(self.path, self.keyring, self.store_clock or self.clock)

    def write(self, job: Callable[[Transaction], T]) -> T:
        """Run a job and wait until it is durable."""
        return self.store.write(job).result(WAIT_SECONDS)

    def read(self, look: Callable[[Reader], T]) -> T:
        with self.store.read() as reader:
            return look(reader)

    def reopen(self) -> None:
        """End the store, as a restart does, and open it again."""
        self.store.close()
        self.store = self.open_store(self.path, self.keyring, self.store_clock or self.clock)

    def tenant(self, name: str = "acme") -> Tenancy:
        root, operator, issuer, ledger = (
            LocalSigner.generate(role)
            for role in (KeyRole.ROOT, KeyRole.OPERATOR, KeyRole.ISSUER, KeyRole.LEDGER)
        )
        now = self.clock.now_ms()
        tenant_id, genesis = prepare_genesis(name, "ada", FirstKeys(root, ledger, issuer, operator), now)
        self.keyring.put(tenant_id, issuer)
        self.keyring.put(tenant_id, ledger)
        self.write(lambda tx: create_tenant(tx, genesis))
        return Tenancy(self, tenant_id, root, operator)


@dataclass
class Tenancy(Governed):
    """A tenant with its operator's hands and its instances'."""

    def instance(self, agent: Agent) -> InstanceRow:
        found = self.plane.read(lambda reader: reader.instance(self.tenant_id, agent.instance_id))
        assert found is not None
        return found

    def session(self, session_id: str) -> SessionRow:
        found = self.plane.read(lambda reader: reader.session(self.tenant_id, session_id))
        assert found is not None
        return found

    def launch(self, manifest: Manifest, **wish: object) -> Agent | Refused:
        signer = LocalSigner.generate(KeyRole.INSTANCE)
        names = {"instance_id": uuid7_hex(self.now_ms), "instance_key": signer.public_key.raw}
        wanted = LaunchWish(**{**names, "manifest": manifest, **wish})  # type: ignore[arg-type]
        found = self.plane.write(lambda tx: launch_instance(tx, self.issuer, self.caller, wanted))
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

    def open(self, agent: Agent, **changes: Any) -> Appended | Refused:
        lease = agent.grant.lease
        agent.session_id = new_id(SESSION, self.now_ms)
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
        body = msgspec.structs.replace(body, **changes)
        agent.session_id = body.session_id
        envelope = sign(receipt.SESSION, body, agent.signer)
        return self.plane.write(lambda tx: open_session(tx, self.issuer, agent.caller, envelope))

    def claim(self, agent: Agent, action: str = "read:payments", **changes: object) -> Envelope:
        """A signed claim of one action, now."""
        lease = agent.grant.lease
        fields: dict[str, object] = {
            "claim_id": new_id(CLAIM, self.now_ms),
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
        return self.plane.write(lambda tx: append_claim(tx, self.issuer, agent.caller, checked))

    def work(self, agent: Agent, action: str = "read:payments", **changes: object) -> ClaimReceipt | Refused:
        """Claim one action and append it."""
        return self.append(agent, self.claim(agent, action, **changes))

    def authorize(
        self, agent: Agent, action: str, session_id: str = "", *, wish: StepWish | None = None
    ) -> Authorized | Refused | StepStands:
        wanted = session_id or agent.session_id
        return self.plane.write(
            lambda tx: authorize_action(tx, self.issuer, agent.caller, wanted, action, wish=wish)
        )

    def renew(self, agent: Agent) -> Grant | Refused:
        found = self.plane.write(lambda tx: renew_lease(tx, self.issuer, agent.caller))
        if isinstance(found, Grant):
            agent.grant = found
        return found

    def release(self, agent: Agent, **changes: Any) -> Appended:
        body = Release(
            tenant_id=self.tenant_id,
            lease_id=agent.lease.lease_id,
            instance_id=agent.instance_id,
            released_at=self.now,
        )
        envelope = sign(RELEASE, msgspec.structs.replace(body, **changes), agent.signer)
        return self.plane.write(lambda tx: release_lease(tx, self.issuer, agent.caller, envelope))

    def delegate(
        self,
        parent: Agent,
        manifest: Manifest,
        scope: Sequence[str],
        *,
        ttl_seconds: int = 60,
        **changes: Any,
    ) -> Agent | Refused:
        """A child instance with part of the parent's lease."""
        signer = LocalSigner.generate(KeyRole.INSTANCE)
        body = Delegation(
            tenant_id=self.tenant_id,
            parent_lease_id=parent.lease.lease_id,
            parent_instance_id=parent.instance_id,
            agent=manifest.agent,
            instance_id=uuid7_hex(self.now_ms),
            instance_key=signer.public_key.raw,
            scope=sorted(scope),
            not_after=format_time(self.now_ms + ttl_seconds * 1000),
            created_at=self.now,
        )
        body = msgspec.structs.replace(body, **changes)
        envelope = sign(DELEGATION, body, parent.signer)
        found = self.plane.write(
            lambda tx: delegate_lease(tx, self.issuer, parent.caller, envelope, manifest)
        )
        if isinstance(found, Refused):
            return found
        caller = Caller(
            self.tenant_id, Role.INSTANCE, instance_id=body.instance_id, lease_id=found.lease.lease_id
        )
        return Agent(signer, found, caller)

    def heartbeat(self, agent: Agent, sequence: int, **changes: Any) -> Envelope:
        body = Heartbeat(
            tenant_id=self.tenant_id,
            instance_id=agent.instance_id,
            lease_id=agent.lease.lease_id,
            epoch=agent.lease.epoch,
            sequence=sequence,
            sent_at=self.now,
        )
        return sign(HEARTBEAT, msgspec.structs.replace(body, **changes), agent.signer)

    def beat(self, agent: Agent, sequence: int, **changes: Any) -> Beats:
        return self.beats(agent.caller, [self.heartbeat(agent, sequence, **changes)])

    def beats(self, caller: Caller, batch: list[Envelope]) -> Beats:
        def key_of(instance_id: str) -> bytes | None:
            found = self.plane.read(lambda reader: reader.instance(self.tenant_id, instance_id))
            return None if found is None else found.public_key

        checked = check_heartbeats(key_of, batch)
        return self.plane.write(lambda tx: accept_heartbeats(tx, self.issuer, caller, checked))

    def close(self, agent: Agent, outcome: Outcome = Outcome.COMPLETED, **changes: Any) -> Appended:
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
        envelope = sign(receipt.CLOSING, msgspec.structs.replace(body, **changes), agent.signer)
        return self.plane.write(lambda tx: close_session(tx, self.issuer, agent.caller, envelope))


def export(tenancy: Tenancy, selection: Selection) -> Path:
    """The pack of a selection, as the control plane exports it."""
    plane = tenancy.plane
    made = plane.path.with_name(f"pack-{uuid7_hex(plane.clock.now_ms())}.zip")
    with plane.store.read() as reader, made.open("wb") as file:
        export_pack(reader, tenancy.ledger, tenancy.tenant_id, selection, file, now_ms=plane.clock.now_ms())
    return made


def verify(tenancy: Tenancy, selection: Selection) -> Report:
    """Export a selection and judge it as a stranger would, with nothing but the root's fingerprint."""
    made = export(tenancy, selection)
    try:
        return verify_file(made, tenancy.pin, workers=1)
    finally:
        made.unlink()


def assert_valid(tenancy: Tenancy, selection: Selection) -> Report:
    """The selection's pack holds in every respect."""
    report = verify(tenancy, selection)
    wrong = {question: verdict.fault for question, verdict in report.verdicts.items() if verdict.fault}
    assert report.valid, wrong
    return report


def assert_sound(plane: Plane, tenancy: Tenancy) -> Report:
    """The store has no damage, and the whole ledger verifies offline."""
    found = plane.read(lambda reader: fsck(reader, tenancy.tenant_id))
    assert not found.damage
    report = assert_valid(tenancy, Selection(kind="ledger"))
    assert report.receipts == found.receipts == report.tree_size
    return report
