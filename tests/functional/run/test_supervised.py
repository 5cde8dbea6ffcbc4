"""Runs that nobody sits at: in threads of one process, told what went before, stopped from elsewhere."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from dragons.authority.lease import RELEASE, Release
from dragons.core.clock import SystemClock
from dragons.core.keys import KeyRole
from dragons.node.launcher import Launcher, run_governed
from dragons.node.options import RunOptions, RunResult
from dragons.sdk.client import OperatorClient
from dragons.sdk.operator import Operator
from dragons.wire.fleet import FleetMember
from tests.functional.plane import ControlPlane, make_agent
from tests.functional.run.record import SECONDS_MAX, newest, verify

WAITING = "import time\nopen({out!r}, 'w').write('runs')\ntime.sleep(600)\n"


class Supervised:
    """One run in a thread."""

    def __init__(
        self, plane: ControlPlane, client: OperatorClient, folder: Path, code: str, **more: Any
    ) -> None:
        self.out = folder / "out"
        agent = make_agent(folder, folder.name, ["read:payments"], code.format(out=str(self.out)))
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        options = RunOptions(
            goal="supervised", agent_dir=agent, supervised=True, environment=environment, **more
        )
        operator = Operator(client, plane.home.key(plane.tenant_id, KeyRole.OPERATOR))
        self.stop = Event()
        self.told: list[str] = []
        launcher = Launcher(
            plane.home, client, SystemClock(), self.told.append, operator, plane.pin, stop=self.stop
        )
        self._results: list[RunResult] = []
        self._thread = Thread(target=lambda: self._results.append(run_governed(launcher, options)))
        self._thread.start()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + SECONDS_MAX
        while not condition():
            assert time.monotonic() < until
            assert self._thread.is_alive()
            time.sleep(0.05)

    @property
    def runs(self) -> bool:
        return self.out.exists()

    def result(self) -> RunResult:
        self._thread.join(SECONDS_MAX)
        (result,) = self._results
        return result


@pytest.fixture
def client(plane: ControlPlane) -> Iterator[OperatorClient]:
    with plane.client() as made:
        yield made


def release(plane: ControlPlane, client: OperatorClient, result: RunResult) -> Release:
    """How the lease was given back, as the ledger knows it."""
    (view,) = newest(plane, "lease.released", result.agent)
    return client.receipt(view.receipt_id).record.statement.body(RELEASE, Release)


def member(client: OperatorClient, agent: str) -> FleetMember:
    (found,) = client.fleet(agent).members
    return found


def test_threads_run_side_by_side_and_one_is_stopped(
    plane: ControlPlane, client: OperatorClient, tmp_path: Path
) -> None:
    one = Supervised(plane, client, tmp_path / "one", WAITING)
    other = Supervised(plane, client, tmp_path / "other", WAITING)
    one.wait_for(lambda: one.runs and other.runs)
    one.stop.set()
    stopped = one.result()
    assert (stopped.ended.stopped_because, stopped.ended.signal) == ("stopped", "SIGTERM")
    assert one.told[-1] == "stopped: the program is stopped"
    found = release(plane, client, stopped)
    assert (found.outcome, found.detail) == ("failed", "stopped on demand: killed by SIGTERM")
    other.wait_for(lambda: member(client, "other").state == "running")
    other.stop.set()
    assert other.result().replay == "pass"
    verify(plane, stopped.session_id, tmp_path)


@pytest.mark.parametrize(
    ("code", "outcome", "detail"),
    [
        ("pass\n", "completed", "exit status 0"),
        ("raise SystemExit(3)\n", "failed", "exit status 3"),
        ("import os; os.kill(os.getpid(), 11)\n", "failed", "killed by SIGSEGV"),
        ("import sys; sys.exit(len(sys.stdin.read()))\n", "completed", "exit status 0"),
    ],
)
def test_the_lease_is_given_back_with_how_it_ended(
    plane: ControlPlane, client: OperatorClient, tmp_path: Path, code: str, outcome: str, detail: str
) -> None:
    name = f"ends-{abs(hash(code)) % 10**9}"
    result = Supervised(plane, client, tmp_path / name, code).result()
    found = release(plane, client, result)
    assert (found.outcome, found.detail) == (outcome, detail)


def test_a_program_learns_what_went_before(
    plane: ControlPlane, client: OperatorClient, tmp_path: Path
) -> None:
    code = (
        "import json\nfrom dragons.sdk import open_session\n"
        "with open_session() as session: open({out!r}, 'w').write(json.dumps(session.handover))\n"
    )
    given = {"epoch": 3, "progress_sequence": 12}
    run = Supervised(plane, client, tmp_path / "next", code, handover=given)
    assert run.result().ended.exit_status == 0
    assert json.loads(run.out.read_text()) == given
    first = Supervised(plane, client, tmp_path / "first", code)
    assert first.result().ended.exit_status == 0
    assert json.loads(first.out.read_text()) is None


def test_a_declared_waiting_is_known_to_the_control_plane(
    plane: ControlPlane, client: OperatorClient, tmp_path: Path
) -> None:
    code = (
        "import time\nfrom dragons.sdk import open_session\n"
        "with open_session() as session:\n"
        "    with session.waiting('approval'):\n"
        "        open({out!r}, 'w').write('runs')\n"
        "        time.sleep(4)\n"
        "    time.sleep(600)\n"
    )
    run = Supervised(plane, client, tmp_path / "asks", code)
    run.wait_for(lambda: run.runs)
    run.wait_for(lambda: member(client, "asks").waiting_for == "approval")
    run.wait_for(lambda: not member(client, "asks").waiting_for)
    run.stop.set()
    assert run.result().ended.stopped_because == "stopped"
