"""A real control plane for tests: server, HTTP, SQLite; and tenants that sign what they send.

Knows the wire as a foreign client would, from spec/api.md: it signs with `dragons.identity.proof`
and sends plain JSON.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import uvicorn
from fastapi import FastAPI

from dragons import compose
from dragons.adapters.keyfiles import read_key
from dragons.api.app import create_app
from dragons.api.backend import Backend
from dragons.authority.catalogue import CATALOGUE, Catalogue, Entry
from dragons.authority.dock import DOCK, Dock
from dragons.authority.lease import DELEGATION, LEASE, RELEASE, Delegation, Lease, Release
from dragons.authority.revocation import REVOCATION, Revocation, Target
from dragons.core.canonical import Document
from dragons.core.clock import SystemClock, format_time
from dragons.core.hashing import ZERO
from dragons.core.ids import new_id, new_nonce, uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import Envelope, envelope_json, sign
from dragons.core.vocabulary import Outcome, Risk
from dragons.evidence.receipt import (
    CLAIM,
    CLOSING,
    ERASURE,
    INTERVENTION,
    SESSION,
    Claim,
    Closing,
    Erasure,
    Intervention,
    Session,
)
from dragons.identity.manifest import FileDigest, Manifest
from dragons.identity.proof import Request, sign_request
from dragons.identity.records import (
    ACTIVATION,
    KEY,
    KEY_REVOCATION,
    REGISTRATION,
    Activation,
    Key,
    KeyRevocation,
    Registration,
)
from dragons.liveness.dispatch import DISPATCH_ORDER, Dispatch
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat
from dragons.liveness.policy import POLICY, Policy
from dragons.settings import Settings

AGENT = "reconciler"
RISKS = {
    "pay:invoice": Risk.HIGH,
    "read:payments": Risk.LOW,
    "send:notice": Risk.LOW,
    "write:ledger": Risk.MEDIUM,
}
SCOPE = sorted(RISKS)
DAY_MS = 24 * 3600 * 1000
# One channel, which nobody listens at and nothing is sent to: the plane has no background.
CHANNEL = "oncall"
CHANNELS = f"channels: {{{CHANNEL}: {{type: webhook, url: 'http://127.0.0.1:9/hidden', secret_file: webhook.secret}}}}"
WEBHOOK_SECRET = "whsec_" + "c2VjcmV0IG9mIGEgdGVzdCwgMjQgYnl0ZXM="


class ShiftedClock:
    """The system's clocks, which a test may move on. Never back: a control plane does not follow."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self._shift_ms = 0

    def advance(self, ms: int) -> None:
        """Let `ms` milliseconds have passed."""
        self._shift_ms += ms

    def now_ms(self) -> int:
        return self._system.now_ms() + self._shift_ms

    def boot_ms(self) -> int:
        return self._system.boot_ms() + self._shift_ms


@dataclass
class Reply:
    """A response."""

    status: int
    headers: httpx2.Headers
    content: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.content)

    @property
    def code(self) -> str:
        """The reason code of a problem."""
        assert self.headers["content-type"] == "application/problem+json", (self.status, self.content)
        problem = self.json
        assert problem["status"] == self.status
        assert problem["type"] == f"urn:dragons:problem:{problem['code']}"
        assert problem["title"]
        assert problem["detail"]
        assert problem["fix"], problem
        return str(problem["code"])


@dataclass
class Plane:
    """A running control plane."""

    url: str
    settings: Settings
    backend: Backend
    clock: ShiftedClock
    app: FastAPI
    http: httpx2.Client

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = "",
        authorization: str = "",
        signer: LocalSigner | None = None,
        headers: dict[str, Any] | None = None,
        proof: dict[str, Any] | None = None,
    ) -> Reply:
        """One request; `signer` proves possession, `proof` changes what is proven."""
        content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        credential = f"Bearer {token}" if token else authorization
        sent: dict[str, Any] = {"authorization": credential} if credential else {}
        if signer is not None:
            target, _, query = path.partition("?")
            signed = Request(method, target, query, content, sent.get("authorization", ""))
            how = {"now_ms": self.clock.now_ms(), "nonce": new_nonce(), **(proof or {})}
            when: dict[str, Any] = {name: how.pop(name) for name in ("now_ms", "nonce")}
            sent |= sign_request(signed._replace(**how), signer, **when)
        response = self.http.request(
            method, self.url + path, content=content, headers={**sent, **(headers or {})}
        )
        return Reply(response.status_code, response.headers, response.content)

    def tenant(self, name: str = "acme") -> Tenant:
        """A new tenant with a token for every role."""
        made = compose.add_tenant(
            self.settings, self.backend.store, compose.Names(name, f"{name}'s operator"), self.clock
        )
        tenant = Tenant(
            self,
            made.tenant_id,
            read_key(made.folder / "root.pem", KeyRole.ROOT),
            read_key(made.folder / "operator.pem", KeyRole.OPERATOR),
            {"admin": made.token_path.read_text("ascii").strip()},
        )
        for role in ("operator", "launcher", "auditor"):
            wish = {"role": role, "label": f"a {role}"}
            tenant.tokens[role] = tenant.post("/v1/tokens", wish)["token"]
        return tenant


