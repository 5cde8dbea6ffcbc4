"""What survives: the control plane killed, the agent killed, answers lost, leases over."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from dragons.core.clock import SystemClock
from dragons.sdk import ActionDenied, Session, open_session
from dragons.sdk.localstore import LocalStore
from dragons.sdk.outbox import drain_outbox
from tests.functional.plane import ControlPlane
from tests.functional.sdk.conftest import dock
from tests.functional.sdk.test_session import claims, receipts

READ = "read:payments"
SECONDS_MAX = 60

# Works until it is told to stop; writes a line for every action that was carried out, after its end.
WORKER = """
import sys, time
from pathlib import Path
from dragons.sdk import ActionDenied, Session, open_session

agent, home, ttl, pause, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
with open_session("work", agent_dir=agent, home=home, ttl_seconds=ttl) as session:
    print(session.session_id, flush=True)
    for number in range(count):
        try:
            with session.action("read:payments", resource=str(number)):
                pass
            print("done", number, flush=True)
        except ActionDenied as denied:
            print("denied", denied.reason, flush=True)
        time.sleep(pause)
print("end", flush=True)
"""


class Worker:
    """An agent in a process of its own."""

    def __init__(
        self, plane: ControlPlane, agent: Path, *, ttl: int = 900, pause: float = 0.02, count: int = 10_000
    ):
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                WORKER,
                str(agent),
                str(plane.home.folder),
                str(ttl),
                str(pause),
                str(count),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")},
        )
        self.session_id = self.line()
        self.done: list[int] = []

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def until_done(self, count: int) -> None:
        """Read on until `count` actions were carried out."""
        while len(self.done) < count:
            self._take(self.line())

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self.rest()

    def rest(self) -> list[str]:
        """Everything it wrote before its end."""
        assert self._process.stdout is not None
        lines = [line.strip() for line in self._process.stdout]
        for line in lines:
            self._take(line)
        self._process.wait(60)
        self._process.stdout.close()
        return lines

    def _take(self, line: str) -> None:
        assert line, "the agent ended early"
        if line.startswith("done"):
            self.done.append(int(line.split()[1]))


def drained(plane: ControlPlane, seconds: float = SECONDS_MAX) -> None:
    """Send what is left until nothing is."""
    until = time.monotonic() + seconds
    with LocalStore(plane.home.store_path(plane.tenant_id)) as store:
        while store.waiting():
            drain_outbox(store, SystemClock())
            assert time.monotonic() < until, store.waiting()
            time.sleep(0.2)


def recorded(plane: ControlPlane, session_id: str) -> list[int]:
    """The numbers of the actions that have receipts, in the ledger's order."""
    numbers = []
    with LocalStore(plane.home.store_path(plane.tenant_id)) as store:
        for claim in claims(plane, session_id):
            found = store.payload(claim.payload_hash)
            assert found is not None
            if claim.outcome == "completed":
                numbers.append(int(json.loads(found.body)["action"]["resource"]))
    return numbers


def test_a_control_plane_killed_in_the_middle_loses_and_doubles_nothing(
    own_plane: ControlPlane, tmp_path: Path
) -> None:
    agent = dock(own_plane, tmp_path / "agent", "worker", [READ])
    worker = Worker(own_plane, agent, pause=0.005, count=400)
    for at in (30, 80, 130):
        worker.until_done(at)
        own_plane.kill()
        worker.until_done(at + 20)
        own_plane.start()
    worker.rest()
    drained(own_plane)
    # At most the process was denied while nobody answered; what it did is there, once and in order.
    assert recorded(own_plane, worker.session_id) == worker.done
    assert len(worker.done) > 150
    assert receipts(own_plane, worker.session_id)[-1].kind == "session.closed"


def test_an_agent_killed_between_commit_and_send_loses_nothing(
    own_plane: ControlPlane, tmp_path: Path
) -> None:
    agent = dock(own_plane, tmp_path / "agent", "worker", [READ])
    worker = Worker(own_plane, agent, pause=0.0)
    worker.until_done(5)
    own_plane.pause()
    worker.until_done(60)
    worker.kill()
    with LocalStore(own_plane.home.store_path(own_plane.tenant_id)) as store:
        assert store.waiting() > 0
    own_plane.resume()
    drained(own_plane)
    numbers = recorded(own_plane, worker.session_id)
    # The line may be missing for the action whose commit was the last thing that happened.
    assert numbers[: len(worker.done)] == worker.done
    assert len(numbers) - len(worker.done) in {0, 1}
    with LocalStore(own_plane.home.store_path(own_plane.tenant_id)) as store:
        drain_outbox(store, SystemClock())
    assert recorded(own_plane, worker.session_id) == numbers


