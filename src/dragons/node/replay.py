"""The replay of a run: its sessions are exported, completed with their payloads, and verified as a stranger would.

Never calls a replay a pass that was not made, or that verified less than every session of the run.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from dragons.audit.verdicts import Report
from dragons.audit.verify import verify_file
from dragons.core.errors import DragonsError
from dragons.node.options import RunResult
from dragons.sdk.client import OperatorClient
from dragons.sdk.localstore import LocalStore
from dragons.sdk.packs import export_pack
from dragons.wire.evidence import PackRequest

PASS = "pass"  # noqa: S105 - a verdict
FAIL = "fail"


def replay(client: OperatorClient, store: LocalStore, result: RunResult, pin: str) -> RunResult:
    """`result` with the verdict about its sessions."""
    if not pin:
        return replace(result, replay="not made: this home pins no root fingerprint")
    if result.waiting:
        return replace(result, replay=f"not made: {result.waiting} receipts wait to be sent")
    reports: list[Report] = []
    try:
        with tempfile.TemporaryDirectory(prefix="dragons-replay-") as folder:
            for number, session_id in enumerate(result.sessions):
                target = Path(folder) / f"{number}.zip"
                export_pack(client, PackRequest(session_id=session_id), target, store)
                reports.append(verify_file(target, pin))
    except DragonsError as error:
        return replace(result, replay=f"not made: {error.code}", reports=tuple(reports))
    verdict = PASS if all(report.valid for report in reports) else FAIL
    return replace(result, replay=verdict, reports=tuple(reports))
