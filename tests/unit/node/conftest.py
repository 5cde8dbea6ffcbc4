"""A control plane in memory, a clock that stands still, and a local store of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dragons.core.clock import ManualClock
from dragons.sdk.instance import Instance
from dragons.sdk.localstore import LocalStore
from tests.unit.sdk.kit import Plane


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def plane(clock: ManualClock) -> Plane:
    return Plane(clock)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    with LocalStore(tmp_path / "tenant" / "local.db") as opened:
        yield opened


@pytest.fixture
def instance(plane: Plane, store: LocalStore) -> Instance:
    return plane.instance(store)
