"""A session of a runner against a control plane in memory, and a folder with a playbook in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dragons.core.clock import SystemClock
from dragons.node.playbook.book import Book, open_book
from dragons.node.playbook.prepare import ENTRIES
from dragons.sdk import session as sessions
from dragons.sdk.core import SessionCore
from dragons.sdk.localstore import LocalStore
from dragons.sdk.session import Session, working
from tests.unit.sdk import kit

AGENT = """
agent: shop
entrypoint: [dragons, playbook, run, .]
capabilities: [{capabilities}]
config: [playbook.yaml]
exclude: [postmortems/, data/]
"""
PLAYBOOK = """
version: 1
service: {command: [python3, service.py], stop_grace_seconds: 1}
restart: {attempts: 1, backoff_first_seconds: 0.05, reset_after_seconds: 60}
"""
SERVICE = "print('serving')\nraise SystemExit(3)\n"
RUNNER = (
    "run:service",
    "restart:service",
    "watch:service",
    "read:logs",
    "diagnose:failure",
    "write:postmortem",
)


def write_book(
    folder: Path, playbook: str = PLAYBOOK, service: str = SERVICE, more: tuple[str, ...] = ()
) -> Path:
    """A folder with an agent, its playbook and its service."""
    folder.mkdir(exist_ok=True)
    (folder / "agent.yaml").write_text(AGENT.format(capabilities=", ".join((*RUNNER, *more))))
    (folder / "playbook.yaml").write_text(playbook)
    (folder / "service.py").write_text(service)
    return folder


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return open_book(write_book(tmp_path / "shop"))


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> kit.Plane:
    """Its catalogue knows the words of playbooks; by the machine's own clocks."""
    for name in ENTRIES:
        monkeypatch.setitem(kit.RISKS, name, "low")
    made = kit.Plane(SystemClock())  # type: ignore[arg-type]

    class Wire:
        def __init__(self, *_: object, **__: object) -> None:
            self.send = made.send

        def close(self) -> None: ...

    monkeypatch.setattr(sessions, "Transport", Wire)
    monkeypatch.setattr(sessions, "FLUSH_SECONDS", 0.0)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    with LocalStore(tmp_path / "local.db") as opened:
        yield opened


@pytest.fixture
def session(plane: kit.Plane, store: LocalStore) -> Iterator[Session]:
    """Holds what a runner holds: all but the notifications."""
    scope = sorted({*RUNNER, "ask:model"})
    with working(SessionCore(plane.instance(store, scope=scope), "keep shop running")) as opened:
        yield opened
