"""More histories, in a file of their own so that two processes share the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.seeds import DEEP, USUAL, chunks, run_all


@pytest.mark.parametrize("seeds", chunks(USUAL // 2, USUAL), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_promises_hold_in_more(folder: Path, seeds: list[int]) -> None:
    run_all(folder, seeds)


@pytest.mark.deep
@pytest.mark.parametrize("seeds", chunks(USUAL, DEEP), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_promises_hold_in_many_more(folder: Path, seeds: list[int]) -> None:
    run_all(folder, seeds)
