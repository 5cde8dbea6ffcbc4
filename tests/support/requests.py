"""A request of every operation that succeeds in its own tenant: what tests of all routes are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dragons.authority.revocation import Target
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import envelope_json
from tests.support.server import AGENT, CHANNEL, Instance, Reply, Tenant


@dataclass
class World:
    """A tenant in which there is one of everything."""

    tenant: Tenant
    instance: Instance
    session_id: str
    receipt_id: str

    @classmethod
    def of(cls, tenant: Tenant) -> World:
        instance = tenant.launch()
        session_id = instance.open()
        receipt = instance.work(session_id)[0]["receipt"]["receipt_id"]
        return cls(tenant, instance, session_id, receipt)

    def send(self, operation: str, role: str, request: Sent, **more: Any) -> Reply:
        """Send with a credential of `role`; a launch also with the new instance's proof."""
        if role == "instance":
            return self.instance.send(request.method, request.path, request.body, **more)
        if role == "keyholder":
            key = self.tenant.operator
            return self.tenant.send_by_key(key, request.method, request.path, request.body, **more)
        if operation == "instances.launch":
            more = {"signer": request.signer, **more}
        return self.tenant.send(request.method, request.path, request.body, role=role, **more)


@dataclass
class Sent:
    """What to send; `signer` is the new instance's, for a launch."""

    method: str
    path: str
    body: Any = None
    signer: LocalSigner | None = None


def _token(world: World) -> str:
    made = world.tenant.post("/v1/tokens", {"role": "auditor", "label": "short"})
    return str(made["view"]["token_id"])


def _message(world: World) -> str:
    return str(world.tenant.post(f"/v1/notifiers/{CHANNEL}/tests", {})["message_id"])


def _launch(world: World) -> Sent:
    signer = LocalSigner.generate(KeyRole.INSTANCE)
    return Sent("POST", "/v1/instances", world.tenant.launch_body(world.tenant.manifest(), signer), signer)


def _revoked_key(world: World) -> dict[str, Any]:
    new = LocalSigner.generate(KeyRole.OPERATOR)
    world.tenant.post("/v1/keys", world.tenant.key(new))
    return world.tenant.key_revocation(new.key_id)


def _next_version(world: World) -> int:
    return int(world.tenant.get(f"/v1/agents/{AGENT}/next")["version"])


def _registration(world: World) -> dict[str, Any]:
    version = _next_version(world)
    return world.tenant.registration(world.tenant.manifest(digest=f"{version:064x}"), version)


def _activation(world: World) -> dict[str, Any]:
    ordinal = world.tenant.get(f"/v1/agents/{AGENT}/next")["ordinal"]
    return world.tenant.activation(world.tenant.manifest(), 1, ordinal)


def _delegation(world: World) -> dict[str, Any]:
    return world.instance.delegation(world.tenant.manifest(), LocalSigner.generate(KeyRole.INSTANCE))


def _dispatch(world: World) -> str:
    dispatch_id, statement = world.tenant.dispatch()
    world.tenant.post("/v1/dispatches", statement)
    return dispatch_id


def _incident(world: World) -> str:
    """An instance is quarantined and released again."""
    instance_id = world.tenant.launch().instance_id
    for action in ("quarantine", "release"):
        world.tenant.post("/v1/interventions", world.tenant.intervention(instance_id, action=action))
    return str(world.tenant.get("/v1/incidents")["incidents"][0]["incident_id"])


def _get(path: str) -> Callable[[World], Sent]:
    return lambda _: Sent("GET", path)


def _post(path: str, body: Callable[[World], Any] = lambda _: {}) -> Callable[[World], Sent]:
    return lambda world: Sent("POST", path, body(world))


