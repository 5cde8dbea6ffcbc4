"""A tenant's operators in tests: what they sign, the use cases that take it in, and what the ledger then says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from dragons.authority.catalogue import CATALOGUE, Catalogue, Entry
from dragons.authority.dock import DOCK, Dock
from dragons.authority.revocation import REVOCATION, Revocation, Target
from dragons.control.caller import Caller
from dragons.control.catalogue import publish_catalogue
from dragons.control.dispatches import create_dispatch
from dragons.control.docks import dock_agent
from dragons.control.erase import erase
from dragons.control.intervene import intervene
from dragons.control.keys import register_key, revoke_key
from dragons.control.policies import publish_policy
from dragons.control.ports import Appended, Filter
from dragons.control.revoke import revoke
from dragons.control.rows import VersionRow
from dragons.control.sweep import Swept, sweep
from dragons.control.versions import activate_version, register_manifest
from dragons.core import ids
from dragons.core.canonical import Document, decode
from dragons.core.clock import format_time
from dragons.core.hashing import sha256_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import Envelope, sign
from dragons.core.vocabulary import Kind, Risk, Role
from dragons.evidence import receipt
from dragons.identity import records
from dragons.identity.manifest import FileDigest, Manifest
from dragons.liveness.dispatch import DISPATCH_ORDER, Dispatch
from dragons.liveness.policy import POLICY, Policy

if TYPE_CHECKING:
    from tests.support.plane import Plane

CAPABILITIES = {
    "read:payments": Entry(description="Read payments.", risk=Risk.LOW, delegable=True),
    "write:ledger": Entry(description="Post to the ledger.", risk=Risk.MEDIUM, delegable=False),
    "pay:supplier": Entry(description="Send money.", risk=Risk.HIGH, delegable=False),
    "send:email": Entry(description="Send mail.", risk=Risk.LOW, delegable=True),
}
YEAR_MS = 366 * 24 * 3600 * 1000
D = TypeVar("D", bound=Document)
R = TypeVar("R")


class MemoryKeyring:
    """Issuer and ledger keys of several tenants."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, KeyRole], LocalSigner] = {}

    def issuer(self, tenant_id: str) -> LocalSigner:
        return self.keys[tenant_id, KeyRole.ISSUER]

    def ledger(self, tenant_id: str) -> LocalSigner:
        return self.keys[tenant_id, KeyRole.LEDGER]

    def put(self, tenant_id: str, signer: LocalSigner) -> None:
        self.keys[tenant_id, signer.role] = signer


