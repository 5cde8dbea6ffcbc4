"""The side of agent-governance-toolkit, in its own process: its audit log over a file, its credential check."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.figures import each, mixed, p50_us

ACTION = "write:ledger"
CAPABILITIES = ["read:payments", "read:statement", ACTION, "write:report"]
_DID = "did:mesh:reconciler"
_SECRET = b"a secret of the benchmark, 32 by"
_DATA = {"day": "2026-11-20", "rows": 118, "evidence": "statement.csv", "elapsed_ms": 3}


class Worker:
    """Each method returns operations a second, microseconds, or 1 for a check that held."""

    def __init__(self, folder: Path) -> None:
        from agentmesh.governance.audit import AuditLog  # noqa: PLC0415 - only in the peers' environment
        from agentmesh.governance.audit_backends import FileAuditSink  # noqa: PLC0415

        self._path = folder / "audit.jsonl"
        self._sink = FileAuditSink(self._path, _SECRET)
        self._log = AuditLog(sink=self._sink).log
        self._managers: dict[int, tuple[Any, list[str]]] = {}

    def version(self) -> str:
        """Of the package that holds both."""
        return version("agent-governance-toolkit-core")

    def log(self, count: int) -> float:
        """Entries a second as it comes."""
        return each(self._entry, count)

    def durable_log(self, count: int) -> float:
        """Entries a second with an fsync after each, as a caller would have to add it."""
        return each(self._durable_entry, count)

    def check(self) -> float:
        """Reads the file back, checks chain and HMAC."""
        valid, why = self._sink.verify_integrity()
        assert valid, why
        return 1.0

    def validate(self, credentials: int, calls: int) -> float:
        """Median microseconds of one check among `credentials` that were issued."""
        manager, tokens = self._issued(credentials)
        places = mixed(calls + 100, credentials)
        assert manager.validate(tokens[-1]).has_capability(ACTION)
        return p50_us(lambda: manager.validate(tokens[next(places)]).has_capability(ACTION), calls)

    def _entry(self, number: int) -> None:
        self._log("tool_invocation", _DID, ACTION, resource=f"statement-{number}.csv", data=_DATA)

    def _durable_entry(self, number: int) -> None:
        self._entry(number)
        make_durable(self._path)

    def _issued(self, credentials: int) -> tuple[Any, list[str]]:
        if credentials not in self._managers:
            from agentmesh.identity.credentials import CredentialManager  # noqa: PLC0415

            manager = CredentialManager()
            issued = [
                manager.issue(f"{_DID}-{number}", capabilities=CAPABILITIES, ttl_seconds=3_600)
                for number in range(credentials)
            ]
            self._managers[credentials] = manager, [one.token for one in issued]
        return self._managers[credentials]


def make_durable(path: Path) -> None:
    """Fsync of a file that somebody else has written and closed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