# Ordered: what ends something comes last.
REQUESTS: dict[str, Callable[[World], Sent]] = {
    "index": _get("/"),
    "livez": _get("/livez"),
    "readyz": _get("/readyz"),
    "openapi": _get("/v1/openapi.json"),
    "ping": _post("/v1/ping"),
    "tenant": _get("/v1/tenant"),
    "keys.list": _get("/v1/keys"),
    "keys.register": _post("/v1/keys", lambda w: w.tenant.key(LocalSigner.generate(KeyRole.OPERATOR))),
    "keys.revoke": _post("/v1/keys/revocations", _revoked_key),
    "tokens.list": _get("/v1/tokens"),
    "tokens.issue": _post("/v1/tokens", lambda _: {"role": "auditor", "label": "x"}),
    "tokens.revoke": lambda w: Sent("DELETE", f"/v1/tokens/{_token(w)}"),
    "catalogue.show": _get("/v1/catalogue"),
    "catalogue.publish": _post("/v1/catalogue", lambda w: w.tenant.catalogue()),
    "agents.list": _get("/v1/agents"),
    "agents.show": _get(f"/v1/agents/{AGENT}"),
    "agents.next": _get(f"/v1/agents/{AGENT}/next"),
    "agents.activate": _post("/v1/activations", _activation),
    "manifests.register": _post("/v1/manifests", _registration),
    "manifests.show": lambda w: Sent("GET", f"/v1/manifests/{w.tenant.manifest().hash()}"),
    "docks.create": _post("/v1/docks", lambda w: w.tenant.dock()),
    "docks.list": _get("/v1/docks"),
    "docks.show": lambda w: Sent("GET", f"/v1/docks/{w.instance.lease.dock_id}"),
    "revocations.view": _get("/v1/revocations"),
    "instances.launch": _launch,
    "fleet.show": _get("/v1/fleet?agent=reconciler"),
    "mtboi.show": _get("/v1/mtboi"),
    "metrics.show": _get("/metrics"),
    "incidents.list": _get("/v1/incidents"),
    "incidents.show": lambda w: Sent("GET", f"/v1/incidents/{_incident(w)}"),
    "instances.list": _get("/v1/instances"),
    "instances.show": lambda w: Sent("GET", f"/v1/instances/{w.instance.instance_id}"),
    "notifiers.list": _get("/v1/notifiers"),
    "notifiers.test": _post(f"/v1/notifiers/{CHANNEL}/tests"),
    "messages.list": _get("/v1/messages"),
    "messages.show": lambda w: Sent("GET", f"/v1/messages/{_message(w)}"),
    "leases.list": _get("/v1/leases"),
    "leases.show": lambda w: Sent("GET", f"/v1/leases/{w.instance.lease.lease_id}"),
    "leases.renew": _post("/v1/leases/renewals"),
    "leases.delegate": _post("/v1/leases/delegations", _delegation),
    "sessions.open": _post("/v1/sessions", lambda w: w.instance.session()[1]),
    "sessions.close": _post("/v1/sessions/closings", lambda w: w.instance.closing(w.instance.open())),
    "sessions.list": _get("/v1/sessions"),
    "sessions.show": lambda w: Sent("GET", f"/v1/sessions/{w.session_id}"),
    "decisions.authorize": _post(
        "/v1/decisions", lambda w: {"session_id": w.session_id, "action": "pay:invoice"}
    ),
    "receipts.append": _post("/v1/receipts", lambda w: w.instance.claims(w.session_id)),
    "receipts.list": _get("/v1/receipts"),
    "receipts.show": lambda w: Sent("GET", f"/v1/receipts/{w.receipt_id}"),
    "ledger.show": _get("/v1/ledger"),
    "ledger.consistency": _get("/v1/ledger/consistency?first=1&second=3"),
    "ledger.fsck": _post("/v1/ledger/fsck"),
    "packs.export": _post("/v1/packs", lambda w: {"session_id": w.session_id}),
    "erasures.create": _post("/v1/erasures", lambda w: w.tenant.erasure(w.receipt_id)),
    "heartbeats.beat": _post(
        "/v1/heartbeats", lambda w: {"heartbeats": [envelope_json(w.instance.heartbeat())]}
    ),
    "events.feed": _get("/v1/events"),
    "policies.publish": _post("/v1/policies", lambda w: w.tenant.policy()),
    "policies.list": _get("/v1/policies"),
    "policies.show": _get(f"/v1/policies/{AGENT}"),
    "dispatches.create": _post("/v1/dispatches", lambda w: w.tenant.dispatch()[1]),
    "dispatches.list": _get("/v1/dispatches"),
    "dispatches.show": lambda w: Sent("GET", f"/v1/dispatches/{_dispatch(w)}"),
    "nodes.report": _post("/v1/nodes/n1/reports"),
    "nodes.list": _get("/v1/nodes"),
    "revocations.create": _post(
        "/v1/revocations", lambda w: w.tenant.revocation(Target.INSTANCE, w.tenant.launch().instance_id)
    ),
    "interventions.create": _post(
        "/v1/interventions", lambda w: w.tenant.intervention(w.tenant.launch().instance_id)
    ),
    "leases.release": _post("/v1/leases/releases", lambda w: w.instance.release()),
}
STREAMS = frozenset({"events.feed"})
