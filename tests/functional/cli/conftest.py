"""The real program against a real control plane in a temporary home; one for all tests of this folder."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROGRAM = [sys.executable, "-m", "dragons.cli"]
READY_SECONDS_MAX = 60


@dataclass
class Program:
    """The program `dragons` as a user runs it, with one home."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, expected: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command; its exit code must be the expected one."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")}
        done = subprocess.run(
            [*PROGRAM, *words],
            env={**clean, "DRAGONS_HOME": str(self.home), **self.environment},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        told = f"dragons {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == expected, told
        assert "Traceback" not in done.stderr, told
        return done

    def json(self, *words: str, expected: int = 0) -> Any:
        """The one JSON document that a command prints."""
        done = self.run(*words, "-o", "json", expected=expected)
        return json.loads(done.stdout)

    def error(self, *words: str, expected: int) -> dict[str, Any]:
        """The error object that a command prints with `-o json`; standard output stays empty."""
        done = self.run(*words, "-o", "json", expected=expected)
        assert not done.stdout
        found: dict[str, Any] = json.loads(done.stderr.strip().splitlines()[-1])["error"]
        assert found["exit"] == expected
        assert found["fix"]
        return found


@dataclass
class Plane:
    """A control plane that runs, and what it said when it was ready."""

    process: subprocess.Popen[str]
    told: dict[str, Any]
    log: Path


def start_plane(home: Path, *words: str) -> Plane:
    """Start `dragons up` on a free port and wait until it is ready."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")}
    log = home.parent / f"{home.name}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*PROGRAM, "up", "--port", "0", "-o", "json", *words],
            env={**clean, "DRAGONS_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if waiting.select(READY_SECONDS_MAX) else ""
    if not line:
        process.kill()
        process.wait()
        pytest.fail(f"the control plane did not start:\n{log.read_text()[-3000:]}")
    return Plane(process, json.loads(line), log)


def stop_plane(plane: Plane) -> int:
    """Ctrl-C; the exit code."""
    if plane.process.poll() is None:
        plane.process.send_signal(signal.SIGINT)
    try:
        code = plane.process.wait(30)
    except subprocess.TimeoutExpired:
        plane.process.kill()
        code = plane.process.wait()
    if plane.process.stdout is not None:
        plane.process.stdout.close()
    return code


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    home = tmp_path_factory.mktemp("cli") / "home"
    running = start_plane(home, "--name", "Acme", "--operator", "Ada Li")
    yield running
    stop_plane(running)


@pytest.fixture(scope="session")
def program(plane: Plane) -> Program:
    return Program(Path(plane.told["home"]))
