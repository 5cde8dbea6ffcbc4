"""`dragons bench`: how fast this machine does what Dragons does all day.

Each measurement does the real thing: real keys, a real store with synchronous commits, a real pack. The
benchmark suite in `bench/` measures more, beside limits and peers of the same run. Never reports a number it
did not measure.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Group
from rich.text import Text

from dragons.authority.decide import Allow, Holding, Now, Situation, decide
from dragons.cli.command import START, command
from dragons.cli.context import Cli
from dragons.cli.output import table
from dragons.core.errors import DragonsError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import OrganismState, Risk

if TYPE_CHECKING:
    from rich.console import RenderableType

APPENDERS = 64
_MESSAGE = b"\x5a" * 600  # about a canonical receipt header
_BLOCK = b"\0" * 4096
_BATCH = 50
# More than any machine appends; the measurement ends early where it was too few.
_CLAIMS_PER_SECOND_MAX = 20_000
_WHOLE_FROM = 100


class BenchError(DragonsError):
    """What was to be measured did not happen."""

    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(
            "bench_failed", message, fix="Report it: a number that was not measured is not shown."
        )


class Measure(msgspec.Struct, frozen=True):
    """One number with its unit, and what it is of."""

    name: str
    value: float
    unit: str
    of: str


def register(app: typer.Typer) -> None:
    """Add `dragons bench`."""
    command(app, "bench", example="dragons bench --seconds 2", panel=START)(bench)


def bench(
    cli: Cli,
    *,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.05, max=60, help="How long each measurement takes.")
    ] = 1.0,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir", metavar="DIR", help="Where the temporary store is made: the disk that is measured."
        ),
    ] = None,
) -> None:
    """Measure this machine: signatures, durable receipts, decisions, verification; and their ratios."""
    with tempfile.TemporaryDirectory(prefix="dragons-bench-", dir=directory) as folder:
        measures = [
            sign_rate(seconds),
            verify_rate(seconds),
            fsync_time(Path(folder), seconds),
            decision_time(seconds),
        ]
        measures += store_and_verify(Path(folder), seconds)
    found = {measure.name: measure for measure in measures}
    ratios = ratios_of(found)
    cli.printer.data({"measures": measures, "ratios": ratios}, lambda: _view(measures, ratios))


def sign_rate(seconds: float) -> Measure:
    """Ed25519 signatures made in a second, on one core."""
    signer = LocalSigner.generate(KeyRole.LEDGER)
    rate = _rate(lambda: signer.sign(_MESSAGE), seconds)
    return Measure("sign", rate, "/s", "Ed25519 signatures over 600 bytes, one core")


def verify_rate(seconds: float) -> Measure:
    """Ed25519 signatures verified in a second, on one core."""
    signer = LocalSigner.generate(KeyRole.LEDGER)
    signature, key = signer.sign(_MESSAGE), signer.public_key
    rate = _rate(lambda: key.verify(signature, _MESSAGE), seconds)
    return Measure("verify", rate, "/s", "Ed25519 verifications over 600 bytes, one core")


def fsync_time(folder: Path, seconds: float) -> Measure:
    """How long the disk takes to make 4 KiB durable, median."""
    with (folder / "fsync").open("wb", buffering=0) as file:

        def once() -> None:
            file.write(_BLOCK)
            os.fsync(file.fileno())

        return Measure(
            "fsync", statistics.median(_times_us(once, seconds)), "µs", "append 4 KiB and fsync, median"
        )


def decision_time(seconds: float) -> Measure:
    """How long the SDK's own decision takes, median: a verified lease, a fresh view of revocations."""
    scope = [f"read:resource-{number}" for number in range(16)]
    holding = Holding(
        lease_id="lse_" + "0" * 32, tenant_id="tnt_" + "0" * 32, instance_id="0" * 32, epoch=1,
        scope=frozenset(scope), not_before_ms=0, expires_ms=10**12, boot_deadline_ms=10**12, wall_minus_boot_ms=0,
        path=tuple(f"lease:lse_{number:032x}" for number in range(6)),
    )  # fmt: skip
    situation = Situation(
        tenant_id=holding.tenant_id, epoch=1, state=OrganismState.RUNNING,
        revoked=frozenset(f"lease:lse_{number:032x}" for number in range(1000, 11_000)),
        risks=dict.fromkeys(scope, Risk.LOW), as_of_boot_ms=1_000,
    )  # fmt: skip
    now = Now(1_000, 1_000)
    if not isinstance(decide(scope[3], holding, situation, now, online=False), Allow):
        raise BenchError("The decision that is measured was denied.")
    times = _times_us(lambda: decide(scope[3], holding, situation, now, online=False), seconds)
    return Measure(
        "decide", statistics.median(times), "µs", "decision in the SDK, 10,000 revocations, median"
    )


