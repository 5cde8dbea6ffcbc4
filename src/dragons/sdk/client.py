"""The API by name: `OperatorClient` for people and launchers, `InstanceClient` for running agents.

One method for each operation of spec/api.md that the caller may use. Every method raises a
`DragonsError`: what the control plane answered, or `ControlPlaneUnreachable`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

import httpx2
import msgspec

from dragons.core.clock import Clock
from dragons.core.keys import Signer
from dragons.core.statement import Envelope
from dragons.sdk import calls
from dragons.sdk.transport import (
    ApiToken,
    OperatorKey,
    Possession,
    Retries,
    Timeouts,
    Transport,
)
from dragons.wire import authority, base, evidence, identity, liveness
from dragons.wire import dispatches as dispatching
from dragons.wire import fleet as fleets
from dragons.wire import incidents as happenings
from dragons.wire import notifiers as told


class Event(NamedTuple):
    """One receipt as it was committed, from the event feed."""

    seq: int
    kind: str
    receipt: evidence.ReceiptView


class OperatorClient:
    """What a holder of an API token may ask for. Statements are signed by the caller before."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        clock: Clock,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - a tuple of constants
        retries: Retries = Retries(),  # noqa: B008 - as above
    ) -> None:
        credential = ApiToken(token) if token else None
        self.transport = Transport(url, credential, clock=clock, timeouts=timeouts, retries=retries)
        self.clock = clock
        self._token = token
        self._tenant_id = ""

    @property
    def tenant_id(self) -> str:
        """The tenant that the token belongs to; asked for once."""
        if not self._tenant_id:
            self._tenant_id = self.tenant().tenant_id
        return self._tenant_id

    def ping(self) -> None:
        self.transport.send(calls.ping())

    def livez(self) -> None:
        self.transport.send(calls.livez())

    def readyz(self) -> None:
        self.transport.send(calls.readyz())

    def tenant(self) -> identity.TenantView:
        return self.transport.send(calls.tenant())

    def keys(self) -> identity.Keys:
        return self.transport.send(calls.keys())

    def register_key(self, statement: Envelope) -> base.Recorded:
        return self.transport.send(calls.record("/v1/keys", statement))

    def revoke_key(self, statement: Envelope) -> base.Recorded:
        return self.transport.send(calls.record("/v1/keys/revocations", statement))

    def tokens(self) -> identity.Tokens:
        return self.transport.send(calls.tokens())

    def issue_token(
        self, request: identity.TokenRequest, key: OperatorKey | None = None
    ) -> identity.TokenIssued:
        """A token for the key behind this client's token, or for `key`, which needs no token to ask."""
        return self.transport.send(calls.issue_token(request), key)

    def revoke_token(self, token_id: str) -> None:
        self.transport.send(calls.revoke_token(token_id))

    def catalogue(self) -> authority.CatalogueView:
        return self.transport.send(calls.catalogue())

    def publish_catalogue(self, statement: Envelope) -> base.Recorded:
        return self.transport.send(calls.record("/v1/catalogue", statement))

    def agents(self) -> identity.Agents:
        return self.transport.send(calls.agents())

    def agent(self, name: str) -> identity.History:
        return self.transport.send(calls.agent(name))

    def next_version(self, agent: str) -> identity.NextVersion:
        return self.transport.send(calls.next_version(agent))

    def register_manifest(self, statement: Envelope) -> identity.Registered:
        return self.transport.send(calls.register_manifest(statement))

    def manifest(self, manifest_hash: str) -> identity.VersionDetail:
        return self.transport.send(calls.manifest(manifest_hash))

    def activate(self, statement: Envelope) -> base.Recorded:
        return self.transport.send(calls.record("/v1/activations", statement))

    def create_dock(self, statement: Envelope) -> base.Recorded:
        return self.transport.send(calls.record("/v1/docks", statement))

    def docks(self, agent: str = "") -> authority.Docks:
        return self.transport.send(calls.docks(agent))

    def dock(self, dock_id: str) -> authority.DockView:
        return self.transport.send(calls.dock(dock_id))

    def revoke(self, statement: Envelope) -> base.Recorded:
        return self.transport.send(calls.record("/v1/revocations", statement))

    def revocations(self, after: int = 0) -> Envelope:
        return self.transport.send(calls.revocations(after))

    def launch(self, request: authority.Launch, instance: Signer) -> authority.Granted:
        """Start an instance; `instance` is its new key, which proves that the caller holds it."""
        return self.transport.send(calls.launch(request), Possession(self._token, instance))

    def instances(self, agent: str = "", *, live: bool = False) -> liveness.Instances:
        return self.transport.send(calls.instances(agent, live=live))

    def instance(self, instance_id: str) -> liveness.InstanceView:
        return self.transport.send(calls.instance(instance_id))

    def fleet(self, agent: str = "", *, state: str = "", skip: int = 0, limit: int = 100) -> fleets.Fleet:
        return self.transport.send(calls.show_fleet(agent, state=state, skip=skip, limit=limit))

    def mtboi(
        self, agent: str = "", *, until_ms: int = 0, page: int = 0, limit: int = 100
    ) -> fleets.MtboiView:
        return self.transport.send(calls.mtboi(agent, until_ms=until_ms, page=page, limit=limit))

    def incidents(
        self, agent: str = "", *, open_only: bool = False, limit: int = 100
    ) -> happenings.Incidents:
        return self.transport.send(calls.list_incidents(agent, open_only=open_only, limit=limit))

    def incident(self, incident_id: str) -> happenings.IncidentDetail:
        return self.transport.send(calls.incident(incident_id))

    def intervene(self, statement: Envelope) -> base.Recorded:
        return self.transport.send(calls.record("/v1/interventions", statement))

    def create_dispatch(self, statement: Envelope) -> base.Recorded:
        return self.transport.send(calls.record("/v1/dispatches", statement))

    def dispatches(self, agent: str = "", *, open_only: bool = False) -> dispatching.Dispatches:
        return self.transport.send(calls.list_dispatches(agent, open_only=open_only))

    def dispatch(self, dispatch_id: str) -> dispatching.DispatchDetail:
        return self.transport.send(calls.dispatch(dispatch_id))

    def report_node(self, node: str, report: dispatching.NodeReport) -> dispatching.NodeOrders:
        """What a node says; its orders. Sent once: the next report says what is true then."""
        return self.transport.send(calls.report_node(node, report))

    def nodes(self) -> dispatching.Nodes:
        return self.transport.send(calls.nodes())

    def publish_policy(self, statement: Envelope) -> base.Recorded:
        return self.transport.send(calls.record("/v1/policies", statement))

    def policies(self) -> dispatching.Policies:
        return self.transport.send(calls.policies())

    def policy(self, agent: str) -> dispatching.EffectivePolicy:
        return self.transport.send(calls.policy(agent))

    def leases(self, agent: str = "") -> authority.Leases:
        return self.transport.send(calls.leases(agent))

    def lease(self, lease_id: str) -> authority.LeaseDetail:
        return self.transport.send(calls.lease(lease_id))

    def sessions(self, agent: str = "", *, open_only: bool = False) -> evidence.Sessions:
        return self.transport.send(calls.sessions(agent, open_only=open_only))

    def session(self, session_id: str) -> evidence.SessionView:
        return self.transport.send(calls.session(session_id))

    def receipts(
        self,
        after: int = -1,
        *,
        limit: int = 100,
        agent: str = "",
        session_id: str = "",
        kind: str = "",
        newest: bool = False,
    ) -> evidence.Receipts:
        call = calls.receipts(
            after, limit=limit, agent_name=agent, session_id=session_id, kind=kind, newest=newest
        )
        return self.transport.send(call)

    def receipt(self, receipt_id: str) -> evidence.ReceiptDetail:
        return self.transport.send(calls.receipt(receipt_id))

    def ledger(self) -> evidence.LedgerView:
        return self.transport.send(calls.ledger())

    def consistency(self, first: int, second: int) -> evidence.Consistency:
        return self.transport.send(calls.consistency(first, second))

    def fsck(self) -> evidence.Fsck:
        return self.transport.send(calls.fsck())

    def notifiers(self) -> told.Notifiers:
        return self.transport.send(calls.notifiers())

    def send_test(self, channel: str) -> told.Queued:
        return self.transport.send(calls.send_test(channel))

    def messages(self, incident_id: str = "", *, limit: int = 100) -> told.Messages:
        return self.transport.send(calls.messages(incident_id, limit=limit))

    def message(self, message_id: str) -> told.MessageView:
        return self.transport.send(calls.message(message_id))

    @contextmanager
    def export_pack(self, request: evidence.PackRequest) -> Iterator[Iterator[bytes]]:
        """The redacted pack in chunks as they come; `dragons.sdk.packs` makes a file of it."""
        with self.transport.stream(calls.export_pack(request)) as response:
            yield response.iter_bytes()

    def erase(self, statement: Envelope) -> base.Recorded:
        return self.transport.send(calls.record("/v1/erasures", statement))

    def beat(self, heartbeats: list[Envelope]) -> liveness.HeartbeatsAccepted:
        return self.transport.send(calls.beat(heartbeats))

    @contextmanager
    def events(self, after: int = -1) -> Iterator[Iterator[Event]]:
        """Receipts after seq `after` as they are committed, without end."""
        with self.transport.stream(calls.events(after), silence_s=None) as response:
            yield _events(response)

    def close(self) -> None:
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class InstanceClient:
    """What a running instance may ask for, with its workload token and the proof of its key."""

    def __init__(
        self,
        url: str,
        credential: Possession,
        *,
        clock: Clock,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - a tuple of constants
        retries: Retries = Retries(),  # noqa: B008 - as above
    ) -> None:
        self.credential = credential
        self.transport = Transport(url, credential, clock=clock, timeouts=timeouts, retries=retries)

    def ping(self) -> None:
        self.transport.send(calls.ping())

    def catalogue(self) -> authority.CatalogueView:
        return self.transport.send(calls.catalogue())

    def revocations(self, after: int = 0) -> Envelope:
        return self.transport.send(calls.revocations(after))

    def instance(self, instance_id: str) -> liveness.InstanceView:
        return self.transport.send(calls.instance(instance_id))

    def renew(self) -> authority.Granted:
        """A newer lease of this instance; the client goes on with its token."""
        granted = self.transport.send(calls.renew())
        self.credential.token = granted.token
        return granted

    def release(self, statement: Envelope) -> base.Recorded:
        return self.transport.send(calls.record("/v1/leases/releases", statement))

    def delegate(self, request: authority.Delegate) -> authority.Granted:
        return self.transport.send(calls.delegate(request))

    def open_session(self, statement: Envelope) -> evidence.SessionOpened:
        return self.transport.send(calls.open_session(statement))

    def close_session(self, statement: Envelope) -> base.Recorded:
        return self.transport.send(calls.record("/v1/sessions/closings", statement))

    def authorize(self, request: authority.Authorize) -> authority.Authorized:
        return self.transport.send(calls.authorize(request))

    def append(self, claims: list[Envelope]) -> evidence.ClaimResults:
        return self.transport.send(calls.append(claims))

    def beat(self, heartbeats: list[Envelope]) -> liveness.HeartbeatsAccepted:
        return self.transport.send(calls.beat(heartbeats))

    def close(self) -> None:
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _events(response: httpx2.Response) -> Iterator[Event]:
    for event in httpx2.EventSource(response):
        if event.id and event.data:
            yield Event(
                int(event.id), event.event, msgspec.json.decode(event.data, type=evidence.ReceiptView)
            )
