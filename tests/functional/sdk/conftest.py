"""A running control plane, and agents docked in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dragons.identity.measure import measure_directory
from tests.functional.plane import ControlPlane, make_agent

Docked = Callable[..., Path]


def _plane(folder: Path) -> Iterator[ControlPlane]:
    plane = ControlPlane(folder, heartbeat_seconds=1, sweep_seconds=0.5)
    plane.start()
    try:
        plane.publish()
        yield plane
    finally:
        plane.kill()


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Shared by the tests of a module; they leave it running."""
    yield from _plane(tmp_path_factory.mktemp("plane"))


@pytest.fixture
def own_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """For one test, which may kill it."""
    yield from _plane(tmp_path)


def dock(plane: ControlPlane, folder: Path, name: str, capabilities: list[str], **terms: object) -> Path:
    """An agent that is registered, active and docked to what it declares."""
    agent = make_agent(folder, name, sorted(capabilities))
    manifest = measure_directory(agent)
    with plane.client() as client:
        operator = plane.operator(client)
        registered = operator.register_manifest(manifest)
        operator.activate(name, registered.version)
        given = {"scope": capabilities, "instances_max": 20, **terms}
        operator.dock(name, **given)  # type: ignore[arg-type]
    return agent


@pytest.fixture
def docked(plane: ControlPlane, tmp_path: Path, request: pytest.FixtureRequest) -> Docked:
    """Docks an agent that is named after the test."""
    name = request.node.name.split("[")[0].removeprefix("test_").replace("_", "-")[:50]

    def make(capabilities: list[str], suffix: str = "", **terms: object) -> Path:
        return dock(plane, tmp_path / f"agent{suffix}", f"{name}{suffix}", capabilities, **terms)

    return make
