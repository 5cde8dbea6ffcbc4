"""Every route of the API as a value (spec/api.md): what to send, what comes back, may it be repeated.

Pure: makes requests, sends none.
"""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import quote

import msgspec

from dragons.core.statement import Envelope
from dragons.sdk.transport import Call, query_of
from dragons.wire import authority, base, dispatches, evidence, fleet, identity, incidents, liveness
from dragons.wire import notifiers as wire_notifiers

_T = TypeVar("_T")


class Nothing(base.Response):
    """An answer without content."""


def ping() -> Call[Nothing]:
    return _post("/v1/ping", base.Empty(), Nothing, again=True)


def livez() -> Call[Nothing]:
    return _get("/livez", Nothing)


def readyz() -> Call[Nothing]:
    return _get("/readyz", Nothing)


def tenant() -> Call[identity.TenantView]:
    return _get("/v1/tenant", identity.TenantView)


def keys() -> Call[identity.Keys]:
    return _get("/v1/keys", identity.Keys)


def tokens() -> Call[identity.Tokens]:
    return _get("/v1/tokens", identity.Tokens)


def issue_token(request: identity.TokenRequest) -> Call[identity.TokenIssued]:
    return _post("/v1/tokens", request, identity.TokenIssued)


def revoke_token(token_id: str) -> Call[Nothing]:
    return Call("DELETE", f"/v1/tokens/{_part(token_id)}", Nothing)


def catalogue() -> Call[authority.CatalogueView]:
    return _get("/v1/catalogue", authority.CatalogueView)


def agents() -> Call[identity.Agents]:
    return _get("/v1/agents", identity.Agents)


def agent(name: str) -> Call[identity.History]:
    return _get(f"/v1/agents/{_part(name)}", identity.History)


def next_version(agent_name: str) -> Call[identity.NextVersion]:
    return _get(f"/v1/agents/{_part(agent_name)}/next", identity.NextVersion)


def register_manifest(statement: Envelope) -> Call[identity.Registered]:
    # A manifest that is on the record already is answered as before.
    return _state("/v1/manifests", statement, identity.Registered, again=True)


def manifest(manifest_hash: str) -> Call[identity.VersionDetail]:
    return _get(f"/v1/manifests/{_part(manifest_hash)}", identity.VersionDetail)


def docks(agent_name: str = "") -> Call[authority.Docks]:
    return _get("/v1/docks", authority.Docks, agent=agent_name)


def dock(dock_id: str) -> Call[authority.DockView]:
    return _get(f"/v1/docks/{_part(dock_id)}", authority.DockView)


def revocations(after: int = 0) -> Call[Envelope]:
    return _get("/v1/revocations", Envelope, after=after)


def launch(request: authority.Launch) -> Call[authority.Granted]:
    return _post("/v1/instances", request, authority.Granted)


def instances(agent_name: str = "", *, live: bool = False) -> Call[liveness.Instances]:
    return _get("/v1/instances", liveness.Instances, agent=agent_name, live=live)


def instance(instance_id: str) -> Call[liveness.InstanceView]:
    return _get(f"/v1/instances/{_part(instance_id)}", liveness.InstanceView)


def show_fleet(
    agent_name: str = "", *, state: str = "", skip: int = 0, limit: int = 100
) -> Call[fleet.Fleet]:
    return _get("/v1/fleet", fleet.Fleet, agent=agent_name, state=state, skip=skip, limit=limit)


def mtboi(
    agent_name: str = "", *, until_ms: int = 0, page: int = 0, limit: int = 100
) -> Call[fleet.MtboiView]:
    return _get("/v1/mtboi", fleet.MtboiView, agent=agent_name, until_ms=until_ms, page=page, limit=limit)


def list_incidents(
    agent_name: str = "", *, open_only: bool = False, limit: int = 100
) -> Call[incidents.Incidents]:
    return _get("/v1/incidents", incidents.Incidents, agent=agent_name, open=open_only, limit=limit)


def incident(incident_id: str) -> Call[incidents.IncidentDetail]:
    return _get(f"/v1/incidents/{_part(incident_id)}", incidents.IncidentDetail)


def leases(agent_name: str = "") -> Call[authority.Leases]:
    return _get("/v1/leases", authority.Leases, agent=agent_name)


def lease(lease_id: str) -> Call[authority.LeaseDetail]:
    return _get(f"/v1/leases/{_part(lease_id)}", authority.LeaseDetail)


def renew() -> Call[authority.Granted]:
    # Renewing twice only makes a newer lease of the same instance.
    return _post("/v1/leases/renewals", base.Empty(), authority.Granted, again=True)


def delegate(request: authority.Delegate) -> Call[authority.Granted]:
    return _post("/v1/leases/delegations", request, authority.Granted)


def open_session(statement: Envelope) -> Call[evidence.SessionOpened]:
    # A session that is open already is answered with a conflict that names it.
    return _state("/v1/sessions", statement, evidence.SessionOpened, again=True)


