"""A control plane with a clock that stands still, a tenant, and a second one that is none of its business."""

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


@pytest.fixture
def globex(plane: Plane) -> Tenancy:
    return plane.tenant("globex")
