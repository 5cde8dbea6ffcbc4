"""Messages and channels that the tests of this folder send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragons.adapters.notify.message import Message

TENANT = "tnt_" + "1" * 32
MESSAGE = "msg_" + "2" * 32
INCIDENT = "inc_" + "3" * 32
AT_MS = 1_800_000_000_000

FACTS: dict[str, Any] = {
    "agent": "reconciler",
    "version": 7,
    "instance_id": "4" * 32,
    "dispatch_id": "dsp_" + "5" * 32,
    "incident_id": INCIDENT,
    "epoch": 4,
    "state": "quarantined",
    "reason": "it was restarted 3 times within 6 h",
    "at": "2027-01-15T08:00:00.000Z",
    "started_at": "2027-01-15T07:00:00.000Z",
    "last_heartbeat_at": "2027-01-15T07:30:00.000Z",
    "last_progress_at": "2027-01-15T07:20:00.000Z",
    "progress_source": "receipts",
    "lease_expires_at": "2027-01-15T08:15:00.000Z",
    "restarts": 3,
}


def message(topic: str = "quarantined", **facts: Any) -> Message:
    """A message of `topic` with the usual facts and these."""
    return Message(TENANT, MESSAGE, topic, {**FACTS, **facts}, AT_MS)


def private(path: Path, text: str) -> str:
    """A file that only its owner reads; its name."""
    path.touch(0o600)
    path.write_text(text)
    return str(path)