def sessions(agent_name: str = "", *, open_only: bool = False) -> Call[evidence.Sessions]:
    return _get("/v1/sessions", evidence.Sessions, agent=agent_name, open=open_only)


def session(session_id: str) -> Call[evidence.SessionView]:
    return _get(f"/v1/sessions/{_part(session_id)}", evidence.SessionView)


def authorize(request: authority.Authorize) -> Call[authority.Authorized]:
    # A step's question is answered as before when it is asked again; any other makes a second decision.
    return _post("/v1/decisions", request, authority.Authorized, again=bool(request.attempt))


def append(claims: list[Envelope]) -> Call[evidence.ClaimResults]:
    # A claim that is known already is answered as before: its claim_id names it.
    return _post("/v1/receipts", evidence.Claims(claims=claims), evidence.ClaimResults, again=True)


def receipts(
    after: int = -1,
    *,
    limit: int = 100,
    agent_name: str = "",
    session_id: str = "",
    kind: str = "",
    newest: bool = False,
) -> Call[evidence.Receipts]:
    return _get(
        "/v1/receipts",
        evidence.Receipts,
        after=after,
        limit=limit,
        agent=agent_name,
        session_id=session_id,
        kind=kind,
        newest=newest,
    )


def receipt(receipt_id: str) -> Call[evidence.ReceiptDetail]:
    return _get(f"/v1/receipts/{_part(receipt_id)}", evidence.ReceiptDetail)


def ledger() -> Call[evidence.LedgerView]:
    return _get("/v1/ledger", evidence.LedgerView)


def consistency(first: int, second: int) -> Call[evidence.Consistency]:
    return _get("/v1/ledger/consistency", evidence.Consistency, first=first, second=second)


def fsck() -> Call[evidence.Fsck]:
    return _post("/v1/ledger/fsck", base.Empty(), evidence.Fsck, again=True)


def export_pack(request: evidence.PackRequest) -> Call[Nothing]:
    return _post("/v1/packs", request, Nothing, again=True)


def beat(heartbeats: list[Envelope]) -> Call[liveness.HeartbeatsAccepted]:
    # Older and equal sequence numbers are ignored, so a repeated beat does nothing.
    request = liveness.Heartbeats(heartbeats=heartbeats)
    return _post("/v1/heartbeats", request, liveness.HeartbeatsAccepted, again=True)


def list_dispatches(agent_name: str = "", *, open_only: bool = False) -> Call[dispatches.Dispatches]:
    return _get("/v1/dispatches", dispatches.Dispatches, agent=agent_name, open=open_only)


def dispatch(dispatch_id: str) -> Call[dispatches.DispatchDetail]:
    return _get(f"/v1/dispatches/{_part(dispatch_id)}", dispatches.DispatchDetail)


def report_node(node: str, report: dispatches.NodeReport) -> Call[dispatches.NodeOrders]:
    # Repeated by whoever sends it, with what has become true meanwhile.
    return _post(f"/v1/nodes/{_part(node)}/reports", report, dispatches.NodeOrders)


def nodes() -> Call[dispatches.Nodes]:
    return _get("/v1/nodes", dispatches.Nodes)


def policies() -> Call[dispatches.Policies]:
    return _get("/v1/policies", dispatches.Policies)


def policy(agent_name: str) -> Call[dispatches.EffectivePolicy]:
    return _get(f"/v1/policies/{_part(agent_name)}", dispatches.EffectivePolicy)


def notifiers() -> Call[wire_notifiers.Notifiers]:
    return _get("/v1/notifiers", wire_notifiers.Notifiers)


def send_test(channel: str) -> Call[wire_notifiers.Queued]:
    return _post(f"/v1/notifiers/{_part(channel)}/tests", base.Empty(), wire_notifiers.Queued)


def messages(incident_id: str = "", *, limit: int = 100) -> Call[wire_notifiers.Messages]:
    return _get("/v1/messages", wire_notifiers.Messages, incident_id=incident_id, limit=limit)


def message(message_id: str) -> Call[wire_notifiers.MessageView]:
    return _get(f"/v1/messages/{_part(message_id)}", wire_notifiers.MessageView)


def events(after: int) -> Call[Nothing]:
    return _get("/v1/events", Nothing, after=after)


def record(path: str, statement: Envelope) -> Call[base.Recorded]:
    """A statement that becomes one receipt: docks, revocations, closings and the like."""
    return _state(path, statement, base.Recorded)


def _get(path: str, answer: type[_T], **query: str | int | bool) -> Call[_T]:
    return Call("GET", path, answer, query=query_of(**query), again=True)


def _post(path: str, request: base.Request, answer: type[_T], *, again: bool = False) -> Call[_T]:
    return Call("POST", path, answer, body=msgspec.json.encode(request), again=again)


def _state(path: str, statement: Envelope, answer: type[_T], *, again: bool = False) -> Call[_T]:
    return _post(path, base.Statement(statement=statement), answer, again=again)


def _part(text: str) -> str:
    return quote(text, safe="")
