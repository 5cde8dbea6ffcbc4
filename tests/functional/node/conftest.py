"""A control plane, nodes and agents' programs, each a process of its own; policies of seconds instead of hours."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from dragons.wire.dispatches import DispatchDetail
from tests.functional.plane import ControlPlane

T = TypeVar("T")

PROGRAM = [sys.executable, "-m", "dragons.cli"]
SECONDS_MAX = 90
POLICY = [
    "--degrade-after", "3s", "--autoheal-after", "6s", "--lease-grace", "5s", "--heal-timeout", "60s",
    "--backoff-first", "1s", "--backoff-longest", "2s", "--restarts-max", "3",
]  # fmt: skip


def until(look: Callable[[], T], what: str) -> T:
    """What `look` finds, as soon as it finds something."""
    last = time.monotonic() + SECONDS_MAX
    while not (found := look()):
        assert time.monotonic() < last, f"waited in vain for {what}"
        time.sleep(0.1)
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class World:
    """One home with its control plane, and the command line as a user has it."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.client = plane.client()

    def environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")}
        return own | {"DRAGONS_HOME": str(self.plane.home.folder)}

    def run(self, *words: str, expected: int = 0) -> str:
        done = subprocess.run(
            [*PROGRAM, *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == expected, f"{words}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    def start(self, *words: str, log: Path, **more: Any) -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            return subprocess.Popen(
                [*PROGRAM, *words], env=self.environment(), stderr=out, **({"stdout": out} | more)
            )

    def create(self, program: Path, *options: str, node: str) -> str:
        """Dispatch a program; the dispatch's id."""
        words = ["--goal", "a test", "--node", node, "--agent", agent_of(program), *options, "-o", "json"]
        told = self.run("dispatch", "create", *words, "--", sys.executable, str(program))
        return str(json.loads(told)["dispatch_id"])

    def show(self, dispatch_id: str) -> DispatchDetail:
        return self.client.dispatch(dispatch_id)

    def state(self, dispatch_id: str) -> str:
        return self.show(dispatch_id).view.state

    def until_state(self, dispatch_id: str, state: str) -> None:
        until(lambda: self.state(dispatch_id) == state, f"{state} instead of {self.show(dispatch_id).view}")

    def logs(self, dispatch_id: str, epoch: int) -> str:
        folder = self.plane.home.store_path(self.plane.tenant_id).parent / "logs" / dispatch_id
        path = folder / f"{epoch}.log"
        return path.read_text() if path.is_file() else ""

    def line(self, dispatch_id: str, epoch: int, begins: str) -> str:
        """The rest of the first line of an epoch's output that begins so, once it is there."""

        def look() -> str:
            lines = self.logs(dispatch_id, epoch).splitlines(keepends=True)
            return next((one for one in lines if one.startswith(begins) and one.endswith("\n")), "")

        return until(look, f"{begins!r} of epoch {epoch}").removeprefix(begins).strip()

    def kinds(self, agent: str) -> list[str]:
        """The kinds of an agent's receipts, oldest first."""
        return [one.kind for one in self.client.receipts(agent=agent, limit=500).receipts]


def agent_of(program: Path) -> str:
    """An agent's name that is this test's own."""
    return "a" + program.parent.name.replace("_", "-").lower()[:50]


class Node:
    """A node in a process of its own."""

    def __init__(self, world: World, name: str, log: Path) -> None:
        self.world, self.name, self.log = world, name, log
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        words = ("node", "--name", self.name, "-o", "json")
        process = self.world.start(*words, log=self.log, stdout=subprocess.PIPE)
        assert process.stdout is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if waiting.select(SECONDS_MAX) else b""
        if not line:
            process.kill()
            process.wait()
            process.stdout.close()
            pytest.fail(self.log.read_text())
        assert json.loads(line)["node"] == self.name
        return process

    def restart(self) -> None:
        self.process = self._start()

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(SECONDS_MAX)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    plane = ControlPlane(tmp_path_factory.mktemp("plane"), heartbeat_seconds=1, sweep_seconds=0.2)
    plane.start()
    try:
        plane.publish()
        made = World(plane)
        made.run("policies", "set", "*", *POLICY)
        yield made
        made.client.close()
    finally:
        plane.kill()


@pytest.fixture
def node(world: World, tmp_path: Path) -> Iterator[Node]:
    """A node of this test's own, that takes its programs along at the end."""
    made = Node(world, "n" + tmp_path.name.replace("_", "-").lower()[:50].strip("-"), tmp_path / "node.log")
    yield made
    if made.process.poll() is None:
        with suppress(ProcessLookupError):
            made.process.send_signal(signal.SIGCONT)
        made.end(signal.SIGKILL)


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a program's text; its file."""

    def write(text: str) -> Path:
        path = tmp_path / "program.py"
        path.write_text(text)
        return path

    return write
