"""A real store in a temporary home, with one docked agent whose session receives the benchmark's claims.

The claims are signed beforehand, as agents sign them on their own machines; what is measured is the
control plane's part: check, sequence, seal, sign, commit. Never skips a check that the API makes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from dragons.authority.catalogue import CATALOGUE, Catalogue, Entry
from dragons.authority.dock import DOCK, Dock
from dragons.core import ids
from dragons.core.canonical import Document
from dragons.core.clock import SystemClock, format_time
from dragons.core.hashing import sha256_hex
from dragons.core.keys import KeyRole, LocalSigner, Signer
from dragons.core.statement import Envelope, sign
from dragons.core.vocabulary import Outcome, Risk, Role
from dragons.evidence.payload import commit
from dragons.evidence.receipt import CLAIM, SESSION, Claim, Session
from dragons.identity.manifest import FileDigest, Manifest
from dragons.identity.records import ACTIVATION, REGISTRATION, Activation, Registration

if TYPE_CHECKING:
    from dragons.audit.verdicts import Report
    from dragons.control.caller import Caller
    from dragons.control.issue import Grant
    from dragons.control.ports import Transaction

T = TypeVar("T")

ACTION = "write:ledger"
_AGENT = "bench"
_TTL_SECONDS = 3_600


class ExhaustedError(Exception):
    """All prepared claims are appended."""


class BenchStore:
    """Holds the store open; `append` may be called by many threads."""

    def __init__(self, folder: Path, claims: int) -> None:
        from dragons.compose import build_keyring, build_store, create_home
        from dragons.control.caller import Caller
        from dragons.settings import load_settings

        settings = load_settings(home=folder / "home")
        made = create_home(settings, "bench", "bench")
        self.tenant_id, self.pin = made.tenant_id, made.root_fingerprint
        self.clock = SystemClock()
        keyring = build_keyring(settings)
        self._issuer: Signer = keyring.issuer(self.tenant_id)
        self._ledger: Signer = keyring.ledger(self.tenant_id)
        self._store = build_store(settings)
        self._instance = LocalSigner.generate(KeyRole.INSTANCE)
        self._caller, grant = self._launch(made.folder / "operator.pem")
        lease = grant.lease
        self._caller = Caller(
            self.tenant_id, Role.INSTANCE, instance_id=lease.instance_id, lease_id=lease.lease_id
        )
        self._session_id = self._open(grant)
        self._claims = deque(self._claim(grant) for _ in range(claims))

    def append(self, _worker: int) -> None:
        """One claim becomes a durable receipt; ExhaustedError when none is left."""
        from dragons.control.append import ClaimReceipt, append_claim, check_claim

        try:
            envelope = self._claims.popleft()
        except IndexError:
            raise ExhaustedError from None
        checked = check_claim(self._caller, envelope, self._instance.public_key)
        receipt = self._do(lambda tx: append_claim(tx, self._issuer, self._caller, checked))
        if not isinstance(receipt, ClaimReceipt):
            msg = f"a claim of the benchmark was refused: {receipt}"
            raise TypeError(msg)

    def export(self, path: Path) -> Path:
        """The whole ledger as a pack."""
        from dragons.audit.pack import Selection
        from dragons.control.export import export_pack

        with self._store.read() as reader, path.open("wb") as file:
            export_pack(
                reader,
                self._ledger,
                self.tenant_id,
                Selection(kind="ledger"),
                file,
                now_ms=self.clock.now_ms(),
            )
        return path

    def verify(self, pack: Path) -> Report:
        """The verifier's report, with as many workers as it takes by itself."""
        from dragons.audit.verify import verify_file

        return verify_file(pack, self.pin)

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _do(self, job: Callable[[Transaction], T]) -> T:
        return self._store.write(job).result()

    def _now(self, ahead_ms: int = 0) -> str:
        return format_time(self.clock.now_ms() + ahead_ms)

    def _name(self, prefix: str) -> str:
        return ids.new_id(prefix, self.clock.now_ms())

    def _launch(self, operator_key: Path) -> tuple[Caller, Grant]:
        from dragons.adapters.keyfiles import read_key
        from dragons.control.caller import Caller
        from dragons.control.catalogue import publish_catalogue
        from dragons.control.docks import dock_agent
        from dragons.control.issue import Grant
        from dragons.control.launch import LaunchWish, launch_instance
        from dragons.control.versions import activate_version, register_manifest

        operator = read_key(operator_key, KeyRole.OPERATOR)
        caller = Caller(self.tenant_id, Role.ADMIN, key_id=operator.key_id)
        manifest = Manifest(
            agent=_AGENT, code=[FileDigest(path="main.py", sha256="0" * 64, bytes=1)], config=[],
            capabilities=[ACTION], entrypoint=["main.py"],
        )  # fmt: skip
        statements: list[tuple[Callable[..., Any], str, Document]] = [
            (publish_catalogue, CATALOGUE, Catalogue(
                tenant_id=self.tenant_id, version=1, published_at=self._now(),
                capabilities={ACTION: Entry(description="measured", risk=Risk.LOW, delegable=False)},
            )),
            (register_manifest, REGISTRATION, Registration(
                tenant_id=self.tenant_id, version=1, manifest=manifest, manifest_hash=manifest.hash(),
                registered_at=self._now(),
            )),
            (activate_version, ACTIVATION, Activation(
                tenant_id=self.tenant_id, agent=_AGENT, version=1, manifest_hash=manifest.hash(), ordinal=0,
                activated_at=self._now(),
            )),
            (dock_agent, DOCK, Dock(
                dock_id=self._name(ids.DOCK), tenant_id=self.tenant_id, agent=_AGENT, scope=[ACTION],
                delegate_scope=[], ttl_seconds_max=_TTL_SECONDS, instances_max=1, operator=operator.key_id,
                created_at=self._now(),
            )),
        ]  # fmt: skip
        for take, kind, body in statements:
            envelope = sign(kind, body, operator)
            self._do(lambda tx, take=take, envelope=envelope: take(tx, caller, envelope))  # type: ignore[misc]
        wish = LaunchWish(
            ids.uuid7_hex(self.clock.now_ms()),
            self._instance.public_key.raw,
            manifest,
            ttl_seconds=_TTL_SECONDS,
        )
        grant = self._do(lambda tx: launch_instance(tx, self._issuer, caller, wish))
        if not isinstance(grant, Grant):
            msg = f"the benchmark's agent was refused: {grant}"
            raise TypeError(msg)
        return caller, grant

    def _open(self, grant: Grant) -> str:
        from dragons.control.sessions import open_session

        session = Session(
            session_id=self._name(ids.SESSION), tenant_id=self.tenant_id, instance_id=grant.lease.instance_id,
            lease_id=grant.lease.lease_id, epoch=grant.lease.epoch, scope=[ACTION],
            payload_hash=commit({"goal": "measure"}).payload_hash, opened_at=self._now(),
        )  # fmt: skip
        envelope = sign(SESSION, session, self._instance)
        self._do(lambda tx: open_session(tx, self._issuer, self._caller, envelope))
        return session.session_id

    def _claim(self, grant: Grant) -> Envelope:
        lease = grant.lease
        name = self._name(ids.CLAIM)
        claim = Claim(
            claim_id=name, tenant_id=self.tenant_id, instance_id=lease.instance_id, lease_id=lease.lease_id,
            epoch=lease.epoch, session_id=self._session_id, action=ACTION, started_at=self._now(),
            ended_at=self._now(), elapsed_ms=1, payload_hash=sha256_hex(name.encode()), evidence=[],
            outcome=Outcome.COMPLETED,
        )  # fmt: skip
        return sign(CLAIM, claim, self._instance)
