"""The control plane that is fuzzed, and one of everything in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.requests import World
from tests.support.server import Plane, serving


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with serving(tmp_path_factory.mktemp("plane") / "home", feed_poll_seconds=0.05) as made:
        yield made


@pytest.fixture(scope="session")
def world(plane: Plane) -> World:
    return World.of(plane.tenant())
