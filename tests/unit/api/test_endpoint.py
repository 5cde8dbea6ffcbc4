"""The dispatcher's own refusals: headers, bodies, expired tokens, rates, and what it never shows."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from starlette.requests import Request

from dragons.api import endpoint
from dragons.api.endpoint import Dispatcher
from dragons.api.operation import Call, Operation
from dragons.compose import build_backend
from dragons.settings import Settings
from dragons.wire.base import Empty
from tests.support.server import Instance, Plane, ShiftedClock, Tenant


def test_answers_are_json_and_not_stored(plane: Plane, tenant: Tenant) -> None:
    reply = tenant.send("GET", "/v1/tenant")
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["Authorization", "Signature", "Signature-Input", "Content-Digest"])
def test_a_deciding_header_stands_once(instance: Instance, name: str) -> None:
    plane = instance.tenant.plane
    request = plane.http.build_request("POST", f"{plane.url}/v1/ping", content=b"")
    request.headers = type(request.headers)([*request.headers.raw, (name, "x"), (name, "y")])
    response = plane.http.send(request)
    assert response.status_code == 401
    assert response.json()["code"] == "header_repeated"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b'{"statement":1}', b"{} {}", gzip.compress(b"{}", mtime=0)]
)
def test_a_malformed_body_is_named(tenant: Tenant, body: bytes) -> None:
    reply = tenant.send("POST", "/v1/docks", body)
    assert reply.status == 422
    assert reply.code in {"request_malformed", "request_invalid"}


def test_an_unknown_field_is_refused(tenant: Tenant) -> None:
    reply = tenant.send("POST", "/v1/tokens", {"role": "auditor", "label": "x", "rank": 1})
    assert (reply.status, reply.code) == (422, "request_invalid")
    assert "rank" in reply.json["detail"]


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_an_empty_request_may_have_no_body(tenant: Tenant, body: bytes) -> None:
    assert tenant.send("POST", "/v1/ping", body).status == 200
    assert tenant.send("POST", "/v1/ping", b'{"x":1}').status == 422


def test_an_expired_token_is_good_for_reports_and_a_late_renewal_only(plane: Plane, tenant: Tenant) -> None:
    instance = tenant.launch()
    session = instance.open()
    claims = instance.claims(session)
    plane.clock.advance(901_000)
    reply = instance.send("POST", "/v1/ping")
    assert (reply.status, reply.code) == (401, "token_expired")
    result = instance.send("POST", "/v1/receipts", claims)
    assert result.status == 200
    assert result.json["results"][0]["late"] is True
    assert instance.send("POST", "/v1/sessions/closings", instance.closing(session)).status == 200
    assert instance.send("POST", "/v1/leases/renewals", {}).status == 200


def request_of(path: str = "/v1/x") -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [], "path_params": {},
    }  # fmt: skip
    return Request(scope, receive)


def test_a_fault_of_ours_shows_nothing_and_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(call: Call[Empty]) -> Empty:
        """Fails."""
        raise ZeroDivisionError("hunter2")

    async def main() -> None:
        backend = build_backend(Settings(home=tmp_path), ShiftedClock())
        dispatcher = Dispatcher(backend, [Operation("livez", "GET", "/livez", broken)])
        with structlog.testing.capture_logs() as logs:
            monkeypatch.setattr(endpoint, "_log", structlog.get_logger())
            response = await dispatcher.answer("livez", request_of())
        assert response.status_code == 500
        problem = msgspec.json.decode(response.body)
        assert problem["code"] == "internal"
        assert b"hunter2" not in response.body
        assert b"Zero" not in response.body
        assert [(one["event"], one["operation"]) for one in logs] == [("request_failed", "livez")]
        assert logs[0]["request_id"] in problem["fix"]
        assert logs[0]["request_id"] == response.headers["x-request-id"]
        backend.close()

    asyncio.run(main())


def test_an_operation_of_nobody_is_denied(tmp_path: Path) -> None:
    async def main() -> None:
        backend = build_backend(Settings(home=tmp_path), ShiftedClock())
        dispatcher = Dispatcher(backend, [])
        for name in ("docks.destroy", "livez"):
            response = await dispatcher.answer(name, request_of())
            assert response.status_code == 403
            assert msgspec.json.decode(response.body)["code"] == "route_undeclared"
        backend.close()

    asyncio.run(main())
