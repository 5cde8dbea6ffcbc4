"""One running control plane for the functional tests of the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import Plane, serving


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with serving(tmp_path_factory.mktemp("plane") / "home") as made:
        yield made
