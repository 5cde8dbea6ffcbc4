"""A folder in memory for each history: what a disk loses is tested elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.simulation.world import MEMORY


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(mkdtemp(prefix="history-", dir=MEMORY))
    yield made
    shutil.rmtree(made)
