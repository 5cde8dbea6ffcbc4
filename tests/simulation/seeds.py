"""Running histories by their seeds, many at a time.

`DRAGONS_SEEDS=17,4711` runs just these. `make test` runs some hundred seeds, `make test-deep` thousands.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.simulation.history import Told, tell

# Many at a time, so that a run shows its progress without a line for each.
CHUNK = 10
USUAL, DEEP = 200, 5_000


def run(folder: Path, seed: int) -> Told:
    own = folder / str(seed)
    own.mkdir()
    try:
        return tell(own, seed)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}; repeat it with DRAGONS_SEEDS={seed}") from error
    finally:
        shutil.rmtree(own)


def run_all(folder: Path, seeds: list[int]) -> None:
    told = [run(folder, seed) for seed in seeds]
    # A world in which nothing happens would keep every promise.
    assert sum(one.actions for one in told) > 10 * len(seeds)
    assert sum(one.transitions for one in told) > 2 * len(seeds)


def chunks(first: int, last: int) -> list[list[int]]:
    chosen = os.environ.get("DRAGONS_SEEDS")
    if chosen:
        return [[int(seed)] for seed in chosen.split(",")] if first == 0 else []
    return [list(range(start, start + CHUNK)) for start in range(first, last, CHUNK)]
