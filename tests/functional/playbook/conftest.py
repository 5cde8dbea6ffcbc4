"""A running control plane, receivers for what is told, and services to keep up."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from tests.functional.plane import ControlPlane
from tests.support.receivers import HttpReceiver, MailServer, http_receiver, mail_server

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "crashing-service"
SECONDS_MAX = 120


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    made = ControlPlane(tmp_path_factory.mktemp("plane"), heartbeat_seconds=1, sweep_seconds=0.5)
    made.start()
    try:
        yield made
    finally:
        made.kill()


@pytest.fixture
def slack() -> Iterator[HttpReceiver]:
    with http_receiver(200) as found:
        yield found


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as found:
        yield found


@dataclass
class Project:
    """A playbook's folder, and how it is run against the control plane of the test."""

    plane: ControlPlane
    folder: Path
    notifiers: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def change(self, change: Callable[[dict[str, object]], None]) -> None:
        """Edit the playbook."""
        path = self.folder / "playbook.yaml"
        value = yaml.safe_load(path.read_text())
        change(value)
        path.write_text(yaml.safe_dump(value))

    def start(self, *options: str) -> subprocess.Popen[str]:
        """`dragons playbook run`, in a process of its own."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")}
        process = subprocess.Popen(
            [
                sys.executable, "-m", "dragons.cli", "--home", str(self.plane.home.folder), "--url",
                self.plane.url, "playbook", "run", str(self.folder), "--notifiers", str(self.notifiers), *options,
            ],
            env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """As `start`, to its end."""
        process = self.start(*options)
        out, err = process.communicate(timeout=SECONDS_MAX)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    @property
    def agent(self) -> str:
        return str(yaml.safe_load((self.folder / "agent.yaml").read_text())["agent"])


@pytest.fixture
def project(
    plane: ControlPlane, tmp_path: Path, slack: HttpReceiver, mail: MailServer, request: pytest.FixtureRequest
) -> Iterator[Project]:
    """The example, as an agent named after the test, on a free port, told to the test's receivers."""
    folder = tmp_path / "service"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("postmortems", "__pycache__"))
    name = request.node.name.split("[")[0].removeprefix("test_").replace("_", "-")[:40].rstrip("-")
    # Every case has a port of its own, so it is an agent of its own.
    name = f"{name}-{sha256(request.node.name.encode()).hexdigest()[:6]}"
    described = folder / "agent.yaml"
    described.write_text(described.read_text().replace("agent: crashing-service", f"agent: {name}"))
    playbook = folder / "playbook.yaml"
    playbook.write_text(playbook.read_text().replace("8077", str(_free_port())))
    secret = tmp_path / "slack-url"
    secret.write_text(f"{slack.url}/services/T0/B0/secret")
    secret.chmod(0o600)
    notifiers = tmp_path / "notifiers.yaml"
    channels = {
        "slack": {"type": "slack", "url_file": "slack-url"},
        "on-call": {
            "type": "email", "host": "127.0.0.1", "port": mail.port, "security": "none",
            "from": "dragons@example.org", "to": ["on-call@example.org"],
        },
    }  # fmt: skip
    notifiers.write_text(yaml.safe_dump({"channels": channels}))
    notifiers.chmod(0o600)
    made = Project(plane, folder, notifiers)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
