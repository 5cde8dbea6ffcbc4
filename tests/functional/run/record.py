"""What the record says about a run, as the tests of this folder ask for it."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from dragons.audit.verify import verify_file
from dragons.evidence.receipt import CLOSING, Closing
from dragons.sdk.localstore import LocalStore
from dragons.sdk.packs import export_pack
from dragons.wire.evidence import PackRequest, ReceiptView
from tests.functional.plane import ControlPlane

SECONDS_MAX = 60
# Says its session when it is ready, then waits.
WAITING = "import os, time\nprint(os.environ['DRAGONS_SESSION'], flush=True)\ntime.sleep(600)\n"


def closing(plane: ControlPlane, receipt_id: str) -> tuple[Closing, dict[str, Any]]:
    """The closing that a receipt records, and its payload."""
    with plane.client() as client:
        body = client.receipt(receipt_id).record.statement.body(CLOSING, Closing)
    with LocalStore(plane.home.store_path(plane.tenant_id)) as store:
        payload = store.payload(body.payload_hash)
    assert payload is not None
    value: dict[str, Any] = msgspec.json.decode(payload.body)
    return body, value


def outcome_of(plane: ControlPlane, session_id: str) -> str:
    """How a session ended; empty while it is open."""
    with plane.client() as client:
        return client.session(session_id).outcome


def ended_as(plane: ControlPlane, session_id: str) -> str:
    """How a session ended, once it did."""
    until = time.monotonic() + SECONDS_MAX
    while not (outcome := outcome_of(plane, session_id)):
        assert time.monotonic() < until, "the session is still open"
        time.sleep(0.2)
    return outcome


def receipts(plane: ControlPlane, session_id: str) -> list[ReceiptView]:
    """The receipts of a session."""
    with plane.client() as client:
        return client.receipts(limit=500, session_id=session_id).receipts


def newest(plane: ControlPlane, kind: str, agent: str) -> list[ReceiptView]:
    """The newest receipts of a kind about an agent."""
    with plane.client() as client:
        return client.receipts(limit=100, kind=kind, agent=agent, newest=True).receipts


def verify(plane: ControlPlane, session_id: str, folder: Path) -> None:
    """The evidence of a session holds for a stranger."""
    pack = folder / f"{session_id}.zip"
    with plane.client() as client, LocalStore(plane.home.store_path(plane.tenant_id)) as store:
        export_pack(client, PackRequest(session_id=session_id), pack, store)
    report = verify_file(pack, plane.pin)
    assert report.valid, report.to_json()


def programs_in(folder: Path) -> list[int]:
    """The processes that run the program in `folder`, their launchers not counted."""
    wanted = str(folder / "program.py").encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def wait_until_gone(pid: int) -> None:
    """Wait until a process has ended."""
    until = time.monotonic() + SECONDS_MAX
    while _lives(pid):
        assert time.monotonic() < until, f"{pid} still runs"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
