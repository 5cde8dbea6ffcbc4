"""Whether appending costs the same in a large ledger as in a small one.

The large ledger is filled by jobs of many claims each, instead of one. Every claim is another one, made and
signed by its agent, judged, sequenced, sealed, signed and committed by the code that serves the API; left out
is only that the API checks each claim's signature before. Then the real append path is measured at both sizes,
each beside the Ed25519 limit of the same moment, because a fill takes minutes and a machine changes its
speed. The small ledger is new in every round, or it would grow.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path

from bench.append import AGENTS, append_rate
from bench.figures import Detail, Found, compare, paired, rate
from bench.limit import Limit
from bench.plane import Plane, Worker, make, opened
from bench.sizes import Sizes
from dragons.control.append import CheckedClaim, ClaimReceipt, append_claim
from dragons.control.ports import Transaction
from dragons.evidence.receipt import CLAIM, Claim

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
        Detail("filling", filled, "/s", f"{JOB} claims a job: signed, judged, sealed, signed, committed"),
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
    """Append `receipts` receipts of work."""
    waiting: deque[Future[None]] = deque()
    for number, start in enumerate(range(0, receipts, JOB)):
        waiting.append(_job(plane, plane.workers[number % len(plane.workers)], min(JOB, receipts - start)))
        if len(waiting) > _IN_FLIGHT:
            waiting.popleft().result()
    for one in waiting:
        one.result()


def _job(plane: Plane, worker: Worker, count: int) -> Future[None]:
    key = worker.stating.signer.public_key
    statements = (worker.claim(plane.clock) for _ in range(count))
    claims = [CheckedClaim(one.body(CLAIM, Claim), one, key) for one in statements]

    def run(tx: Transaction) -> None:
        for claim in claims:
            found = append_claim(tx, plane.issuer, worker.caller, claim)
            assert isinstance(found, ClaimReceipt), found

    return plane.store.write(run)