@dataclass
class Tenant:
    """A tenant's people. Everything is sent with the admin's token unless said otherwise."""

    plane: Plane
    tenant_id: str
    root: LocalSigner
    operator: LocalSigner
    tokens: dict[str, str]

    def send(self, method: str, path: str, body: Any = None, *, role: str = "admin", **more: Any) -> Reply:
        return self.plane.send(method, path, body, token=self.tokens[role], **more)

    def send_by_key(self, key: LocalSigner, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        """Without a token: the operator key proves itself."""
        how = {"authorization": f"OperatorKey {self.tenant_id}.{key.key_id}", "signer": key, **more}
        return self.plane.send(method, path, body, **how)

    def post(self, path: str, body: Any) -> Any:
        reply = self.send("POST", path, body)
        assert reply.status == 200, reply.content
        return reply.json

    def get(self, path: str) -> Any:
        reply = self.send("GET", path)
        assert reply.status == 200, reply.content
        return reply.json

    def now(self, offset_ms: int = 0) -> str:
        return format_time(self.plane.clock.now_ms() + offset_ms)

    def name(self, prefix: str) -> str:
        return new_id(prefix, self.plane.clock.now_ms())

    def by_operator(self, kind: str, document: Document) -> dict[str, Any]:
        return statement(sign(kind, document, self.operator))

    def catalogue(self, version: int | None = None) -> dict[str, Any]:
        entries = {
            name: Entry(description=name, risk=risk, delegable=name == "send:notice")
            for name, risk in RISKS.items()
        }
        following = self.get("/v1/catalogue")["version"] + 1 if version is None else version
        body = Catalogue(
            tenant_id=self.tenant_id, version=following, capabilities=entries, published_at=self.now()
        )
        return self.by_operator(CATALOGUE, body)

    def manifest(self, agent: str = AGENT, digest: str = ZERO) -> Manifest:
        return Manifest(
            agent=agent,
            code=[FileDigest(path="agent.py", sha256=digest, bytes=10)],
            config=[],
            capabilities=sorted(RISKS),
            entrypoint=["python", "agent.py"],
        )

    def registration(self, manifest: Manifest, version: int) -> dict[str, Any]:
        body = Registration(
            tenant_id=self.tenant_id, version=version, manifest=manifest, manifest_hash=manifest.hash(),
            registered_at=self.now(),
        )  # fmt: skip
        return self.by_operator(REGISTRATION, body)

    def activation(self, manifest: Manifest, version: int, ordinal: int) -> dict[str, Any]:
        body = Activation(
            tenant_id=self.tenant_id, agent=manifest.agent, version=version,
            manifest_hash=manifest.hash(), ordinal=ordinal, activated_at=self.now(),
        )  # fmt: skip
        return self.by_operator(ACTIVATION, body)

    def dock(self, agent: str = AGENT, **changes: Any) -> dict[str, Any]:
        body = Dock(
            dock_id=self.name("dck"), tenant_id=self.tenant_id, agent=agent, scope=SCOPE,
            delegate_scope=["send:notice"], ttl_seconds_max=3600, instances_max=1_000,
            operator=self.operator.key_id, created_at=self.now(),
        )  # fmt: skip
        return self.by_operator(DOCK, msgspec.structs.replace(body, **changes))

    def revocation(self, kind: Target, target: str) -> dict[str, Any]:
        body = Revocation(
            revocation_id=self.name("rev"), tenant_id=self.tenant_id, kind=kind, target=target,
            revoked_at=self.now(), reason="a test",
        )  # fmt: skip
        return self.by_operator(REVOCATION, body)

    def intervention(self, instance_id: str, **changes: Any) -> dict[str, Any]:
        body = Intervention(
            tenant_id=self.tenant_id, instance_id=instance_id, action="stop", reason="a test", at=self.now()
        )
        return self.by_operator(INTERVENTION, msgspec.structs.replace(body, **changes))

    def cancellation(self, dispatch_id: str, **changes: Any) -> dict[str, Any]:
        return self.intervention(msgspec.UNSET, dispatch_id=dispatch_id, **changes)  # type: ignore[arg-type]

    def dispatch(self, agent: str = AGENT, **changes: Any) -> tuple[str, dict[str, Any]]:
        """A new dispatch's id and the statement that orders it, on the node `n1`."""
        body = Dispatch(
            dispatch_id=self.name("dsp"), tenant_id=self.tenant_id, agent=agent, dispatcher="process",
            target="n1", scope=[], ttl_seconds=900, goal_hash=ZERO, spec_hash=ZERO, created_at=self.now(),
        )  # fmt: skip
        changed = msgspec.structs.replace(body, **changes)
        return changed.dispatch_id, self.by_operator(DISPATCH_ORDER, changed)

    def policy(self, agent: str = AGENT, **changes: Any) -> dict[str, Any]:
        """The agent's next policy: the thresholds that count now, but for the changes."""
        known = self.get(f"/v1/policies/{agent}")
        given = {
            "tenant_id": self.tenant_id, "agent": agent, "version": known["next_version"],
            "published_at": self.now(), **known["thresholds"], **changes,
        }  # fmt: skip
        return self.by_operator(POLICY, msgspec.convert(given, Policy))

    def report(self, node: str = "n1", **report: Any) -> list[dict[str, Any]]:
        """A node's report; the orders that it brings."""
        found: list[dict[str, Any]] = self.post(f"/v1/nodes/{node}/reports", report)["orders"]
        return found

    def erasure(self, receipt_id: str) -> dict[str, Any]:
        body = Erasure(tenant_id=self.tenant_id, receipts=[receipt_id], reason="a test", erased_at=self.now())
        return self.by_operator(ERASURE, body)

    def key(self, new: LocalSigner, **changes: Any) -> dict[str, Any]:
        body = Key(
            tenant_id=self.tenant_id, key_id=new.key_id, role="operator", public_key=new.public_key.raw,
            subject="Ada", roles=["operator"], not_before=self.now(-60_000), not_after=self.now(DAY_MS),
        )  # fmt: skip
        return statement(sign(KEY, msgspec.structs.replace(body, **changes), self.root))

    def key_revocation(self, key_id: str) -> dict[str, Any]:
        body = KeyRevocation(
            tenant_id=self.tenant_id, key_id=key_id, revoked_at=self.now(), compromised_since=self.now(),
            reason="a test",
        )  # fmt: skip
        return statement(sign(KEY_REVOCATION, body, self.root))

    def prepare(self, agent: str = AGENT) -> Manifest:
        """Publish, register, activate, dock: the agent may be launched."""
        if self.get("/v1/catalogue")["version"] == 0:
            self.post("/v1/catalogue", self.catalogue())
        manifest = self.manifest(agent)
        self.post("/v1/manifests", self.registration(manifest, 1))
        self.post("/v1/activations", self.activation(manifest, 1, 0))
        self.post("/v1/docks", self.dock(agent))
        return manifest

    def launch_body(self, manifest: Manifest, signer: LocalSigner, **changes: Any) -> dict[str, Any]:
        return {
            "instance_id": uuid7_hex(self.plane.clock.now_ms()),
            "instance_key": msgspec.to_builtins(signer.public_key.raw),
            "manifest": msgspec.to_builtins(manifest),
            "delegate_scope": ["send:notice"],
            "ttl_seconds": 900,
            **changes,
        }

    def launch(self, manifest: Manifest | None = None, **changes: Any) -> Instance:
        """A new instance; prepares the agent when it is not there yet."""
        if manifest is None:
            known = [one["agent"] for one in self.get("/v1/agents")["agents"]]
            manifest = self.manifest() if AGENT in known else self.prepare()
        signer = LocalSigner.generate(KeyRole.INSTANCE)
        body = self.launch_body(manifest, signer, **changes)
        reply = self.send("POST", "/v1/instances", body, signer=signer)
        assert reply.status == 200, reply.content
        return Instance(self, signer, body["instance_id"], reply.json)


@dataclass
class Instance:
    """A running copy with its key, lease and token."""

    tenant: Tenant
    signer: LocalSigner
    instance_id: str
    granted: dict[str, Any]
    beats: int = field(default=0)

    @property
    def lease(self) -> Lease:
        return msgspec.convert(self.granted["lease"], Envelope).body(LEASE, Lease)

    @property
    def token(self) -> str:
        return str(self.granted["token"])

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        how = {"token": self.token, "signer": self.signer, **more}
        return self.tenant.plane.send(method, path, body, **how)

    def post(self, path: str, body: Any = None) -> Any:
        reply = self.send("POST", path, body)
        assert reply.status == 200, reply.content
        return reply.json

    def signed(self, kind: str, document: Document) -> Envelope:
        return sign(kind, document, self.signer)

    def session(self) -> tuple[str, dict[str, Any]]:
        """A new session's id and its statement."""
        lease = self.lease
        body = Session(
            session_id=self.tenant.name("ses"), tenant_id=lease.tenant_id, instance_id=self.instance_id,
            lease_id=lease.lease_id, epoch=lease.epoch, scope=lease.scope, payload_hash=ZERO,
            opened_at=self.tenant.now(),
        )  # fmt: skip
        return body.session_id, statement(self.signed(SESSION, body))

    def open(self) -> str:
        """Open a session and return its id."""
        session_id, body = self.session()
        self.post("/v1/sessions", body)
        return session_id

    def closing(self, session_id: str) -> dict[str, Any]:
        body = Closing(
            session_id=session_id, tenant_id=self.lease.tenant_id, instance_id=self.instance_id,
            lease_id=self.lease.lease_id, outcome=Outcome.COMPLETED, payload_hash=ZERO, evidence=[],
            closed_at=self.tenant.now(),
        )  # fmt: skip
        return statement(self.signed(CLOSING, body))

    def claim(self, session_id: str, **changes: Any) -> Envelope:
        lease = self.lease
        body = Claim(
            claim_id=self.tenant.name("clm"), tenant_id=lease.tenant_id, instance_id=self.instance_id,
            lease_id=lease.lease_id, epoch=lease.epoch, session_id=session_id, action="read:payments",
            started_at=self.tenant.now(), ended_at=self.tenant.now(), elapsed_ms=1, payload_hash=ZERO,
            evidence=[], outcome=Outcome.COMPLETED,
        )  # fmt: skip
        return self.signed(CLAIM, msgspec.structs.replace(body, **changes))

    def claims(self, session_id: str, count: int = 1) -> dict[str, Any]:
        """A batch of `count` claims."""
        return {"claims": [envelope_json(self.claim(session_id)) for _ in range(count)]}

    def work(self, session_id: str, count: int = 1) -> list[dict[str, Any]]:
        """Append `count` claims; their results."""
        found: list[dict[str, Any]] = self.post("/v1/receipts", self.claims(session_id, count))["results"]
        return found

    def heartbeat(self, **changes: Any) -> Envelope:
        self.beats += 1
        body = Heartbeat(
            tenant_id=self.lease.tenant_id, instance_id=self.instance_id, lease_id=self.lease.lease_id,
            epoch=self.lease.epoch, sequence=self.beats, sent_at=self.tenant.now(),
        )  # fmt: skip
        return self.signed(HEARTBEAT, msgspec.structs.replace(body, **changes))

    def release(self) -> dict[str, Any]:
        body = Release(
            tenant_id=self.lease.tenant_id, lease_id=self.lease.lease_id, instance_id=self.instance_id,
            released_at=self.tenant.now(),
        )  # fmt: skip
        return statement(self.signed(RELEASE, body))

    def delegation(self, manifest: Manifest, child: LocalSigner) -> dict[str, Any]:
        body = Delegation(
            tenant_id=self.lease.tenant_id, parent_lease_id=self.lease.lease_id,
            parent_instance_id=self.instance_id, agent=manifest.agent,
            instance_id=uuid7_hex(self.tenant.plane.clock.now_ms()), instance_key=child.public_key.raw,
            scope=["send:notice"], not_after=self.tenant.now(60_000), created_at=self.tenant.now(),
        )  # fmt: skip
        delegation = envelope_json(self.signed(DELEGATION, body))
        return {"delegation": delegation, "manifest": msgspec.to_builtins(manifest)}


def statement(envelope: Envelope) -> dict[str, Any]:
    """The body that carries a statement."""
    return {"statement": envelope_json(envelope)}


@contextmanager
def running(app: FastAPI, settings: Settings) -> Iterator[str]:
    """Serve `app` from a thread on a free port; the address."""
    listening = compose.listen(settings)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", lifespan="on", log_config=None, ws="none")
    server = compose.Server(config)

    def run() -> None:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(server.serve([listening]))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            thread.join(0.005)
        host, port = listening.getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
        assert not thread.is_alive(), "the server did not stop"


@contextmanager
def serving(home: Path, **settings: Any) -> Iterator[Plane]:
    """A control plane over an empty home, without a sweep of its own."""
    (home / "control").mkdir(0o700, parents=True)
    (home / "control" / "notifiers.yaml").write_text(CHANNELS)
    (home / "control" / "webhook.secret").touch(0o600)
    (home / "control" / "webhook.secret").write_text(WEBHOOK_SECRET)
    chosen = Settings(home=home, port=0, **{"rate_per_second": 100_000, "rate_burst": 100_000, **settings})
    clock = ShiftedClock()
    backend = compose.build_backend(chosen, clock)
    app = create_app(backend)
    with running(app, chosen) as url, httpx2.Client(timeout=20, trust_env=False) as http:
        yield Plane(url, chosen, backend, clock, app, http)
