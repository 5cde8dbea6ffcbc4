"""Histories of the control plane: every seed is another one, and a seed that fails fails again when it is repeated.

`DRAGONS_SEEDS=17,4711` runs just these. `make test` runs some hundred seeds, `make test-deep` thousands.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from dragons.control import policies
from dragons.liveness.policy import LivenessPolicy
from tests.simulation.history import Told, tell

# Many at a time, so that a run shows its progress without a line for each.
CHUNK = 10
USUAL, DEEP = 200, 5_000
# A file system in memory: what a disk loses is tested elsewhere.
MEMORY = Path("/dev/shm")  # noqa: S108 - a file system, not a file name that anybody could guess


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(mkdtemp(prefix="history-", dir=MEMORY if MEMORY.is_dir() else None))
    yield made
    shutil.rmtree(made)


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


@pytest.mark.parametrize("seeds", chunks(0, USUAL), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_promises_hold(folder: Path, seeds: list[int]) -> None:
    run_all(folder, seeds)


@pytest.mark.deep
@pytest.mark.parametrize("seeds", chunks(USUAL, DEEP), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_promises_hold_in_many_more(folder: Path, seeds: list[int]) -> None:
    run_all(folder, seeds)


def test_a_seed_replays(folder: Path) -> None:
    first = run(folder, 7)
    assert run(folder, 7) == first
    assert run(folder, 8) != first


def test_a_missing_fence_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The promises can be broken: without waiting for the old instance, a stranger refuses the ledger."""
    monkeypatch.setattr(policies, "policy_of", lambda *_: LivenessPolicy(fence_ms=0))
    for seed in range(100):
        try:
            run(folder, seed)
        except AssertionError as error:
            if "holder_unfenced" in str(error) or "holds the dispatch" in str(error):
                return
    pytest.fail("nothing noticed that two instances could act at once")
