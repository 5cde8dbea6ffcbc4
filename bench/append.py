"""Durable receipts a second, in process, with every signature made and checked in the run.

64 tasks append at once, as the server's event loop would: each makes and signs a claim as the SDK does,
checks it as the API does, and waits until the writer has sealed, signed and committed it
(synchronous=FULL). The limit is what the same Ed25519 operations alone allow on one core.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.figures import Detail, Found, alternate, compare, rate
from bench.limit import Limit
from bench.plane import Plane, Worker, opened
from bench.sizes import Sizes
from dragons.adapters.sql.transaction import SqlTransaction
from dragons.control.append import CheckedClaim, append_claim, check_claim
from dragons.control.ports import Transaction

AGENTS = 8
TARGET = 0.5


def measure(sizes: Sizes) -> Found:
    """The rate beside its limit, where the time goes, and how many receipts share a commit."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, opened(Path(folder), AGENTS) as plane:
        limit = Limit(*plane.sample())
        limit.measure(10)
        plane.append(sizes.appenders, 2)
        count = sizes.appenders * sizes.receipts_each
        before, processor = plane.size(), []

        def ours() -> float:
            begin = time.process_time()
            found = append_rate(plane, sizes)
            processor.append((time.process_time() - begin) * 1e6 / count)
            return found

        pair = alternate(sizes.rounds, limit.measure, ours)
        assert plane.size() - before == count * sizes.rounds
        line = compare(
            "durable receipts, in process", pair, target=TARGET,
            of=f"{sizes.appenders} appenders; each receipt claimed, signed, checked, sealed, signed, committed",
            against="the same 2 signatures and 1 verification alone, one core",
        )  # fmt: skip
        used = Detail("processor time", median(processor), "µs", "of all threads, for one receipt")
        return Found([line], [used, *_groups(plane, sizes), *_shares(plane, limit, sizes, pair.ours.median)])


def append_rate(plane: Plane, sizes: Sizes) -> float:
    """Durable receipts a second with all appenders at once."""
    count = sizes.appenders * sizes.receipts_each
    return rate(lambda: plane.append(sizes.appenders, sizes.receipts_each), count)


def _groups(plane: Plane, sizes: Sizes) -> list[Detail]:
    # Jobs of one group share one transaction; a store that notes which they share shows the groups.
    seen: list[Transaction] = []
    watched = plane._replace(store=_Watched(plane, seen))  # type: ignore[arg-type]
    watched.append(sizes.appenders, sizes.receipts_each)
    groups = list(Counter(id(tx) for tx in seen).values())
    return [
        Detail("group, median", median(groups), "receipts", "receipts that share one commit"),
        Detail("group, largest", max(groups), "receipts"),
    ]


class _Watched:
    """A store that keeps every job's transaction, so that none's identity is used again."""

    def __init__(self, plane: Plane, seen: list[Transaction]) -> None:
        self._write = plane.store.write
        self._seen = seen

    def write(self, job: Callable[[Transaction], object]) -> object:
        def noted(tx: Transaction) -> object:
            self._seen.append(tx)
            return job(tx)

        return self._write(noted)


def _shares(plane: Plane, limit: Limit, sizes: Sizes, rate_per_second: float) -> list[Detail]:
    """Microseconds of each step for one receipt, each step measured by itself, one after the other."""
    count = sizes.appenders * sizes.receipts_each
    worker = plane.workers[0]
    begin = time.perf_counter()
    statements = [worker.claim(plane.clock) for _ in range(count)]
    made = time.perf_counter()
    key = worker.stating.signer.public_key
    claims = [check_claim(worker.caller, statement, key) for statement in statements]
    checked = time.perf_counter()
    written = _write(plane, worker, claims, sizes.appenders)
    steps = {
        "make and sign the claim": made - begin,
        "check the claim's signature and form": checked - made,
        "decide, seal and sign the receipt": written.sealing,
        "insert": written.inserting,
        f"commit with fsync, {sizes.appenders} at once": written.committing,
    }
    us = 1e6 / count
    return [
        Detail("one receipt", 1e6 / rate_per_second, "µs", "the inverse of the rate"),
        Detail("Ed25519 alone", 1e6 / limit.measure(), "µs", "the inverse of the limit"),
        Detail("all steps", sum(steps.values()) * us, "µs", "more than one receipt where threads overlap"),
        *(Detail(name, value * us, "µs") for name, value in steps.items()),
    ]


class _Written(NamedTuple):
    sealing: float
    inserting: float
    committing: float


def _write(plane: Plane, worker: Worker, claims: Sequence[CheckedClaim], group: int) -> _Written:
    # Each group is one job, so that what passes outside the job is its commit.
    sealing = inserting = whole = 0.0
    for start in range(0, len(claims), group):
        part = claims[start : start + group]

        def job(tx: Transaction, part: Sequence[CheckedClaim] = part) -> tuple[float, float]:
            assert isinstance(tx, SqlTransaction)
            begin = time.perf_counter()
            for claim in part:
                append_claim(tx, plane.issuer, worker.caller, claim)
            sealed = time.perf_counter()
            tx.finish()
            return sealed - begin, time.perf_counter() - sealed

        begin = time.perf_counter()
        sealed, inserted = plane.store.write(job).result()
        whole += time.perf_counter() - begin
        sealing, inserting = sealing + sealed, inserting + inserted
    return _Written(sealing, inserting, whole - sealing - inserting)