def test_both_killed_and_started_again_nothing_is_lost_or_doubled(
    own_plane: ControlPlane, tmp_path: Path
) -> None:
    agent = dock(own_plane, tmp_path / "agent", "worker", [READ])
    first = Worker(own_plane, agent, pause=0.001)
    first.until_done(40)
    # A server that dies while claims arrive: some are recorded, and the answers are lost.
    own_plane.kill()
    first.until_done(60)
    first.kill()
    with LocalStore(own_plane.home.store_path(own_plane.tenant_id)) as store:
        assert store.waiting() > 0
    own_plane.start()
    # The agent comes back too; it sends what its dead predecessor had acknowledged to itself.
    second = Worker(own_plane, agent, pause=0.0, count=20)
    second.rest()
    drained(own_plane)
    numbers = recorded(own_plane, first.session_id)
    assert numbers[: len(first.done)] == first.done
    assert len(numbers) - len(first.done) in {0, 1}
    assert recorded(own_plane, second.session_id) == second.done == list(range(20))
    with LocalStore(own_plane.home.store_path(own_plane.tenant_id)) as store:
        assert not store.refused()
        drain_outbox(store, SystemClock())
    assert recorded(own_plane, first.session_id) == numbers


def test_what_was_recorded_without_an_answer_is_not_recorded_again(
    own_plane: ControlPlane, tmp_path: Path
) -> None:
    agent = dock(own_plane, tmp_path / "agent", "worker", [READ])
    worker = Worker(own_plane, agent, pause=0.0)
    worker.until_done(5)
    own_plane.pause()
    worker.until_done(30)
    worker.kill()
    path = own_plane.home.store_path(own_plane.tenant_id)
    before = tmp_path / "before.db"
    with LocalStore(path) as store, closing(sqlite3.connect(before)) as copy:
        # As if the process had died right before each answer came.
        store._db.backup(copy)
        assert store.waiting() > 0
    own_plane.resume()
    drained(own_plane)
    numbers = recorded(own_plane, worker.session_id)
    with LocalStore(before) as store:
        assert store.waiting() > 0
        drain_outbox(store, SystemClock())
        assert not store.waiting()
        assert not store.refused()
    assert recorded(own_plane, worker.session_id) == numbers


def test_without_the_control_plane_actions_are_denied_after_the_bound(
    own_plane: ControlPlane, tmp_path: Path
) -> None:
    agent = dock(own_plane, tmp_path / "agent", "worker", [READ])
    with open_session("g", agent_dir=agent, home=own_plane.home.folder) as session:
        with session.action(READ):
            pass
        own_plane.kill()
        with pytest.raises(ActionDenied) as caught:
            act_for(session, READ)
        assert caught.value.reason == "authority_stale"
        assert "control plane" in caught.value.fix
        # Once more, however soon the control plane is back.
        with pytest.raises(ActionDenied):
            act_for(session, READ)
        own_plane.start()
        until = time.monotonic() + SECONDS_MAX
        while True:
            try:
                with session.action(READ):
                    break
            except ActionDenied:
                assert time.monotonic() < until
                time.sleep(0.1)
        session_id = session.session_id
    outcomes = [claim.outcome.value for claim in claims(own_plane, session_id)]
    # The first denial at once, its equals counted at the end; in between the work that went on.
    assert outcomes[-2:] == ["completed", "denied"]
    assert outcomes.index("denied") < len(outcomes) - 2


def act_for(session: Session, capability: str) -> None:
    """Act again and again; ActionDenied is what the caller waits for."""
    until = time.monotonic() + SECONDS_MAX
    while time.monotonic() < until:
        with session.action(capability):
            time.sleep(0.05)


def test_work_that_is_reported_after_the_lease_is_late_but_there(
    own_plane: ControlPlane, tmp_path: Path
) -> None:
    agent = dock(own_plane, tmp_path / "agent", "worker", [READ])
    own_plane.forgive_nothing("worker")
    worker = Worker(own_plane, agent, ttl=4, pause=0.05)
    worker.until_done(3)
    own_plane.kill()
    worker.until_done(10)
    worker.kill()
    time.sleep(4.5)
    own_plane.start()
    time.sleep(1.5)
    drained(own_plane)
    views = [view for view in receipts(own_plane, worker.session_id) if view.kind == "work"]
    assert recorded(own_plane, worker.session_id)[: len(worker.done)] == worker.done
    assert views[-1].header["late"] is True
    assert "late" not in views[0].header
    ends = [v.header["outcome"] for v in receipts(own_plane, worker.session_id) if v.kind == "session.closed"]
    assert ends == ["abandoned"]
    with LocalStore(own_plane.home.store_path(own_plane.tenant_id)) as store:
        # Nothing waits and the lease is over, so the key is not kept any longer.
        assert store.holders() == []


def test_the_next_session_sends_what_the_last_one_left(own_plane: ControlPlane, tmp_path: Path) -> None:
    agent = dock(own_plane, tmp_path / "agent", "worker", [READ])
    worker = Worker(own_plane, agent, pause=0.0)
    worker.until_done(5)
    own_plane.pause()
    worker.until_done(20)
    worker.kill()
    own_plane.resume()
    with open_session("next", agent_dir=agent, home=own_plane.home.folder):
        until = time.monotonic() + SECONDS_MAX
        with LocalStore(own_plane.home.store_path(own_plane.tenant_id)) as store:
            while store.waiting():
                assert time.monotonic() < until
                time.sleep(0.05)
    assert set(worker.done) <= set(recorded(own_plane, worker.session_id))
