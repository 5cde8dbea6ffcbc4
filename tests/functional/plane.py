"""A real control plane for functional tests: its own process, home and port, killed and started at will."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from dragons.authority.catalogue import Entry
from dragons.core.clock import SystemClock
from dragons.core.errors import DragonsError
from dragons.core.keys import KeyRole
from dragons.core.vocabulary import Risk
from dragons.sdk.client import OperatorClient
from dragons.sdk.home import CONFIG_FILE, Home, write_secret
from dragons.sdk.operator import Operator
from dragons.sdk.transport import Retries

CREATE = "from dragons.compose import create_home; from dragons.settings import load_settings; create_home(load_settings(), 'Acme', 'ada')"
SERVE = (
    "from dragons.compose import serve; from dragons.settings import load_settings; serve(load_settings())"
)
START_SECONDS = 120
# The product's thresholds but for the grace.
IMPATIENT = {
    "degrade_after_seconds": 1_800, "autoheal_after_seconds": 3_600, "lease_grace_seconds": 1,
    "heal_timeout_seconds": 300, "waiting_max_seconds": 86_400, "restarts_max": 3,
    "restart_window_seconds": 21_600, "backoff_first_seconds": 10, "backoff_longest_seconds": 1_800,
    "progress_required": True, "progress_sources": ["files", "output", "receipts"],
}  # fmt: skip
CATALOGUE = {
    "read:payments": (Risk.LOW, True),
    "write:ledger": (Risk.MEDIUM, True),
    "write:report": (Risk.LOW, False),
    "send:money": (Risk.HIGH, False),
    "send:email": (Risk.LOW, False),
    "read:secret": (Risk.LOW, False),
}


class ControlPlane:
    """One home and the process that serves it."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.home = Home(folder / "home")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.log = folder / "control-plane.log"
        self._extra = {f"DRAGONS_{name.upper()}": str(value) for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self._run(CREATE)
        config = self.home.config()
        self.tenant_id, self.pin = config.tenant_id, config.root_fingerprint
        self.url = f"http://127.0.0.1:{self.port}"
        config.url = self.url
        write_secret(self.home.folder / CONFIG_FILE, msgspec.json.encode(config))

    def environment(self) -> dict[str, str]:
        """For the server: nothing of the test's own Dragons variables."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")}
        return own | {"DRAGONS_HOME": str(self.home.folder), "DRAGONS_PORT": str(self.port)} | self._extra

    def start(self) -> None:
        """Start the server and wait until it accepts writes."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVE], env=self.environment(), stdout=log, stderr=log
            )
        until = time.monotonic() + START_SECONDS
        with OperatorClient(self.url, "", clock=SystemClock(), retries=Retries(attempts=1)) as client:
            while True:
                try:
                    client.readyz()
                except DragonsError:
                    assert self._process.poll() is None, self.log.read_text()
                    assert time.monotonic() < until, self.log.read_text()
                    time.sleep(0.05)
                else:
                    return

    def kill(self) -> None:
        """SIGKILL: nothing is said goodbye to."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, as an operator would."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: connections are accepted by the kernel and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def token(self) -> str:
        return self.home.token(self.tenant_id)

    def client(self) -> OperatorClient:
        return OperatorClient(self.url, self.token, clock=SystemClock())

    def operator(self, client: OperatorClient) -> Operator:
        return Operator(client, self.home.key(self.tenant_id, KeyRole.OPERATOR))

    def publish(self, catalogue: Mapping[str, tuple[Risk, bool]] | None = None) -> None:
        """Publish a catalogue with the capabilities of the tests."""
        entries = {
            name: Entry(description=name, risk=risk, delegable=delegable)
            for name, (risk, delegable) in (catalogue or CATALOGUE).items()
        }
        with self.client() as client:
            self.operator(client).publish_catalogue(entries)

    def forgive_nothing(self, agent: str) -> None:
        """From now on a lease of `agent` that lapsed is over for good after a second."""
        with self.client() as client:
            self.operator(client).publish_policy(agent, IMPATIENT)

    def _run(self, program: str) -> None:
        subprocess.run(
            [sys.executable, "-c", program], env=self.environment(), check=True, timeout=START_SECONDS
        )

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(START_SECONDS)


def make_agent(folder: Path, name: str, capabilities: list[str], code: str = "print('hello')\n") -> Path:
    """A folder with an agent in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agent.py").write_text(code)
    listed = "".join(f"  - {capability}\n" for capability in capabilities)
    (folder / "agent.yaml").write_text(
        f"agent: {name}\nentrypoint: [python, agent.py]\ncapabilities:\n{listed}"
    )
    return folder
