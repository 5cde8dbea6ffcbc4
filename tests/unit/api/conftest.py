"""One running control plane for all unit tests of the API, and a tenant with an agent in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import Instance, Plane, Tenant, serving


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with serving(tmp_path_factory.mktemp("plane") / "home") as made:
        yield made


@pytest.fixture(scope="module")
def tenant(plane: Plane) -> Tenant:
    """A tenant of this file's own."""
    return plane.tenant()


@pytest.fixture
def instance(tenant: Tenant) -> Instance:
    """An instance that just began."""
    return tenant.launch()
