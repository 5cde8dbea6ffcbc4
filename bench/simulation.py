"""A thousand agents for thirty days of virtual time, with faults, in one process: the processor time it takes.

`tests.simulation.scale` says what is simulated and what stands in for what.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.figures import Detail, Found, Line, spread
from bench.sizes import Sizes
from dragons.compose import tune_interpreter
from tests.simulation.scale import cheap_signatures, run_scale
from tests.simulation.world import MEMORY

SEED = 20_261_121
TARGET_SECONDS = 120.0


def measure(sizes: Sizes) -> Found:
    """Processor seconds of one run, and how much happened in it."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=MEMORY) as folder:
        # As the server does when it starts.
        tune_interpreter()
        begin = time.process_time()
        with cheap_signatures():
            counted, run = run_scale(Path(folder), SEED, sizes.simulated_agents, sizes.simulated_days)
        seconds = time.process_time() - begin
        run.world.plane.store.close()
    line = Line(
        name=f"simulating {counted.agents:,} agents for {counted.days} days",
        of="processor time of the whole control plane and its agents, one process",
        ours=spread([seconds]), unit="s", target=TARGET_SECONDS, at_most=True,
    )  # fmt: skip
    return Found([line], [
        Detail("dispatches", counted.dispatches, "", "ordered"),
        Detail("launches", counted.launches, "", "first instances and those that healing started"),
        Detail("heartbeats", counted.heartbeats, "", "the last before each look at an instance"),
        Detail("timers", counted.timers, "", "fired"),
        Detail("outages", counted.outages, "", "of the control plane"),
        Detail("interventions", counted.interventions, "", "releases of quarantined agents"),
        Detail("receipts", counted.receipts, "", "in the ledger"),
    ])  # fmt: skip
