"""Whether appending costs the same in a large ledger as in a small one.

The large ledger is filled by jobs of `tx.append` with one prepared statement, which sequences, seals,
signs and commits each receipt but makes and checks no claim. Then the real append path is measured at
both sizes, each beside the Ed25519 limit of the same moment, because a fill takes minutes and a machine
changes its speed. The small ledger is new in every round, or it would grow.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path

from bench.append import AGENTS, append_rate
from bench.claims import ACTION
from bench.figures import Detail, Found, compare, paired, rate
from bench.limit import Limit
from bench.plane import Plane, Worker, make, opened
from bench.sizes import Sizes
from dragons.control.ports import About, Transaction
from dragons.control.standing import about, standing_of
from dragons.core.ids import CLAIM, new_id
from dragons.core.vocabulary import Kind, Outcome

TARGET = 0.8
JOB = 500
_IN_FLIGHT = 4


def measure(sizes: Sizes) -> Found:
    """The append rate at the large size against that at the small one, and the rate of filling."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        large = make(Path(folder) / "large", AGENTS)
        try:
            filled = rate(lambda: fill(large, sizes.ledger_large), sizes.ledger_large)
            large, reopen_large = reopen(large)
            limit = Limit(*large.sample())
            rounds = [
                _round(Path(folder) / str(number), large, limit, sizes) for number in range(sizes.rounds)
            ]
            size = large.size()
        finally:
            large.store.close()
        with opened(Path(folder) / "reopened", AGENTS) as small:
            fill(small, sizes.ledger_small)
            again, reopen_small = reopen(small)
            again.store.close()
    line = compare(
        f"appending at {sizes.ledger_large:,} receipts", paired(rounds), unit="of limit", target=TARGET,
        of=f"share of the Ed25519 limit at {sizes.ledger_large:,} receipts",
        against=f"the same at {sizes.ledger_small:,} receipts",
    )  # fmt: skip
    return Found([line], [
        Detail("receipts at the end", size, "receipts"),
        Detail("filling", filled, "/s", f"prepared statements, {JOB} a job: sealed, signed, committed"),
        Detail(f"open and append at {sizes.ledger_small:,}", reopen_small * 1e3, "ms", "recovery included"),
        Detail(f"open and append at {sizes.ledger_large:,}", reopen_large * 1e3, "ms", "recovery included"),
    ])  # fmt: skip


def _round(folder: Path, large: Plane, limit: Limit, sizes: Sizes) -> tuple[float, float]:
    with opened(folder, AGENTS) as small:
        fill(small, sizes.ledger_small)
        few = append_rate(small, sizes) / limit.measure()
    return few, append_rate(large, sizes) / limit.measure()


def reopen(plane: Plane) -> tuple[Plane, float]:
    """The plane with its store closed and opened again, and the seconds until the next receipt is durable."""
    plane.store.close()
    begin = time.perf_counter()
    again = plane.reopened()
    again.append_alone(again.workers[0])
    return again, time.perf_counter() - begin


def fill(plane: Plane, receipts: int) -> None:
    """Append `receipts` receipts of work with prepared statements."""
    waiting: deque[Future[None]] = deque()
    for number, start in enumerate(range(0, receipts, JOB)):
        job = _job(plane, plane.workers[number % len(plane.workers)], min(JOB, receipts - start))
        waiting.append(job)
        if len(waiting) > _IN_FLIGHT:
            waiting.popleft().result()
    for one in waiting:
        one.result()


def _job(plane: Plane, worker: Worker, count: int) -> Future[None]:
    statement, caller = worker.claim(plane.clock), worker.caller

    def run(tx: Transaction) -> None:
        header: About = {
            **about(tx, standing_of(tx, caller.tenant_id, caller.instance_id)),
            "session_id": worker.session_id,
            "action": ACTION,
            "payload_hash": statement.payload_digest(),
            "evidence": [],
            "outcome": Outcome.COMPLETED,
        }
        for _ in range(count):
            claim_id = new_id(CLAIM, tx.now_ms)
            tx.append(plane.tenant_id, Kind.WORK, statement, header, claim_id=claim_id)

    return plane.store.write(run)
