"""A tenant's ledger in memory, the same bytes in every run: fixed keys, times, names and salts.

`Book` seals receipts with the real `seal`, and checks nothing: a test that wants a ledger that
breaks a rule simply writes it. Every method takes `about=` to change the header and keyword
changes for the statement.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec

from dragons.audit.select import Placed
from dragons.authority.dock import DOCK, Dock
from dragons.authority.lease import BACKDATE_MS, LEASE, Lease
from dragons.core.canonical import Document
from dragons.core.clock import format_time
from dragons.core.keys import KeyRole, LocalSigner, Signer
from dragons.core.statement import Envelope, sign
from dragons.core.vocabulary import Kind, OrganismState
from dragons.evidence.chain import REVOCATION_KINDS, Head, Sealed, seal
from dragons.evidence.merkle import Node
from dragons.evidence.payload import Payload, commit
from dragons.evidence.receipt import Header
from dragons.identity.manifest import FileDigest, Manifest
from dragons.identity.records import (
    KEY,
    KEY_REVOCATION,
    REGISTRATION,
    TENANT,
    Key,
    KeyRevocation,
    Registration,
    Tenant,
    version_name,
)

START_MS = 1_800_000_000_000  # 2027-01-15T08:00:00.000Z
MINUTE_MS = 60_000
YEAR_MS = 365 * 24 * 60 * MINUTE_MS


def signer_of(name: str, role: KeyRole) -> LocalSigner:
    """The key whose seed is SHA-256 of `name`."""
    return LocalSigner.from_seed(sha256(name.encode()).digest(), role)


def changed(document: Any, changes: dict[str, Any]) -> Any:
    """`document` with some fields replaced."""
    return msgspec.structs.replace(document, **changes) if changes else document


@dataclass(slots=True)
class Agent:
    """One running copy: its key, its newest lease and its organism state."""

    signer: LocalSigner
    instance_id: str
    lease: Lease
    lease_envelope: Envelope
    state: OrganismState = OrganismState.RUNNING


@dataclass(slots=True)
class Book:
    """One tenant's ledger. `now_ms` moves `step_ms` with every receipt, or as a test sets it."""

    name: str = "acme"
    now_ms: int = START_MS
    step_ms: int = 250
    head: Head = field(default_factory=Head)
    placed: list[Placed] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    nodes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    payloads: dict[str, Payload] = field(default_factory=dict)
    docks: dict[str, tuple[Dock, Envelope]] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    session_tails: dict[str, tuple[int, str]] = field(default_factory=dict)
    _names: int = 0
    _salts: int = 0
    _agent_seqs: dict[str, int] = field(default_factory=dict)
    _keys: dict[tuple[str, KeyRole], LocalSigner] = field(default_factory=dict)
    ledger_name: str = "ledger"
    issuer_name: str = "issuer"

    # --- names, keys, times ----------------------------------------------------------------------

    def key(self, name: str, role: KeyRole) -> LocalSigner:
        """This tenant's key called `name`."""
        found = self._keys.get((name, role))
        if found is None:
            found = self._keys[name, role] = signer_of(f"{self.name}/{name}", role)
        return found

    @property
    def root(self) -> LocalSigner:
        return self.key("root", KeyRole.ROOT)

    @property
    def ledger(self) -> LocalSigner:
        return self.key(self.ledger_name, KeyRole.LEDGER)

    @property
    def issuer(self) -> LocalSigner:
        return self.key(self.issuer_name, KeyRole.ISSUER)

    @property
    def operator(self) -> LocalSigner:
        return self.key("operator", KeyRole.OPERATOR)

    @property
    def pin(self) -> str:
        return self.root.public_key.fingerprint

    @property
    def tenant_id(self) -> str:
        return f"tnt_{sha256(self.name.encode()).hexdigest()[:12]}7000800000000000000a"

    def new_name(self, prefix: str) -> str:
        """The next id; UUIDv7 in form, counted instead of drawn."""
        self._names += 1
        number = f"{self.now_ms:012x}7000{0x8000:04x}{self._names:012x}"
        return f"{prefix}_{number}" if prefix else number

    def time(self, offset_ms: int = 0) -> str:
        return format_time(self.now_ms + offset_ms)

    # --- receipts --------------------------------------------------------------------------------

    def append(
        self, kind: Kind, statement: Envelope, about: dict[str, Any] | None = None, **header: Any
    ) -> Sealed:
        """Seal the next receipt; `header` are optional fields, `about` overrides any field."""
        self.now_ms += self.step_ms
        fields: dict[str, Any] = {
            "receipt_id": self.new_name("rcp"),
            "tenant_id": self.tenant_id,
            "seq": self.head.next_seq,
            "kind": kind,
            "parent_root": self.head.chain_root,
            "statement_hash": statement.payload_digest(),
            "issued_at": format_time(self.now_ms),
            **header,
            **self._positions(kind, header),
            **(about or {}),
        }
        made = Header(**{name: value for name, value in fields.items() if value is not None})
        sealed = seal(self.head, made, statement, self.ledger)
        self.placed.append(Placed(made.seq, sealed.record))
        self.headers.append(made)
        self.nodes[0, made.seq] = sealed.leaf
        for node in sealed.completed:
            self.nodes[node.level, node.offset] = node.hash
        if isinstance(made.session_id, str) and isinstance(made.session_position, int):
            self.session_tails[made.session_id] = (made.session_position, sealed.chain_root)
        return sealed

    def read_node(self, level: int, index: int) -> bytes:
        return self.nodes[level, index]

    def nodes_of(self, places: list[tuple[int, int]]) -> list[Node]:
        return [Node(level, index, self.nodes[level, index]) for level, index in places]

    def keep(self, value: dict[str, Any]) -> str:
        """Commit to a payload and store it; returns its hash."""
        self._salts += 1
        salt = sha256(f"{self.name}/salt/{self._salts}".encode()).digest()
        payload = commit(value, salt=salt)
        self.payloads[payload.payload_hash] = payload
        return payload.payload_hash

    def _positions(self, kind: Kind, header: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if isinstance(agent := header.get("agent"), str):
            name = agent.partition("@")[0]
            found["agent_seq"] = self._agent_seqs.get(name, 0)
            self._agent_seqs[name] = found["agent_seq"] + 1
        if isinstance(session_id := header.get("session_id"), str):
            position, root = self.session_tails.get(session_id, (-1, ""))
            found["session_position"] = position + 1
            if root:
                found["session_parent"] = root
        if kind in REVOCATION_KINDS:
            found["revocation_seq"] = self.head.revocations
        return found

    # --- root statements -------------------------------------------------------------------------

    def genesis(self, **changes: Any) -> Sealed:
        body = Tenant(
            tenant_id=self.tenant_id,
            name=self.name,
            root_key=self.root.public_key.raw,
            ledger_key=self.ledger.public_key.raw,
            created_at=self.time(-MINUTE_MS),
        )
        return self.append(Kind.TENANT_CREATED, sign(TENANT, changed(body, changes), self.root))

    def register_key(
        self, key: Signer, role: str, roles: list[str] | None = None, *, signers: list[Signer] | None = None,
        about: dict[str, Any] | None = None, **changes: Any,
    ) -> Sealed:  # fmt: skip
        body = Key(
            tenant_id=self.tenant_id,
            key_id=key.key_id,
            role=changes.pop("role_name", role),
            public_key=key.public_key.raw,
            subject=f"{role} of {self.name}",
            roles=roles or [],
            not_before=self.time(-MINUTE_MS),
            not_after=self.time(YEAR_MS),
        )
        return self.append(
            Kind.KEY_REGISTERED, sign(KEY, changed(body, changes), *(signers or [self.root])), about
        )

    def rotate(
        self, old: Signer, new: Signer, role: str, roles: list[str] | None = None, **changes: Any
    ) -> Sealed:
        return self.register_key(new, role, roles, signers=[self.root, old], replaces=old.key_id, **changes)

    def revoke_key(self, key_id: str, *, signer: Signer | None = None, **changes: Any) -> Sealed:
        body = KeyRevocation(
            tenant_id=self.tenant_id,
            key_id=key_id,
            revoked_at=self.time(),
            compromised_since=self.time(self.step_ms),
            reason="retired",
        )
        return self.append(
            Kind.KEY_REVOKED, sign(KEY_REVOCATION, changed(body, changes), signer or self.root)
        )

    # --- operator statements ---------------------------------------------------------------------

    def by_operator(
        self, kind: Kind, name: str, body: Document, signer: Signer | None = None, **header: Any
    ) -> Sealed:
        return self.append(kind, sign(name, body, signer or self.operator), **header)

    def register(
        self, agent: str, version: int, capabilities: list[str], *, signer: Signer | None = None
    ) -> Manifest:
        """Put `agent@v<version>` on the record."""
        code = FileDigest(
            path="agent.py", sha256=sha256(f"{agent}{version}".encode()).hexdigest(), bytes=1234
        )
        manifest = Manifest(
            agent=agent,
            code=[code],
            config=[],
            capabilities=sorted(capabilities),
            entrypoint=["python", "agent.py"],
        )
        body = Registration(
            tenant_id=self.tenant_id,
            version=version,
            manifest=manifest,
            manifest_hash=manifest.hash(),
            registered_at=self.time(),
        )
        named = version_name(agent, version)
        self.by_operator(
            Kind.MANIFEST_REGISTERED,
            REGISTRATION,
            body,
            signer,
            agent=named,
            manifest_hash=body.manifest_hash,
        )
        self.manifests[named] = manifest
        return manifest

    def dock(
        self, agent: str, scope: list[str], delegate_scope: list[str] | None = None, *,
        signer: Signer | None = None, **changes: Any,
    ) -> Dock:  # fmt: skip
        """Dock an agent; `signer` is the operator who does."""
        operator = signer or self.operator
        body: Dock = changed(
            Dock(
                dock_id=self.new_name("dck"),
                tenant_id=self.tenant_id,
                agent=agent,
                scope=sorted(scope),
                delegate_scope=sorted(delegate_scope or []),
                ttl_seconds_max=3600,
                instances_max=4,
                operator=operator.key_id,
                created_at=self.time(),
            ),
            changes,
        )
        envelope = sign(DOCK, body, operator)
        self.append(Kind.AGENT_DOCKED, envelope, agent=agent)
        self.docks[body.dock_id] = (body, envelope)
        return body

    # --- leases ----------------------------------------------------------------------------------

    def lease(
        self, dock: Dock, version: int = 1, *, epoch: int = 1, dispatch_id: str = "", ttl_ms: int = 15 * MINUTE_MS,
        signer: Signer | None = None, key_name: str = "", about: dict[str, Any] | None = None, **changes: Any,
    ) -> Agent:  # fmt: skip
        """Launch an instance of the docked agent."""
        instance_id = self.new_name("")
        key = self.key(key_name or f"instance/{instance_id}", KeyRole.INSTANCE)
        body = Lease(
            lease_id=self.new_name("lse"),
            serial=0,
            tenant_id=self.tenant_id,
            dock_id=dock.dock_id,
            dock_hash=self.docks[dock.dock_id][1].payload_digest()
            if dock.dock_id in self.docks
            else "0" * 64,
            agent=dock.agent,
            version=version,
            manifest_hash=self.manifests[version_name(dock.agent, version)].hash(),
            instance_id=instance_id,
            instance_key=key.public_key.raw,
            dispatch_id=dispatch_id or self.new_name("dsp"),
            epoch=epoch,
            scope=dock.scope,
            delegate_scope=dock.delegate_scope,
            depth=0,
            issued_at=self.time(),
            not_before=self.time(-BACKDATE_MS),
            expires_at=self.time(ttl_ms),
            authorized_by=dock.operator,
        )
        body = changed(body, changes)
        envelope = self.record_lease(Kind.LEASE_ISSUED, body, signer, about)
        return Agent(key, body.instance_id, body, envelope)

    def renew(self, agent: Agent, ttl_ms: int = 15 * MINUTE_MS, **changes: Any) -> None:
        """A new statement of the same lease."""
        times = {"serial": agent.lease.serial + 1, "issued_at": self.time(), "expires_at": self.time(ttl_ms)}
        agent.lease = changed(agent.lease, {**times, "not_before": self.time(-BACKDATE_MS), **changes})
        agent.lease_envelope = self.record_lease(Kind.LEASE_RENEWED, agent.lease)

    def record_lease(
        self, kind: Kind, body: Lease, signer: Signer | None = None, about: dict[str, Any] | None = None
    ) -> Envelope:
        envelope = sign(LEASE, body, signer or self.issuer)
        self.append(
            kind, envelope, about, agent=version_name(body.agent, body.version), manifest_hash=body.manifest_hash,
            instance_id=body.instance_id, lease_ref=body.lease_id, epoch=body.epoch,
        )  # fmt: skip
        return envelope
