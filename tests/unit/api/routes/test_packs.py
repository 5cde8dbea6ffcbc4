"""Evidence packs over HTTP: whole, redacted, and verified by a stranger."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dragons.api.routes.packs import select
from dragons.audit.verify import verify_file
from dragons.core.errors import InvalidInputError
from dragons.wire.evidence import PackRequest
from tests.support.server import Instance, Plane, Tenant

NOW_MS = 1_800_000_000_000
NOON = "2026-01-01T12:00:00.000Z"


def test_a_pack_is_a_whole_file(tenant: Tenant, instance: Instance, tmp_path: Path) -> None:
    session = instance.open()
    instance.work(session, 3)
    instance.post("/v1/sessions/closings", instance.closing(session))
    for wanted in ({}, {"session_id": session}, {"agent": "reconciler"}, {"since": NOON}):
        reply = tenant.send("POST", "/v1/packs", wanted)
        assert reply.status == 200, reply.content
        assert reply.headers["content-type"] == "application/zip"
        assert int(reply.headers["content-length"]) == len(reply.content)
        assert ".zip" in reply.headers["content-disposition"]
        with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
            assert archive.testzip() is None
            assert {"pack.json", "receipts.jsonl"} <= set(archive.namelist())
            assert "payloads.jsonl" not in archive.namelist()
    assert not list(tenant.plane.settings.home.glob("tmp*"))


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        ({"session_id": "x"}, 422, "id_malformed"),
        ({"session_id": "ses_" + "0" * 32}, 404, "selection_empty"),
        ({"agent": "nobody"}, 404, "selection_empty"),
        ({"agent": "A"}, 422, "agent_name_malformed"),
        ({"since": "yesterday"}, 422, "time_malformed"),
        ({"since": NOON, "until": NOON}, 422, "selection_malformed"),
        ({"agent": "a", "since": NOON}, 422, "selection_malformed"),
        ({"session_id": "ses_" + "0" * 32, "agent": "a"}, 422, "selection_malformed"),
    ],
)
def test_selections_without_a_pack(tenant: Tenant, wanted: dict[str, Any], status: int, code: str) -> None:
    reply = tenant.send("POST", "/v1/packs", wanted)
    assert (reply.status, reply.code) == (status, code)


def test_selections() -> None:
    assert select(PackRequest(), NOW_MS).kind == "ledger"
    assert select(PackRequest(session_id="s"), NOW_MS).kind == "session"
    assert select(PackRequest(agent="a"), NOW_MS).kind == "agent"
    window = select(PackRequest(since=NOON), NOW_MS)
    assert (window.kind, window.since, window.until) == ("window", NOON, "2027-01-15T08:00:00.000Z")
    window = select(PackRequest(until=NOON), NOW_MS)
    assert (window.since, window.until) == ("1970-01-01T00:00:00.000Z", NOON)
    with pytest.raises(InvalidInputError):
        select(PackRequest(until="now"), NOW_MS)


def test_the_root_verifies_it(plane: Plane, tmp_path: Path) -> None:
    tenant = plane.tenant()
    instance = tenant.launch()
    session = instance.open()
    instance.work(session, 3)
    instance.post("/v1/sessions/closings", instance.closing(session))
    path = tmp_path / "pack.zip"
    path.write_bytes(tenant.send("POST", "/v1/packs", {"session_id": session}).content)
    report = verify_file(path, tenant.root.public_key.fingerprint)
    assert report.valid, report.to_json()
