"""From the moment at which a silence is too long to the moment at which the next instance holds a lease.

`dragons up` with its node, and real programs that never make progress. Both moments are the ledger's: the
launch of one instance plus the policy's threshold, and the receipt of the next one's lease. In between lie the
sweep that notices, the withdrawal, the end of the old program, which the node reports, and the new launch.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

from bench.figures import Detail, Found, Line, spread
from bench.over_http import serving
from bench.sizes import Sizes
from dragons.compose import create_home
from dragons.core.clock import SystemClock, parse_time
from dragons.core.vocabulary import Kind
from dragons.sdk.client import OperatorClient
from dragons.sdk.home import Home
from dragons.settings import load_settings

DEGRADE_SECONDS, AUTOHEAL_SECONDS = 5, 10
# Of the server's defaults, which it runs with.
SWEEP_MS = 5_000
TARGET = 2.0
_PATIENCE_SECONDS = 1_800
_LOOK_SECONDS = 2.0
_POLICY = (
    "--degrade-after", f"{DEGRADE_SECONDS}s", "--autoheal-after", f"{AUTOHEAL_SECONDS}s",
    "--restarts-max", "1000", "--restart-window", "1s",
)  # fmt: skip


def measure(sizes: Sizes) -> Found:
    """The times of `heals` redispatches of `heal_programs` programs that run side by side."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        settings = load_settings(home=Path(folder) / "home")
        home = create_home(settings, "bench", "bench")
        with serving(settings.home, node=True) as server:
            url = f"http://{server.host}:{server.port}"
            _dragons(settings.home, url, "policies", "set", "*", *_POLICY)
            for number in range(sizes.heal_programs):
                _dragons(
                    settings.home, url, "dispatch", "create", "--agent", f"sleeper-{number}", "--goal", "sleep",
                    "--", "sleep", "1000000",
                )  # fmt: skip
            token = Home(settings.home).token(home.tenant_id)
            with OperatorClient(url, token, clock=SystemClock()) as client:
                times_ms = _wait(client, sizes)
    cuts = quantiles(times_ms, n=100, method="inclusive") if len(times_ms) > 1 else times_ms * 99
    line = Line(
        name="threshold passed to the next lease, 99 %",
        of=f"{len(times_ms)} redispatches of {sizes.heal_programs} real programs, in sweep intervals of {SWEEP_MS // 1000} s",
        ours=spread([cuts[98] / SWEEP_MS]), unit="intervals", target=TARGET, at_most=True,
    )  # fmt: skip
    return Found([line], [
        Detail("redispatch, median", median(times_ms) / 1e3, "s", "from threshold to lease"),
        Detail("redispatch, 99 %", cuts[98] / 1e3, "s"),
        Detail("redispatch, longest", max(times_ms) / 1e3, "s"),
    ])  # fmt: skip


def _wait(client: OperatorClient, sizes: Sizes) -> list[int]:
    found: list[int] = []
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        found = _times_ms(client)
        if len(found) >= sizes.heals:
            return found
        time.sleep(_LOOK_SECONDS)
    msg = f"only {len(found)} of {sizes.heals} redispatches within {_PATIENCE_SECONDS} s"
    raise TimeoutError(msg)


def _times_ms(client: OperatorClient) -> list[int]:
    """For each lease but an agent's first: how long after the threshold of the one before it was issued."""
    issued: dict[str, list[int]] = {}
    after = -1
    while page := client.receipts(after, kind=Kind.LEASE_ISSUED.value, limit=500).receipts:
        for receipt in page:
            issued.setdefault(receipt.header["agent"], []).append(parse_time(receipt.issued_at))
        after = page[-1].seq
    return [
        later - before - AUTOHEAL_SECONDS * 1000
        for times in issued.values()
        for before, later in pairwise(times)
    ]


def _dragons(home: Path, url: str, *words: str) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")}
    command = [sys.executable, "-m", "dragons.cli", "--home", str(home), "--url", url, *words]
    subprocess.run(command, env=own, check=True, capture_output=True)  # noqa: S603 - our own program
