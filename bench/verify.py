"""Receipts verified per second against bare Ed25519 on the same cores, in one run, with memory.

`measure(n)` builds a pack of n receipts of work in sessions of `CYCLES`, verifies it with every
verdict on all cores, and lets the same number of processes verify the same number of signatures
and do nothing else.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import psutil  # type: ignore[import-untyped]

from bench.figures import Pair, paired
from bench.processes import end_with_parent
from dragons.audit.pack import FORMAT, Contents, Head, open_pack, write_pack
from dragons.audit.select import PackLines, Placed, pack_statement
from dragons.audit.verify import verify_file
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import pae, payload_type, sign
from dragons.evidence.checkpoint import sign_checkpoint
from dragons.evidence.payload import Payload
from tests.support import work
from tests.support.ledger import MINUTE_MS
from tests.support.packs import LEDGER, PAGE, README
from tests.support.story import launched

CYCLES = 47
_SIGNATURES_PER_RECEIPT = 2


def build(path: Path, receipts: int, *, payloads: bool) -> str:
    """Write a ledger pack with `receipts` receipts of work; returns the pin. Holds one receipt at a time."""
    story = launched("bench")
    book = story.book
    book.step_ms = 130
    kept: list[Payload] = []

    def placed() -> Iterator[Placed]:
        yield from _drain()
        session, agent, done = story.session, story.agent, 0
        while done < receipts:
            for _ in range(min(CYCLES, receipts - done)):
                work.work(book, session)
                done += 1
                yield from _drain()
            work.close_session(book, session)
            if done % (CYCLES * 20) == 0:
                work.release(book, agent)
                agent = book.lease(story.dock, key_name="bench", ttl_ms=30 * MINUTE_MS)
            if done < receipts:
                session = work.open_session(book, agent, "measure")
            yield from _drain()

    def _drain() -> Iterator[Placed]:
        yield from book.placed
        kept.extend(book.payloads.values() if payloads else ())
        book.placed.clear()
        book.headers.clear()
        book.nodes.clear()
        book.payloads.clear()

    lines = PackLines(LEDGER, placed(), (), 0, book.read_node)
    with path.open("wb") as file:
        contents = Contents(lines, iter(kept) if payloads else None, (), PAGE, README)
        write_pack(file, contents, lambda: _head(book, lines, redacted=not payloads))
    return book.pin


def _head(book: Any, lines: PackLines, *, redacted: bool) -> Head:  # noqa: ANN401 - the support module's Book
    size, root = book.head.next_seq, book.head.tree.root()
    body = pack_statement(
        LEDGER,
        lines.shown,
        pack_id=f"pck_{lines.shown.digest[:32]}",
        tenant_id=book.tenant_id,
        tree_size=size,
        root=root.hex(),
        exported_at=book.time(),
    )
    return Head(
        format=FORMAT,
        statement=sign("pack", body, book.ledger),
        end=sign_checkpoint(book.tenant_id, size, root, book.ledger),
        redacted=redacted,
    )


def raw(count: int, workers: int) -> float:
    """Seconds in which `workers` processes verify `count` Ed25519 signatures of a receipt's size."""
    each = count // workers
    with ProcessPoolExecutor(workers, get_context("forkserver"), end_with_parent) as pool:
        list(pool.map(_verify, [64] * workers))
        began = time.perf_counter()
        list(pool.map(_verify, [each] * workers))
        return time.perf_counter() - began


def _verify(count: int) -> int:
    signer = LocalSigner.from_seed(bytes(32), KeyRole.LEDGER)
    message = pae(payload_type("receipt"), b"x" * 900)
    signature, key = signer.sign(message), signer.public_key
    return sum(key.verify(signature, message) for _ in range(count))


class _Watch(threading.Thread):
    """What this process and its children used, seen every 50 ms: largest resident sizes, processor time."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.parent = self.child = self.total = 0
        self._seconds: dict[int, float] = {}
        self._before: dict[int, float] = {}
        self._done = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        self._before = {me.pid: sum(me.cpu_times()[:2])}
        self._look(me)
        while not self._done.wait(0.05):
            self._look(me)

    def _look(self, me: psutil.Process) -> None:
        sizes = []
        for process in (me, *me.children(recursive=True)):
            try:
                with process.oneshot():
                    self._seconds[process.pid] = sum(process.cpu_times()[:2])
                    sizes.append(process.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        self.parent, self.child = max(self.parent, sizes[0]), max(self.child, *sizes[1:], 0)
        self.total = max(self.total, sum(sizes))

    def stop(self) -> float:
        """Processor seconds since the start, of all processes seen."""
        self._done.set()
        self.join()
        return sum(seconds - self._before.get(pid, 0.0) for pid, seconds in self._seconds.items())


class Verified(NamedTuple):
    """What was found for one pack. Rates are receipts a second; sizes are the largest seen, in MB."""

    receipts: int
    cores: int
    pair: Pair
    processor_ratio: float | None
    parent_mb: float
    child_mb: float
    all_mb: float
    built_seconds: float
    bytes_per_receipt: float


def measure(
    receipts: int = 20_000, *, payloads: bool = True, workers: int | None = None, rounds: int = 3
) -> Verified:
    """Both rates in turn, sizes and memory. Checks that the pack is valid and all of it was judged.

    `processor_ratio` compares processor time instead of time, which other work disturbs less; it is only
    right for minutes of work, because processes are seen every 50 ms, and None when none was seen.
    """
    cores = workers if workers is not None else (os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "pack.zip"
        began = time.perf_counter()
        pin = build(path, receipts, payloads=payloads)
        built = time.perf_counter() - began
        with open_pack(path) as reader:
            total = sum(1 for line in reader.lines() if line.startswith(b'{"record"'))
        pairs, bare_seconds, full_seconds, watch = [], 0.0, 0.0, _Watch()
        for _ in range(rounds):
            watch = _Watch()
            watch.start()
            bare = raw(_SIGNATURES_PER_RECEIPT * total, cores)
            bare_seconds += watch.stop()
            watch = _Watch()
            watch.start()
            full = _verified(path, pin, total, cores)
            full_seconds += watch.stop()
            pairs.append((total / bare, total / full))
        return Verified(
            total, cores, paired(pairs), bare_seconds / full_seconds if full_seconds else None, watch.parent / 1e6, watch.child / 1e6,
            watch.total / 1e6, built, path.stat().st_size / receipts,
        )  # fmt: skip


def _verified(path: Path, pin: str, total: int, cores: int) -> float:
    """Seconds for one verification with all verdicts."""
    began = time.perf_counter()
    report = verify_file(path, pin, workers=cores)
    took = time.perf_counter() - began
    assert report.valid, report.to_json()
    assert report.receipts == total
    return took


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    for name, value in measure(size, payloads="--redacted" not in sys.argv)._asdict().items():
        print(f"{name:20}", value)
