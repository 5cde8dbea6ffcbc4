"""The measurements by name, and how one is run: in a process of its own, so that none inherits another's memory.

A measurement that fails has found nothing and says why; the others go on.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context

import msgspec

from bench.figures import Found
from bench.machine import Machine
from bench.processes import end_with_parent
from bench.sizes import Sizes

# Name → (module with `measure`, what it answers). The order is that of the report.
MEASUREMENTS: dict[str, tuple[str, str]] = {
    "append": ("bench.append", "Durable receipts in process"),
    "http": ("bench.over_http", "Durable receipts over HTTP"),
    "authorize": ("bench.authorize", "The decision before every action"),
    "verify": ("bench.packs", "Verifying evidence packs"),
    "growth": ("bench.growth", "Appending to a large ledger"),
    "heartbeats": ("bench.heartbeats", "Signed heartbeats over HTTP"),
    "sweep": ("bench.sweep", "Sweeping a large fleet"),
    "redispatch": ("bench.redispatch", "Healing real programs"),
    "simulation": ("bench.simulation", "A month of a thousand agents"),
    "storage": ("bench.storage", "Bytes stored"),
    "toolkit": ("bench.toolkit", "Peer: agent-governance-toolkit"),
    "pymerkle": ("bench.merkle_trees", "Peer: pymerkle"),
}


class Run(msgspec.Struct, frozen=True):
    """One run of the suite: the command, the machine, and what each measurement found."""

    command: str
    machine: Machine
    found: dict[str, Found]

    @property
    def met(self) -> bool:
        """Every target was measured and met."""
        return all(found.met for found in self.found.values())


def run_all(names: Iterable[str], sizes: Sizes, say: Callable[[str], None]) -> dict[str, Found]:
    """What each of `names` found; `say` hears what is going on."""
    found = {}
    for name in names:
        say(f"measuring: {name}")
        found[name] = apart(MEASUREMENTS[name][0], sizes)
        if found[name].missing:
            say(f"not measured: {name}: {found[name].missing}")
    return found


def apart(module: str, sizes: Sizes) -> Found:
    """What `module` measures, in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent) as one:
        try:
            return one.submit(_measure, module, sizes).result()
        except Exception as error:  # noqa: BLE001 - half an hour of other figures is worth keeping
            traceback.print_exception(error)
            return Found(missing=f"{type(error).__name__}: {error}", crashed=True)


def _measure(module: str, sizes: Sizes) -> Found:
    measure: Callable[[Sizes], Found] = import_module(module).measure
    return measure(sizes)
