"""agent-governance-toolkit beside Dragons: its audit log with a file sink, and its credential check.

Its log chains entries and authenticates each with HMAC-SHA256 under one shared secret. It makes no signature,
checks none, and has no option to reach the disk before it returns. Both forms are measured: as it comes, for
information, and with an fsync after each entry, which is what "acknowledged is durable" costs its caller.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.append import AGENTS, append_rate
from bench.authorize import OF, decision_us
from bench.figures import Found, Line, alternate, compare, each
from bench.peers import Peer, missing, working
from bench.plane import Plane, opened
from bench.sizes import Sizes


def measure(sizes: Sizes) -> Found:
    """Appending and deciding, each in turn with the toolkit."""
    absent = missing()
    if absent is not None:
        return absent
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        working("bench.peer_toolkit", Path(folder)) as peer,
    ):
        return Found(
            [*_logs(Path(folder), peer, sizes), *(_credentials(peer, n, sizes) for n in sizes.credentials)]
        )


def _logs(folder: Path, peer: Peer, sizes: Sizes) -> list[Line]:
    with opened(folder, AGENTS) as plane:
        plane.append(sizes.appenders, 2)
        lines = [_many(plane, peer, sizes), _one(plane, peer, sizes), _as_it_comes(plane, peer, sizes)]
    peer.ask("check")
    return lines


def _many(plane: Plane, peer: Peer, sizes: Sizes) -> Line:
    pair = alternate(
        sizes.rounds,
        lambda: peer.ask("durable_log", count=sizes.durable_alone),
        lambda: append_rate(plane, sizes),
    )
    return compare(
        "durable log, many callers", pair,
        of=f"{sizes.appenders} appenders; 2 Ed25519 signatures made and 1 checked for each receipt",
        against=f"audit log {peer.tell('version')} with an fsync after each entry; HMAC, NO signature; one at a time",
    )  # fmt: skip


def _one(plane: Plane, peer: Peer, sizes: Sizes) -> Line:
    pair = alternate(
        sizes.rounds,
        lambda: peer.ask("durable_log", count=sizes.durable_alone),
        lambda: each(lambda _: plane.append_alone(plane.workers[0]), sizes.durable_alone),
    )
    return compare(
        "durable log, one caller", pair, target=None,
        of="one appender; the same signatures, one commit a receipt",
        against="as above: NO signature, no index, no recovery after a restart",
    )  # fmt: skip


def _as_it_comes(plane: Plane, peer: Peer, sizes: Sizes) -> Line:
    pair = alternate(
        sizes.rounds, lambda: peer.ask("log", count=sizes.operations // 10), lambda: append_rate(plane, sizes)
    )
    return compare(
        "log as it comes", pair, target=None,
        of=f"{sizes.appenders} appenders, durable and signed as above",
        against="audit log: NOT durable (no fsync), HMAC, NO signature made or checked",
    )  # fmt: skip


def _credentials(peer: Peer, count: int, sizes: Sizes) -> Line:
    pair = alternate(
        sizes.rounds,
        lambda: peer.ask("validate", credentials=count, calls=sizes.decisions),
        lambda: decision_us(sizes.decisions),
    )
    return compare(
        f"decision, credentials issued: {count:,}", pair, unit="µs", target=1.0, at_most=True, of=OF,
        against="CredentialManager.validate and has_capability; a random token, NO signature",
    )  # fmt: skip
