"""Every route of the real application: declared, authenticated, permitted, and apart from other tenants.

Made from the application's own routes, so that none can be forgotten.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.routing import Route

from dragons.api.access import ACCESS
from dragons.api.app import create_app
from dragons.api.endpoint import GovernedRoute
from dragons.compose import build_backend
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Role
from dragons.settings import Settings
from tests.support.requests import REQUESTS, STREAMS, Sent, World
from tests.support.server import Plane, ShiftedClock, running

ROLES = sorted(role.value for role in Role if role is not Role.ANYONE)
GUARDED = sorted(name for name, roles in ACCESS.items() if Role.ANYONE not in roles)
_NAME = re.compile(r"(?:[a-z]{3}_)?[0-9a-f]{32,64}")


@pytest.fixture(scope="module")
def world(plane: Plane) -> World:
    return World.of(plane.tenant("acme"))


@pytest.fixture(scope="module")
def other(plane: Plane) -> World:
    return World.of(plane.tenant("globex"))


def allowed(name: str) -> list[str]:
    return sorted(role.value for role in ACCESS[name])


def test_every_route_is_declared_and_has_a_request(plane: Plane) -> None:
    routes = [route for route in plane.app.routes if isinstance(route, Route)]
    assert len(routes) == len(plane.app.routes)
    assert all(isinstance(route, GovernedRoute) for route in routes)
    assert {route.name for route in routes} == set(ACCESS) == set(REQUESTS)


# --- who may -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize(
    "credential",
    [
        "",
        "Bearer",
        "Basic eDp5",
        "Bearer dgt_x",
        f"Bearer dgt_{'A' * 43}",
        "Bearer a.b.c",
        "Bearer é",
    ],
)
def test_without_a_credential_every_route_is_closed(
    plane: Plane, world: World, name: str, credential: str
) -> None:
    request = REQUESTS[name](world)
    headers = {"authorization": credential.encode()} if credential else {}
    reply = plane.send(request.method, request.path, request.body, headers=headers)
    assert reply.status == 401
    assert reply.code in {"credential_missing", "token_invalid"}
    assert reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", GUARDED)
def test_every_other_role_is_refused(world: World, name: str) -> None:
    for role in ROLES:
        if role not in allowed(name):
            reply = world.send(name, role, REQUESTS[name](world))
            assert (reply.status, reply.code) == (403, "role_forbidden"), role


@pytest.mark.parametrize("name", [name for name in REQUESTS if name not in STREAMS | {"leases.release"}])
def test_every_role_that_may_is_let_in(world: World, name: str) -> None:
    for role in allowed(name):
        reply = world.send(name, "admin" if role == "anyone" else role, REQUESTS[name](world))
        assert reply.status == 200, (role, reply.content)


@pytest.mark.parametrize("role", allowed("events.feed"))
def test_every_role_that_may_follow_the_feed_is_let_in(plane: Plane, world: World, role: str) -> None:
    headers = {"authorization": f"Bearer {world.tenant.tokens[role]}"}
    with plane.http.stream("GET", f"{plane.url}/v1/events", headers=headers) as response:
        assert response.status_code == 200
        assert "id: 0" in itertools.islice(response.iter_lines(), 5)


@pytest.mark.parametrize("name", [name for name in GUARDED if Role.KEYHOLDER in ACCESS[name]])
def test_a_keyholder_proves_possession_everywhere(world: World, name: str) -> None:
    request = REQUESTS[name](world)
    without = world.send(name, "keyholder", request, signer=None)
    assert (without.status, without.code) == (401, "proof_missing")
    thief = LocalSigner.generate(KeyRole.OPERATOR)
    stolen = world.send(name, "keyholder", request, signer=thief)
    assert (stolen.status, stolen.code) == (401, "proof_key")


@pytest.mark.parametrize("name", [name for name in GUARDED if Role.INSTANCE in ACCESS[name]])
def test_an_instance_proves_possession_everywhere(world: World, name: str) -> None:
    request = REQUESTS[name](world)
    without = world.send(name, "instance", request, signer=None)
    assert (without.status, without.code) == (401, "proof_missing")
    thief = LocalSigner.generate(KeyRole.INSTANCE)
    stolen = world.send(name, "instance", request, signer=thief)
    assert (stolen.status, stolen.code) == (401, "proof_key")


# --- tenants are apart ---------------------------------------------------------------------------


def names_of(world: World) -> set[str]:
    """Every id, hash and key of a tenant that its API shows."""
    found: set[str] = set()
    for path in (
        "/v1/tenant", "/v1/keys", "/v1/tokens", "/v1/docks", "/v1/instances", "/v1/leases", "/v1/sessions",
        "/v1/ledger", "/v1/receipts?limit=500",
    ):  # fmt: skip
        found |= set(_NAME.findall(world.tenant.send("GET", path).content.decode()))
    return found - names_in({"manifest": world.tenant.manifest().hash(), "none": "0" * 64})


def names_in(value: Any) -> set[str]:
    return set(_NAME.findall(str(value)))


def state_of(world: World) -> tuple[Any, ...]:
    """What a stranger must not be able to change."""
    tenant = world.tenant
    return (
        tenant.get("/v1/ledger")["size"],
        tenant.get("/v1/tokens"),
        [one["state"] for one in tenant.get("/v1/instances")["instances"]],
        [(one["active"], one["versions"], one["docks"]) for one in tenant.get("/v1/agents")["agents"]],
        tenant.get("/v1/catalogue"),
    )


@pytest.mark.parametrize("name", [name for name in GUARDED if name not in STREAMS])
def test_another_tenants_credentials_reach_nothing(world: World, other: World, name: str) -> None:
    request = REQUESTS[name](world)
    before, secret = state_of(world), names_of(world)
    shown = names_in(request.path) | names_in(request.body)
    for role in allowed(name):
        reply = other.send(name, role, request)
        text = reply.content.decode("latin-1")
        leaked = set(_NAME.findall(text)) & (secret - shown)
        assert not leaked, (role, text[:500])
        if names_in(request.path):
            expected = 404 if name != "manifests.show" else 200
            assert reply.status in {expected, 403}, role
        if reply.status == 200 and request.body:
            assert nothing_happened(name, reply.json if name != "packs.export" else {}), (role, text[:500])
    assert state_of(world) == before


def nothing_happened(name: str, answer: Any) -> bool:
    """True when a 200 to another tenant's body took nothing of it."""
    if name == "receipts.append":
        return all("receipt" not in one for one in answer["results"])
    if name == "heartbeats.beat":
        return bool(answer["accepted"] == 0 and answer["refused"])
    if name == "decisions.authorize":
        return answer["allowed"] is False
    # Names nothing of anybody: it is the caller's own token that is made.
    return name in {"tokens.issue", "instances.launch"}


