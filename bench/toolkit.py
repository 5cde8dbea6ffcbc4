"""agent-governance-toolkit beside Dragons: its audit log with a file sink, and its credential check.

Its log chains entries and authenticates each with HMAC-SHA256 under one shared secret. It makes no
signature, checks none, and has no option to reach the disk before it returns. Both forms are measured: as it
comes, for information, and with an fsync after each entry, which is what "acknowledged is durable" costs it.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench.append import AGENTS, append_rate
from bench.authorize import ACTION, CAPABILITIES, OF, decision_us, p50_us
from bench.figures import Found, Line, alternate, compare, each, mixed
from bench.peers import make_durable, missing
from bench.plane import Plane, opened
from bench.sizes import Sizes

_DID = "did:mesh:reconciler"
_SECRET = b"a secret of the benchmark, 32 by"
_DATA = {"day": "2026-11-20", "rows": 118, "evidence": "statement.csv", "elapsed_ms": 3}


def measure(sizes: Sizes) -> Found:
    """Appending and deciding, each in turn with the toolkit."""
    absent = missing("agentmesh", "agent-governance-toolkit")
    if absent is not None:
        return absent
    with warnings.catch_warnings():
        # The package announces its own new name on import.
        warnings.simplefilter("ignore", DeprecationWarning)
        from agentmesh.identity.credentials import CredentialManager  # noqa: PLC0415 - absent elsewhere
    return Found([*_logs(sizes), *(_credentials(CredentialManager, n, sizes) for n in sizes.credentials)])


class _Log(NamedTuple):
    """Their audit log over a file."""

    log: Callable[..., object]
    sink: Any
    path: Path

    def entry(self, number: int) -> None:
        self.log("tool_invocation", _DID, ACTION, resource=f"statement-{number}.csv", data=_DATA)

    def durable_entry(self, number: int) -> None:
        self.entry(number)
        make_durable(self.path)

    def check(self) -> None:
        valid, why = self.sink.verify_integrity()
        assert valid, why


def _log_at(path: Path) -> _Log:
    from agentmesh.governance.audit import AuditLog  # noqa: PLC0415 - absent elsewhere
    from agentmesh.governance.audit_backends import FileAuditSink  # noqa: PLC0415

    sink = FileAuditSink(path, _SECRET)
    return _Log(AuditLog(sink=sink).log, sink, path)


def _logs(sizes: Sizes) -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, opened(Path(folder), AGENTS) as plane:
        theirs = _log_at(Path(folder) / "audit.jsonl")
        plane.append(sizes.appenders, 2)
        lines = [_many(plane, theirs, sizes), _one(plane, theirs, sizes), _as_it_comes(plane, theirs, sizes)]
        theirs.check()
    return lines


def _many(plane: Plane, theirs: _Log, sizes: Sizes) -> Line:
    pair = alternate(
        sizes.rounds,
        lambda: each(theirs.durable_entry, sizes.durable_alone),
        lambda: append_rate(plane, sizes),
    )
    return compare(
        "durable log, many callers", pair,
        of=f"{sizes.appenders} appenders; 2 Ed25519 signatures made and 1 checked for each receipt",
        against="audit log with an fsync after each entry; HMAC, no signature; a lock serves one at a time",
    )  # fmt: skip


def _one(plane: Plane, theirs: _Log, sizes: Sizes) -> Line:
    pair = alternate(
        sizes.rounds,
        lambda: each(theirs.durable_entry, sizes.durable_alone),
        lambda: each(lambda _: plane.append_alone(plane.workers[0]), sizes.durable_alone),
    )
    return compare(
        "durable log, one caller", pair,
        of="one appender; the same signatures, one commit a receipt",
        against="as above",
    )  # fmt: skip


def _as_it_comes(plane: Plane, theirs: _Log, sizes: Sizes) -> Line:
    pair = alternate(
        sizes.rounds, lambda: each(theirs.entry, sizes.operations // 10), lambda: append_rate(plane, sizes)
    )
    return compare(
        "log as it comes", pair, target=None,
        of=f"{sizes.appenders} appenders, durable and signed as above",
        against="audit log: NOT durable (no fsync), HMAC, no signature made or checked",
    )  # fmt: skip


def _credentials(manager_type: Callable[[], Any], count: int, sizes: Sizes) -> Line:
    manager = manager_type()
    tokens = [
        manager.issue(f"{_DID}-{number}", capabilities=CAPABILITIES, ttl_seconds=3_600).token
        for number in range(count)
    ]

    def theirs() -> float:
        places = mixed(sizes.decisions + 100, count)
        return p50_us(lambda: manager.validate(tokens[next(places)]).has_capability(ACTION), sizes.decisions)

    pair = alternate(sizes.rounds, theirs, lambda: decision_us(sizes.decisions))
    assert manager.validate(tokens[-1]).has_capability(ACTION)
    return compare(
        f"decision, credentials issued: {count:,}", pair, unit="µs", target=1.0, at_most=True, of=OF,
        against="CredentialManager.validate and has_capability; a random token, no signature",
    )  # fmt: skip
