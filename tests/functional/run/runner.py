"""The launcher as a process of its own, for tests that send it signals: prints its result as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dragons.core.clock import SystemClock
from dragons.core.errors import DragonsError
from dragons.core.keys import KeyRole
from dragons.node.launcher import Launcher, run_governed
from dragons.node.options import RunOptions
from dragons.sdk.client import OperatorClient
from dragons.sdk.home import Home
from dragons.sdk.operator import Operator


def main() -> int:
    given: dict[str, Any] = json.loads(sys.argv[1])
    home, out = Home(Path(given["home"])), Path(given["out"])
    config = home.config()
    clock = SystemClock()
    with OperatorClient(config.url, home.token(config.tenant_id), clock=clock) as client:
        operator = (
            Operator(client, home.key(config.tenant_id, KeyRole.OPERATOR)) if given["operator"] else None
        )
        told: list[str] = []
        launcher = Launcher(home, client, clock, told.append, operator, config.root_fingerprint)
        options = {name: tuple(v) if isinstance(v, list) else v for name, v in given["options"].items()}
        options["watch"] = tuple(Path(one) for one in options.get("watch", ()))
        if "agent_dir" in options:
            options["agent_dir"] = Path(options["agent_dir"])
        try:
            result = run_governed(launcher, RunOptions(**options))
        except DragonsError as error:
            out.write_text(
                json.dumps({"code": error.code, "message": error.message, "fix": error.fix, "told": told})
            )
            return 99
        shown = {
            name: getattr(result, name)
            for name in (
                "agent", "version", "replay", "session_id", "receipt_id", "chain_root", "actions", "denied",
                "states", "heartbeat_age_ms", "waiting", "lease_id", "instance_id", "exit_code", "sessions",
                "progress",
            )
        }  # fmt: skip
        ended = {
            "exit_status": result.ended.exit_status,
            "signal": result.ended.signal,
            "stopped_because": result.ended.stopped_because,
            "outcome": result.ended.outcome.value,
            "stdout": [result.ended.stdout_sha256, result.ended.stdout_bytes],
            "stderr": [result.ended.stderr_sha256, result.ended.stderr_bytes],
        }
        out.write_text(json.dumps(shown | {"ended": ended, "told": told}))
        return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
