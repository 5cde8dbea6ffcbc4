"""A folder in memory for each history: what a disk loses is tested elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

MEMORY = Path("/dev/shm")  # noqa: S108 - a file system, not a file name that anybody could guess


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(mkdtemp(prefix="history-", dir=MEMORY if MEMORY.is_dir() else None))
    yield made
    shutil.rmtree(made)
