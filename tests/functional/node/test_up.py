"""`dragons up` carries out dispatches by itself, and takes everything along when it ends."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.node.conftest import PROGRAM, SECONDS_MAX, lives, until

WAITING = "import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(600)\n"

Start = Callable[..., "Up"]


class Up:
    """A control plane as a person starts it."""

    def __init__(self, folder: Path, *words: str) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")}
        self.environment = own | {"DRAGONS_HOME": str(folder / "home")}
        self.folder = folder
        with (folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*PROGRAM, "up", "--port", "0", "-o", "json", *words],
                env=self.environment, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if waiting.select(SECONDS_MAX) else b""
        assert line, (folder / "up.log").read_text()

    def json(self, *words: str) -> dict[str, object]:
        done = subprocess.run(
            [*PROGRAM, *words, "-o", "json"], env=self.environment, capture_output=True, text=True, check=True
        )
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def create(self, text: str) -> str:
        program = self.folder / f"program{len(list(self.folder.glob('program*')))}.py"
        program.write_text(text)
        command = ["dispatch", "create", "--goal", "a test", "-o", "json", "--", sys.executable, str(program)]
        done = subprocess.run(
            [*PROGRAM, *command], env=self.environment, capture_output=True, text=True, check=True
        )
        return str(json.loads(done.stdout)["dispatch_id"])

    def pid(self, dispatch_id: str, epoch: int) -> int:
        def look() -> str:
            found = next(self.folder.glob(f"home/tenant/*/logs/{dispatch_id}/{epoch}.log"), None)
            return found.read_text() if found is not None else ""

        return int(until(look, "the program").split()[1])

    def view(self, dispatch_id: str) -> dict[str, object]:
        view = self.json("dispatch", "show", dispatch_id)["view"]
        assert isinstance(view, dict)
        return view

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(SECONDS_MAX)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Up] = []

    def begin(*words: str) -> Up:
        started.append(Up(tmp_path, *words))
        return started[-1]

    yield begin
    for up in started:
        if up.process.poll() is None:
            up.end(signal.SIGKILL)


def test_a_node_runs_beside_the_control_plane(start: Start) -> None:
    up = start()
    done = up.create("print('done')\n")
    until(lambda: up.view(done)["state"] == "completed", "its completion")
    going_on = up.create(WAITING)
    pid = up.pid(going_on, 1)
    assert up.end(signal.SIGINT) in {0, 130}
    assert not lives(pid)
    again = start()
    view = again.view(going_on)
    assert (view["state"], view["restarts"]) == ("open", 1), "its end was told before the control plane left"
    assert lives(again.pid(going_on, 2))


def test_nothing_outlives_a_control_plane_that_is_killed(start: Start) -> None:
    up = start()
    pid = up.pid(up.create(WAITING), 1)
    node = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    up.end(signal.SIGKILL)
    until(lambda: not lives(node) and not lives(pid), "the end of node and program")


def test_a_control_plane_may_run_alone(start: Start) -> None:
    up = start("--no-node")
    dispatch_id = up.create("print('never')\n")
    assert up.json("nodes", "list") == {"nodes": []}
    assert up.view(dispatch_id)["epoch"] == 0
    assert up.end(signal.SIGTERM) in {0, -signal.SIGTERM}
