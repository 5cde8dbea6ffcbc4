"""A running control plane and launchers in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.functional.plane import ControlPlane
from tests.functional.run.record import programs_in, wait_until_gone

ROOT = Path(__file__).resolve().parents[3]
RUNNER = Path(__file__).with_name("runner.py")


class Running:
    """A launcher at work."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path) -> None:
        self.process = process
        self._out = out

    @property
    def stdout(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def line(self) -> str:
        """The next line of the program's output."""
        return self.stdout.readline().decode().strip()

    def wait(self, seconds: float = 120) -> int:
        """Read to the end and wait; the launcher's exit code."""
        self.output, self.errors = self.process.communicate(timeout=seconds)
        return self.process.returncode

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._out.read_text())
        return found


Launch = Callable[..., Running]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    made = ControlPlane(tmp_path_factory.mktemp("plane"), heartbeat_seconds=1, sweep_seconds=0.5)
    made.start()
    try:
        made.publish()
        yield made
    finally:
        made.kill()


@pytest.fixture
def launch(plane: ControlPlane, tmp_path: Path) -> Iterator[Launch]:
    """Starts `dragons run`'s engine on a program text or a command."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        program: str = "",
        *arguments: str,
        operator: bool = True,
        streams: dict[str, Any] | None = None,
        **options: Any,
    ) -> Running:
        file = tmp_path / "program.py"
        if program:
            file.write_text(program)
        given: dict[str, Any] = {"goal": "test", "command": [sys.executable, str(file), *arguments]} | options
        if "agent_dir" not in given:
            given.setdefault("agent", "a" + tmp_path.name.replace("_", "-").lower()[:40])
        out = tmp_path / f"result-{len(started)}.json"
        request = {"home": str(plane.home.folder), "out": str(out), "operator": operator, "options": given}
        own = {name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")}
        process = subprocess.Popen(
            [sys.executable, str(RUNNER), json.dumps(request)],
            env=own | {"DRAGONS_TOKEN": "dgt_secret", "DRAGONS_HOME": "elsewhere"},
            **(
                {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
                | (streams or {})
            ),
        )
        started.append(process)
        return Running(process, out)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
        # The launcher's end is its program's.
        for pid in programs_in(tmp_path):
            wait_until_gone(pid)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
