"""A store with one tenant, in a temporary file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.plane import Plane, Tenancy


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    made = Plane(tmp_path / "control.db")
    yield made
    made.store.close()


@pytest.fixture
def acme(plane: Plane) -> Tenancy:
    return plane.tenant("acme")
