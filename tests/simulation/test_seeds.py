"""Histories of the control plane: every seed is another one, and a seed that fails fails again when it is repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragons.control import policies
from dragons.liveness.policy import LivenessPolicy
from tests.simulation.seeds import USUAL, chunks, run, run_all


@pytest.mark.parametrize("seeds", chunks(0, USUAL // 2), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_promises_hold(folder: Path, seeds: list[int]) -> None:
    run_all(folder, seeds)


def test_a_seed_replays(folder: Path) -> None:
    first = run(folder, 7)
    assert run(folder, 7) == first
    assert run(folder, 8) != first


def test_a_missing_fence_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The promises can be broken: without waiting for the old instance, a stranger refuses the ledger."""
    monkeypatch.setattr(policies, "policy_of", lambda *_: LivenessPolicy(fence_ms=0))
    # The first of these noticed it when they were chosen; a change of the world may leave it to others.
    for seed in (59, 68, 77, *range(40)):
        try:
            run(folder, seed)
        except AssertionError as error:
            if "holder_unfenced" in str(error) or "holds the dispatch" in str(error):
                return
    pytest.fail("nothing noticed that two instances could act at once")
