"""How fast a stranger verifies a pack, against bare signature checks on the same cores, and in how much memory.

Measured by `bench.verify`, each size in a new process: resident memory must not be that of what was
measured before.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from bench import verify
from bench.figures import Detail, Found, Line, compare, spread
from bench.processes import end_with_parent
from bench.sizes import Sizes

TARGET = 0.8
MEMORY_MB_MAX = 300


def measure(sizes: Sizes) -> Found:
    """The rate for a pack with payloads, and the memory for a large one without, as the API exports it."""
    rated = _apart(sizes.pack_receipts, payloads=True, rounds=sizes.rounds)
    large = _apart(sizes.pack_receipts_large, payloads=False, rounds=1)
    return Found([
        compare(
            "receipts verified", rated.pair, target=TARGET,
            of=f"pack of {rated.receipts:,} with payloads, all verdicts, {rated.cores} cores",
            against="the same 2 Ed25519 verifications a receipt alone, same cores",
        ),
        Line(
            name="memory to verify",
            of=f"pack of {large.receipts:,}: this process and its workers together, largest resident",
            ours=spread([large.all_mb]), unit="MB", target=MEMORY_MB_MAX, at_most=True,
        ),
    ], [
        *(
            [Detail("large pack, processor time", large.processor_ratio, "of limit", "the same in processor time")]
            if large.processor_ratio is not None
            else []
        ),
        Detail("large pack, rate", large.pair.ours.median, "/s", "one round"),
        Detail("large pack, ratio", large.pair.ratio.median, "of limit", "one round"),
        Detail("large pack, process", large.parent_mb, "MB", "largest resident"),
        Detail("large pack, worker", large.child_mb, "MB", "largest resident of one"),
        Detail("large pack, building", large.built_seconds, "s", "every statement signed, one core"),
        Detail("large pack, file", large.bytes_per_receipt, "bytes", "a receipt, without payloads"),
        Detail("pack with payloads, file", rated.bytes_per_receipt, "bytes", "a receipt"),
    ])  # fmt: skip


def _apart(receipts: int, *, payloads: bool, rounds: int) -> verify.Verified:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent) as one:
        return one.submit(verify.measure, receipts, payloads=payloads, rounds=rounds).result()
