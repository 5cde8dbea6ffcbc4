"""Limits over real HTTP: what is too much is refused with a problem, and the rest goes on."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragons.wire.base import BODY_BYTES_MAX, PAGE_MAX
from tests.support.server import Plane, Tenant, serving


@pytest.fixture(scope="module")
def tenant(plane: Plane) -> Tenant:
    return plane.tenant()


def parts(total: int) -> Iterator[bytes]:
    for _ in range(total // 65_536 + 1):
        yield b" " * 65_536


def test_a_body_without_a_length_is_counted(plane: Plane, tenant: Tenant) -> None:
    headers = {"authorization": f"Bearer {tenant.tokens['admin']}"}
    response = plane.http.post(f"{plane.url}/v1/docks", content=parts(BODY_BYTES_MAX), headers=headers)
    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"
    assert tenant.send("POST", "/v1/ping", {}).status == 200


def test_a_body_of_exactly_the_limit_is_read(tenant: Tenant) -> None:
    reply = tenant.send("POST", "/v1/ping", b"{}" + b" " * (BODY_BYTES_MAX - 2))
    assert reply.status == 200
    reply = tenant.send("POST", "/v1/ping", b"{}" + b" " * (BODY_BYTES_MAX - 1))
    assert (reply.status, reply.code) == (413, "body_too_large")


def test_a_length_that_lies_is_not_believed(plane: Plane, tenant: Tenant) -> None:
    host, port = plane.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/ping HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tenant.tokens['admin']}\r\n"
        "Content-Length: 999999999999\r\n\r\n"
    ).encode()
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head)
        # The server stops reading after the limit and closes: sending fails sooner or later.
        sending = threading.Thread(target=_flood, args=(connection,), daemon=True)
        sending.start()
        answer = connection.recv(4_096)
    sending.join(20)
    assert b"413" in answer.split(b"\r\n")[0]


def _flood(connection: socket.socket) -> None:
    try:
        for part in parts(3 * BODY_BYTES_MAX):
            connection.sendall(part)
    except OSError:
        return


def test_deep_nesting_is_malformed_and_nothing_else(tenant: Tenant) -> None:
    for body in (b"[" * 1_000_000, b'{"a":' * 500_000, b'{"statement":' + b"[" * 100_000):
        reply = tenant.send("POST", "/v1/docks", body)
        assert reply.status == 422


def test_pages_are_bounded(tenant: Tenant) -> None:
    assert tenant.send("GET", f"/v1/receipts?limit={PAGE_MAX}").status == 200
    reply = tenant.send("GET", f"/v1/receipts?limit={PAGE_MAX + 1}")
    assert (reply.status, reply.code) == (422, "request_invalid")


def test_a_credential_has_its_own_rate(tmp_path: Path) -> None:
    with serving(tmp_path, rate_per_second=0.5, rate_burst=20) as plane:
        tenant = plane.tenant()
        statuses = [tenant.send("GET", "/v1/tenant").status for _ in range(30)]
        assert statuses.count(429) >= 10
        assert statuses.index(429) <= 20
        reply = tenant.send("GET", "/v1/tenant")
        assert reply.code == "rate_exceeded"
        assert 1 <= int(reply.headers["retry-after"]) <= 2
        assert tenant.send("GET", "/v1/tenant", role="auditor").status == 200
        assert plane.send("GET", "/livez").status == 200
        plane.clock.advance(2_000)
        assert tenant.send("GET", "/v1/tenant").status == 200


def test_a_thief_without_the_key_does_not_use_up_the_rate(tmp_path: Path) -> None:
    with serving(tmp_path, rate_per_second=0.001, rate_burst=20) as plane:
        instance = plane.tenant().launch()
        for _ in range(30):
            assert instance.send("POST", "/v1/ping", signer=None).status == 401
        assert instance.send("POST", "/v1/ping").status == 200


def test_feeds_are_counted(tmp_path: Path) -> None:
    with serving(tmp_path, feeds_max=2, feed_poll_seconds=0.05) as plane:
        tenant = plane.tenant()
        headers = {"authorization": f"Bearer {tenant.tokens['auditor']}"}
        url = f"{plane.url}/v1/events"
        with (
            plane.http.stream("GET", url, headers=headers) as first,
            plane.http.stream("GET", url, headers=headers) as second,
        ):
            # Held on to: a client whose reader of lines is gone hangs up.
            readers = [first.iter_lines(), second.iter_lines()]
            for lines in readers:
                next(lines)
            with plane.http.stream("GET", url, headers=headers) as third:
                assert third.status_code == 429
                assert third.headers["content-type"] == "application/problem+json"
                assert json.loads(third.read())["code"] == "feeds_exhausted"
                assert int(third.headers["retry-after"]) > 0
        for _ in range(200):
            with plane.http.stream("GET", url, headers=headers) as again:
                if again.status_code == 200:
                    return
        pytest.fail("the places were not given back")


def test_used_proofs_are_remembered_and_their_number_is_bounded(tmp_path: Path) -> None:
    with serving(tmp_path, nonces_max=20) as plane:
        instance = plane.tenant().launch()
        statuses = [instance.send("POST", "/v1/ping").status for _ in range(15)]
        assert 429 in statuses
        reply = instance.send("POST", "/v1/ping")
        assert reply.code == "proofs_exhausted"
        plane.clock.advance(121_000)
        assert instance.send("POST", "/v1/ping").status == 200