@dataclass
class Governed:
    """A tenant and its first operator. `signer=` lets somebody else sign, keywords change the statement."""

    plane: Plane
    tenant_id: str
    root: LocalSigner
    operator: LocalSigner

    @property
    def now_ms(self) -> int:
        return self.plane.clock.now_ms()

    @property
    def now(self) -> str:
        return format_time(self.now_ms)

    @property
    def caller(self) -> Caller:
        return Caller(self.tenant_id, Role.ADMIN, key_id=self.operator.key_id)

    @property
    def issuer(self) -> LocalSigner:
        return self.plane.keyring.issuer(self.tenant_id)

    @property
    def ledger(self) -> LocalSigner:
        return self.plane.keyring.ledger(self.tenant_id)

    @property
    def pin(self) -> str:
        return self.root.public_key.fingerprint

    def do(self, use_case: Callable[..., R], *arguments: object) -> R:
        """Run a use case that takes (tx, caller, …) and wait until it is durable."""
        return self.plane.write(lambda tx: use_case(tx, self.caller, *arguments))

    def signed(
        self, kind: str, body: Document, signer: LocalSigner | None, changes: dict[str, Any]
    ) -> Envelope:
        return sign(kind, msgspec.structs.replace(body, **changes), signer or self.operator)

    # --- what the ledger says --------------------------------------------------------------------

    def receipts(self, kind: Kind | None = None, **wanted: Any) -> list[receipt.Header]:
        """The headers on the ledger, oldest first."""
        chosen = Filter(kind=None if kind is None else kind.value, **wanted)
        rows = self.plane.read(lambda reader: list(reader.iter_receipts(self.tenant_id, chosen)))
        return [decode(receipt.Header, row.header) for row in rows]

    def statements(self, kind: Kind, document: type[D]) -> list[D]:
        """The bodies of the statements of one kind of receipt, oldest first."""
        chosen = Filter(kind=kind.value)
        rows = self.plane.read(lambda reader: list(reader.iter_receipts(self.tenant_id, chosen)))
        return [decode(document, row.statement) for row in rows]

    def denials(self) -> list[receipt.Denial]:
        return self.statements(Kind.DENIED, receipt.Denial)

    def size(self) -> int:
        return self.plane.read(lambda reader: reader.tree_size(self.tenant_id))

    # --- what operators do -----------------------------------------------------------------------

    def publish(
        self, version: int = 1, capabilities: dict[str, Entry] | None = None, *,
        signer: LocalSigner | None = None, **changes: Any,
    ) -> Appended:  # fmt: skip
        body = Catalogue(
            tenant_id=self.tenant_id,
            version=version,
            capabilities=CAPABILITIES if capabilities is None else capabilities,
            published_at=self.now,
        )
        return self.do(publish_catalogue, self.signed(CATALOGUE, body, signer, changes))

    def register(
        self, manifest: Manifest, version: int = 1, *, signer: LocalSigner | None = None, **changes: Any
    ) -> tuple[VersionRow, bool]:
        body = records.Registration(
            tenant_id=self.tenant_id,
            version=version,
            manifest=manifest,
            manifest_hash=manifest.hash(),
            registered_at=self.now,
        )
        return self.do(register_manifest, self.signed(records.REGISTRATION, body, signer, changes))

    def activate(
        self, manifest: Manifest, version: int = 1, ordinal: int = 0, *,
        signer: LocalSigner | None = None, **changes: Any,
    ) -> Appended:  # fmt: skip
        body = records.Activation(
            tenant_id=self.tenant_id,
            agent=manifest.agent,
            version=version,
            manifest_hash=manifest.hash(),
            ordinal=ordinal,
            activated_at=self.now,
        )
        return self.do(activate_version, self.signed(records.ACTIVATION, body, signer, changes))

    def dock(
        self, agent: str, scope: Sequence[str], *, delegate: Sequence[str] = (),
        signer: LocalSigner | None = None, **changes: Any,
    ) -> str:  # fmt: skip
        operator = signer or self.operator
        fields = {
            "dock_id": ids.new_id(ids.DOCK, self.now_ms),
            "tenant_id": self.tenant_id,
            "agent": agent,
            "scope": sorted(scope),
            "delegate_scope": sorted(delegate),
            "ttl_seconds_max": 3600,
            "instances_max": 10,
            "operator": operator.key_id,
            "created_at": self.now,
        }
        body = Dock(**{**fields, **changes})
        self.do(dock_agent, sign(DOCK, body, operator))
        return body.dock_id

    def revoke(
        self, kind: Target, target: str, *, signer: LocalSigner | None = None, **changes: Any
    ) -> Appended:
        body = Revocation(
            revocation_id=ids.new_id(ids.REVOCATION, self.now_ms),
            tenant_id=self.tenant_id,
            kind=kind,
            target=target,
            revoked_at=self.now,
            reason="test",
        )
        return self.do(revoke, self.signed(REVOCATION, body, signer, changes))

    def ready(
        self, agent: str = "reconciler", scope: Sequence[str] = ("read:payments", "write:ledger"),
        **dock: Any,
    ) -> Manifest:  # fmt: skip
        """Catalogue, manifest, activation and dock in one go; a second agent finds the catalogue there."""
        manifest = make_manifest(agent)
        if self.plane.read(lambda reader: reader.catalogue(self.tenant_id)) is None:
            self.publish()
        self.register(manifest)
        self.activate(manifest)
        self.dock(agent, scope, **dock)
        return manifest

    def intervene(
        self, instance_id: str, action: str = "stop", *, signer: LocalSigner | None = None, **changes: Any
    ) -> Appended:
        body = receipt.Intervention(
            tenant_id=self.tenant_id, instance_id=instance_id, action=action, reason="test", at=self.now
        )
        envelope = self.signed(receipt.INTERVENTION, body, signer, changes)
        return self.plane.write(lambda tx: intervene(tx, self.issuer, self.caller, envelope))

    def erase(self, *receipt_ids: str, signer: LocalSigner | None = None, **changes: Any) -> Appended:
        body = receipt.Erasure(
            tenant_id=self.tenant_id, receipts=list(receipt_ids), reason="asked for", erased_at=self.now
        )
        return self.do(erase, self.signed(receipt.ERASURE, body, signer, changes))

    def sweep(self, *, outage_after_ms: int = 10**15) -> Swept:
        """Sweep once; by default however long ago the last sweep was, the control plane was there."""
        return self.plane.write(
            lambda tx: sweep(tx, self.issuer, self.ledger, self.tenant_id, outage_after_ms=outage_after_ms)
        )

    def publish_policy(self, signer: LocalSigner | None = None, **changes: Any) -> Appended:
        """The product's thresholds as a policy of `reconciler`, with `changes`."""
        return self.do(publish_policy, self.signed(POLICY, self.policy(**changes), signer, {}))

    def dispatch(
        self, agent: str = "reconciler", scope: Sequence[str] = ("read:payments",), *,
        signer: LocalSigner | None = None, **changes: Any,
    ) -> str:  # fmt: skip
        """Order work of an agent on the node `here`; the name of the dispatch."""
        body = Dispatch(
            dispatch_id=ids.new_id(ids.DISPATCH, self.now_ms),
            tenant_id=self.tenant_id,
            agent=agent,
            dispatcher="process",
            target="here",
            scope=sorted(scope),
            ttl_seconds=900,
            goal_hash=sha256_hex(b"goal"),
            spec_hash=sha256_hex(b"spec"),
            created_at=self.now,
        )
        envelope = self.signed(DISPATCH_ORDER, body, signer, changes)
        self.plane.write(lambda tx: create_dispatch(tx, self.issuer, self.caller, envelope))
        return envelope.body(DISPATCH_ORDER, Dispatch).dispatch_id

    def intervene_agent(
        self, agent: str, action: str, reason: str = "test", *, signer: LocalSigner | None = None
    ) -> Appended:
        """Lay hand on all of an agent."""
        body = receipt.Intervention(
            tenant_id=self.tenant_id, agent=agent, action=action, reason=reason, at=self.now
        )
        envelope = self.signed(receipt.INTERVENTION, body, signer, {})
        return self.plane.write(lambda tx: intervene(tx, self.issuer, self.caller, envelope))

    def policy(self, **changes: Any) -> Policy:
        body = Policy(
            tenant_id=self.tenant_id,
            agent="reconciler",
            version=1,
            degrade_after_seconds=1_800,
            autoheal_after_seconds=3_600,
            lease_grace_seconds=300,
            heal_timeout_seconds=300,
            waiting_max_seconds=86_400,
            restarts_max=3,
            restart_window_seconds=21_600,
            backoff_first_seconds=10,
            backoff_longest_seconds=1_800,
            progress_required=True,
            progress_sources=["receipts", "output", "files", "boundary"],
            published_at=self.now,
        )
        return msgspec.structs.replace(body, **changes)

    # --- keys ------------------------------------------------------------------------------------

    def key_statement(
        self, key: LocalSigner, *signers: LocalSigner, roles: Sequence[str] = (), **changes: Any
    ) -> Envelope:
        """The root's word for a key; `signers` are those who sign besides the root."""
        body = records.Key(
            tenant_id=self.tenant_id,
            key_id=key.key_id,
            role=key.role.name.lower(),
            public_key=key.public_key.raw,
            subject="someone",
            roles=list(roles),
            not_before=format_time(self.now_ms - 60_000),
            not_after=format_time(self.now_ms + YEAR_MS),
        )
        return sign(records.KEY, msgspec.structs.replace(body, **changes), self.root, *signers)

    def register_key(self, key: LocalSigner, *signers: LocalSigner, **changes: Any) -> Appended:
        return self.do(register_key, self.key_statement(key, *signers, **changes))

    def hire(self, *roles: str) -> LocalSigner:
        """Another operator's key with these roles."""
        signer = LocalSigner.generate(KeyRole.OPERATOR)
        self.register_key(signer, roles=list(roles))
        return signer

    def revoke_key(self, key_id: str, *, signer: LocalSigner | None = None, **changes: Any) -> Appended:
        body = records.KeyRevocation(
            tenant_id=self.tenant_id,
            key_id=key_id,
            revoked_at=self.now,
            compromised_since=format_time(self.now_ms + 1),
            reason="retired",
        )
        envelope = self.signed(records.KEY_REVOCATION, body, signer or self.root, changes)
        return self.plane.write(lambda tx: revoke_key(tx, self.issuer, self.caller, envelope))

    def rotate(self, role: KeyRole) -> LocalSigner:
        """A new issuer or ledger key takes over; returns the old one, which stays valid."""
        old, new = self.plane.keyring.keys[self.tenant_id, role], LocalSigner.generate(role)
        self.register_key(new, old, replaces=old.key_id)
        self.plane.keyring.put(self.tenant_id, new)
        return old


def make_manifest(
    agent: str = "reconciler", code: bytes = b"print(1)", capabilities: Sequence[str] = (), **changes: Any
) -> Manifest:
    """A manifest of one file."""
    made = Manifest(
        agent=agent,
        code=[FileDigest(path="agent.py", sha256=sha256_hex(code), bytes=len(code))],
        config=[],
        capabilities=sorted(capabilities or CAPABILITIES),
        entrypoint=["python", "agent.py"],
    )
    return msgspec.structs.replace(made, **changes)
