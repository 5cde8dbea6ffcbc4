"""A control plane in memory for unit tests of the SDK: signs what the real one signs, answers calls at once."""

from __future__ import annotations

from typing import Any

import msgspec

from dragons.authority.dock import DOCK, Dock
from dragons.authority.lease import DELEGATION, LEASE, Delegation, Lease
from dragons.authority.revocation import REVOCATIONS_VIEW, RevocationsView
from dragons.core.clock import ManualClock, format_time
from dragons.core.errors import DragonsError
from dragons.core.ids import DISPATCH, RECEIPT, TENANT, new_id, uuid7_hex
from dragons.core.ids import DOCK as DOCK_ID
from dragons.core.ids import LEASE as LEASE_ID
from dragons.core.keys import KeyRole, LocalSigner, PublicKey
from dragons.core.statement import Envelope, sign
from dragons.evidence.receipt import CLAIM, CLOSING, SESSION, Claim, Closing, Session
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat
from dragons.sdk.authority import Span, read_now
from dragons.sdk.errors import ControlPlaneUnreachable
from dragons.sdk.instance import Instance, Place
from dragons.sdk.localstore import LocalStore
from dragons.sdk.steps import Steps, run
from dragons.sdk.transport import Call
from dragons.wire.authority import Authorize, Authorized, Delegate, Granted
from dragons.wire.base import Recorded, Statement
from dragons.wire.evidence import ClaimResult, ClaimResults, Claims, SessionOpened
from dragons.wire.liveness import Heartbeats, HeartbeatsAccepted, InstanceView

URL = "http://127.0.0.1:9"
READ, WRITE, MONEY = "read:payments", "write:ledger", "send:money"
RISKS = {READ: "low", WRITE: "medium", MONEY: "high"}