def test_a_feed_shows_its_own_tenant_only(plane: Plane, world: World, other: World) -> None:
    secret = names_of(world)
    size = other.tenant.get("/v1/ledger")["size"]
    headers = {"authorization": f"Bearer {other.tenant.tokens['auditor']}"}
    events, text = 0, ""
    with plane.http.stream("GET", f"{plane.url}/v1/events", headers=headers) as response:
        for line in response.iter_lines():
            text += line
            events += line.startswith("id: ")
            if events == size and not line:
                break
    assert not set(_NAME.findall(text)) & secret


def test_a_token_of_one_tenant_with_the_proof_of_another(world: World, other: World) -> None:
    reply = world.instance.send("POST", "/v1/ping", signer=other.instance.signer)
    assert (reply.status, reply.code) == (401, "proof_key")


# --- undeclared routes ---------------------------------------------------------------------------


def test_an_undeclared_route_is_denied_for_everyone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=0)
    app = create_app(build_backend(settings, ShiftedClock()))
    reached = []

    @app.get("/v1/backdoor")
    async def backdoor() -> dict[str, str]:
        reached.append(True)
        return {"secret": "x"}

    with running(app, settings) as url:
        for headers in ({}, {"authorization": f"Bearer dgt_{'A' * 43}"}):
            response = httpx2.get(f"{url}/v1/backdoor", headers=headers, trust_env=False)
            assert response.status_code == 403
            assert response.json()["code"] == "route_undeclared"
    assert not reached


def test_an_application_with_an_ungoverned_route_does_not_start(tmp_path: Path) -> None:
    app = create_app(build_backend(Settings(home=tmp_path, port=0), ShiftedClock()))
    app.add_route("/v1/backdoor", lambda _: None)

    async def start() -> None:
        async with app.router.lifespan_context(app):
            pytest.fail("it started")

    with pytest.raises(RuntimeError, match="/v1/backdoor"):
        asyncio.run(start())


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/", 405, "method_unknown"),
        ("GET", "//", 404, "route_unknown"),
        ("GET", "/v1", 404, "route_unknown"),
        ("GET", "/v1/tenant/", 404, "route_unknown"),
        ("GET", "/docs", 404, "route_unknown"),
        ("GET", "/v1/../v1/tenantx", 404, "route_unknown"),
        ("PUT", "/v1/tenant", 405, "method_unknown"),
        ("HEAD", "/v1/tenant", 405, ""),
        ("GET", "/v1/receipts/a/b", 404, "route_unknown"),
    ],
)
def test_paths_and_methods_that_do_not_exist(
    plane: Plane, method: str, path: str, status: int, code: str
) -> None:
    reply = plane.send(method, path)
    assert reply.status == status
    if code:
        assert reply.code == code
    if status == 405:
        assert "GET" in reply.headers["allow"]


def test_releasing_ends_the_instance(plane: Plane) -> None:
    world = World.of(plane.tenant("initech"))
    request: Sent = REQUESTS["leases.release"](world)
    assert world.send("leases.release", "instance", request).status == 200
    shown = world.tenant.get(f"/v1/instances/{world.instance.instance_id}")
    assert shown["state"] == "stopped"
    reply = world.instance.send("POST", "/v1/leases/renewals", {})
    assert (reply.status, reply.code) == (403, "lease_released")