def store_and_verify(folder: Path, seconds: float) -> list[Measure]:
    """Durable receipts a second with 64 appenders at once, then verification of what they wrote."""
    from dragons.cli.bench_store import BenchStore

    with BenchStore(folder, claims=max(APPENDERS, int(seconds * _CLAIMS_PER_SECOND_MAX))) as store:
        appended, taken_s = concurrently(store.append, APPENDERS, seconds)
        pack = store.export(folder / "bench.zip")
        start = time.perf_counter()
        report = store.verify(pack)
        verified_s = time.perf_counter() - start
    if not report.valid:
        raise BenchError(f"The pack that the benchmark made is not valid: {report.to_json()['verdicts']}.")
    return [
        Measure("append", appended / taken_s, "/s", f"durable receipts, {APPENDERS} appenders at once"),
        Measure(
            "replay",
            report.receipts / verified_s,
            "/s",
            f"receipts verified from a pack of {report.receipts}",
        ),
    ]


def ratios_of(found: dict[str, Measure]) -> dict[str, float]:
    """What the numbers say about each other, free of this machine's speed."""
    fsyncs = 1e6 / found["fsync"].value
    return {
        "receipts per fsync": found["append"].value / fsyncs,
        "receipts per signature made": found["append"].value / found["sign"].value,
        "verified receipts per bare verification": found["replay"].value / found["verify"].value,
        "decisions per verification": (1e6 / found["decide"].value) / found["verify"].value,
    }


def concurrently(work: Callable[[int], None], workers: int, seconds: float) -> tuple[int, float]:
    """How often `work` was done by `workers` threads in about `seconds`, and the time it took."""
    from dragons.cli.bench_store import ExhaustedError

    counts = [0] * workers
    failed: list[BaseException] = []
    end = threading.Event()

    def go(number: int) -> None:
        try:
            while not end.is_set():
                work(number)
                counts[number] += 1
        except ExhaustedError:
            end.set()
        except BaseException as error:  # noqa: BLE001 - told by the caller's thread
            failed.append(error)
            end.set()

    threads = [threading.Thread(target=go, args=(number,)) for number in range(workers)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    end.wait(seconds)
    end.set()
    for thread in threads:
        thread.join()
    taken_s = time.perf_counter() - start
    if failed:
        raise failed[0]
    return sum(counts), taken_s


def _rate(once: Callable[[], object], seconds: float) -> float:
    times = _times_us(once, seconds)
    return 1e6 / statistics.median(times)


def _times_us(once: Callable[[], object], seconds: float) -> Sequence[float]:
    """Microseconds of single calls, measured in batches until `seconds` have passed."""
    once()
    first = time.perf_counter()
    once()
    # A slow call is measured alone, a quick one in batches, so that the clock itself doesn't count.
    batch = 1 if time.perf_counter() - first > 1e-4 else _BATCH  # noqa: PLR2004 - 100 µs
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(batch):
            once()
        times.append((time.perf_counter() - start) * 1e6 / batch)
    return times


def _view(measures: list[Measure], ratios: dict[str, float]) -> RenderableType:

    rows = [
        (m.name, f"{m.value:,.0f}" if m.value >= _WHOLE_FROM else f"{m.value:.2f}", m.unit, m.of)
        for m in measures
    ]
    shown = [(name, f"{value:.2f}") for name, value in ratios.items()]
    return Group(table(("measure", "value", "", "of"), rows), Text(""), table(("ratio", "value"), shown))