class Plane:
    """What the control plane knows and says. `away` makes it unreachable, `errors` by path refuses."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.issuer = LocalSigner.generate(KeyRole.ISSUER)
        self.operator = LocalSigner.generate(KeyRole.OPERATOR)
        self.tenant_id = new_id(TENANT, clock.now_ms())
        self.revoked: list[str] = []
        self.away = False
        self.errors: dict[str, DragonsError] = {}
        self.calls: list[Call[Any]] = []
        self.claims: list[Claim] = []
        self.sessions: list[Session] = []
        self.closings: list[Closing] = []
        self.beats: list[Heartbeat] = []
        self.answer_beat = HeartbeatsAccepted(accepted=1, refused={}, state="running", epoch=1)
        self.answer_decision = Authorized(allowed=True, decision_id=new_id("dcn", clock.now_ms()))
        self.refused_claims: dict[str, str] = {}
        self.state = "running"
        self._lease: Lease | None = None
        self._key: PublicKey | None = None
        self._dock: Envelope | None = None

    def lease(self, instance_id: str, key: PublicKey, /, **changes: object) -> Lease:
        now_ms = self.clock.now_ms()
        dock = Dock(
            dock_id=new_id(DOCK_ID, now_ms), tenant_id=self.tenant_id, agent="reconciler", scope=sorted(RISKS),
            delegate_scope=[], ttl_seconds_max=3600, instances_max=9, operator=self.operator.key_id,
            created_at=format_time(now_ms),
        )  # fmt: skip
        self._dock = self._dock or sign(DOCK, dock, self.operator)
        lease = Lease(
            lease_id=new_id(LEASE_ID, now_ms), serial=0, tenant_id=self.tenant_id,
            dock_id=self._dock.body(DOCK, Dock).dock_id, dock_hash=self._dock.payload_digest(),
            agent="reconciler", version=1, manifest_hash="ab" * 32, instance_id=instance_id,
            instance_key=key.raw, dispatch_id=new_id(DISPATCH, now_ms), epoch=1, scope=sorted(RISKS),
            delegate_scope=[], depth=0, issued_at=format_time(now_ms), not_before=format_time(now_ms - 10_000),
            expires_at=format_time(now_ms + 900_000), authorized_by=self.operator.key_id,
        )  # fmt: skip
        return msgspec.structs.replace(lease, **changes)

    def granted(self, lease: Lease, *, signer: LocalSigner | None = None, **changes: object) -> Granted:
        assert self._dock is not None
        self._lease = lease
        made = Granted(
            lease=sign(LEASE, lease, signer or self.issuer), token="token", dock=self._dock,
            issuer_key=self.issuer.public_key.raw, issuer_key_id=self.issuer.key_id, risks=dict(RISKS),
            revocations=self.view(), interval_seconds=10, now=format_time(self.clock.now_ms()),
        )  # fmt: skip
        return msgspec.structs.replace(made, **changes)

    def view(self, after: int = 0, **changes: object) -> Envelope:
        body = RevocationsView(
            tenant_id=self.tenant_id, after=after, count=len(self.revoked), entries=self.revoked[after:],
            as_of=format_time(self.clock.now_ms()),
        )  # fmt: skip
        return sign(REVOCATIONS_VIEW, msgspec.structs.replace(body, **changes), self.issuer)

    def span(self) -> Span:
        return Span(read_now(self.clock), self.clock.boot_ms())

    def recorded(self) -> Recorded:
        now_ms = self.clock.now_ms()
        seq = len(self.calls)
        return Recorded(
            receipt_id=new_id(RECEIPT, now_ms),
            seq=seq,
            chain_root=f"{seq:064x}",
            issued_at=format_time(now_ms),
        )

    def instance(self, store: LocalStore, *, keeps: bool = True, **changes: object) -> Instance:
        """A running instance of this tenant."""
        signer = LocalSigner.generate(KeyRole.INSTANCE)
        instance = Instance(
            uuid7_hex(self.clock.now_ms()), signer, Place(URL, store, self.clock), keeps=keeps
        )
        instance.accept(
            self.granted(self.lease(instance.instance_id, signer.public_key, **changes)), self.span()
        )
        return instance

    def run(self, steps: Steps[Any]) -> Any:
        return run(steps, self.send)

    async def send_async(self, call: Call[Any]) -> Any:
        return self.send(call)

    def send(self, call: Call[Any]) -> Any:
        """The answer to a call, or the error."""
        self.calls.append(call)
        if self.away:
            raise ControlPlaneUnreachable(URL, "it is away", maybe_recorded=False)
        if call.path in self.errors:
            raise self.errors[call.path]
        if call.path == "/v1/revocations":
            return self.view(int(call.query.partition("=")[2]))
        if call.path.startswith("/v1/instances/"):
            return _instance_view(call.path.rpartition("/")[2], self.state)
        return self._posted(call)

    def _posted(self, call: Call[Any]) -> Any:
        if call.path == "/v1/receipts":
            return ClaimResults(results=[self._claim(one) for one in _body(call, Claims).claims])
        if call.path == "/v1/sessions":
            session = _body(call, Statement).statement.body(SESSION, Session)
            self.sessions.append(session)
            return SessionOpened(session_id=session.session_id, receipt=self.recorded())
        if call.path == "/v1/sessions/closings":
            self.closings.append(_body(call, Statement).statement.body(CLOSING, Closing))
        if call.path == "/v1/heartbeats":
            self.beats += [one.body(HEARTBEAT, Heartbeat) for one in _body(call, Heartbeats).heartbeats]
            return self.answer_beat
        if call.path == "/v1/leases/renewals":
            return self.granted(self._renewed())
        if call.path == "/v1/leases/delegations":
            wish = _body(call, Delegate).delegation.body(DELEGATION, Delegation)
            return self.granted(self.lease(wish.instance_id, PublicKey(wish.instance_key), scope=wish.scope))
        if call.path == "/v1/decisions":
            assert _body(call, Authorize).action
            return self.answer_decision
        return self.recorded()

    def _claim(self, envelope: Envelope) -> ClaimResult:
        claim = envelope.body(CLAIM, Claim)
        code = self.refused_claims.get(claim.action)
        if code:
            return ClaimResult(code=code, detail="refused")
        if claim.claim_id not in [known.claim_id for known in self.claims]:
            self.claims.append(claim)
        return ClaimResult(claim_id=claim.claim_id, receipt=self.recorded())

    def _renewed(self) -> Lease:
        assert self._lease is not None
        now_ms = self.clock.now_ms()
        return msgspec.structs.replace(
            self._lease, serial=self._lease.serial + 1, issued_at=format_time(now_ms),
            not_before=format_time(now_ms - 10_000), expires_at=format_time(now_ms + 900_000),
        )  # fmt: skip


def _body(call: Call[Any], kind: type[Any]) -> Any:
    return msgspec.json.decode(call.body, type=kind)


def _instance_view(instance_id: str, state: str) -> InstanceView:
    return InstanceView(
        instance_id=instance_id, agent="reconciler", version=1, manifest_hash="", dock_id="", lease_id="",
        dispatch_id="", epoch=1, state=state, state_reason="", state_since="", started_at="", stopped_at="",
        lease_left_seconds=0, pulse_age_ms=0, progress_sequence=0, progress_age_ms=0, progress_source="",
        mtboi_seconds=0,
    )  # fmt: skip
