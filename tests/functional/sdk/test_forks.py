"""A process that is forked from one with a session: what it may not do, and how it works on its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.functional.plane import ControlPlane
from tests.functional.sdk.conftest import dock
from tests.functional.sdk.test_session import claims, payload, receipts

READ = "read:payments"
SECONDS_MAX = 120

FORKED = """
import os, sys
from dragons.sdk import SessionStateError, open_session
agent, home = sys.argv[1:]
with open_session("parent", agent_dir=agent, home=home) as session:
    print(session.session_id, flush=True)
    with session.action("read:payments", resource="before"):
        pass
    pid = os.fork()
    if pid == 0:
        try:
            with session.action("read:payments", resource="never"):
                print("the child used its parent's session", flush=True)
        except SessionStateError as error:
            print(error.code, flush=True)
        with open_session("child", agent_dir=agent, home=home) as own:
            print(own.session_id, flush=True)
            with own.action("read:payments", resource="child"):
                pass
        # It leaves its parent's block as a program does that ends.
        sys.exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    with session.action("read:payments", resource="after"):
        pass
"""

POOLED = """
import multiprocessing, sys
from dragons.sdk import SessionStateError, open_session

def work(number):
    try:
        with session.action("read:payments"):
            return "used its parent's session"
    except SessionStateError as error:
        refused = error.code
    with open_session(f"part {number}", agent_dir=agent, home=home) as own:
        with own.action("read:payments", resource=str(number)):
            return refused

agent, home = sys.argv[1:]
with open_session("parent", agent_dir=agent, home=home) as session:
    print(session.session_id, flush=True)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(sorted(pool.map(work, range(4))), flush=True)
    with session.action("read:payments", resource="after"):
        pass
"""


def run(program: str, plane: ControlPlane, agent: Path) -> list[str]:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            program,
            str(agent),
            str(plane.home.folder),
        ],
        env={name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.splitlines()


def resources(plane: ControlPlane, session_id: str) -> list[str]:
    found = [payload(plane, claim.payload_hash) for claim in claims(plane, session_id)]
    return [one["action"]["resource"] for one in found]


def test_a_forked_child_has_a_session_of_its_own(plane: ControlPlane, tmp_path: Path) -> None:
    agent = dock(plane, tmp_path / "agent", "forking", [READ])
    parent, refused, child = run(FORKED, plane, agent)
    assert refused == "session_forked"
    assert resources(plane, parent) == ["before", "after"]
    assert resources(plane, child) == ["child"]
    for session_id in (parent, child):
        ends = [
            view.header["outcome"] for view in receipts(plane, session_id) if view.kind == "session.closed"
        ]
        assert ends == ["completed"]


def test_a_pool_of_forked_workers_works_by_sessions_of_their_own(plane: ControlPlane, tmp_path: Path) -> None:
    agent = dock(plane, tmp_path / "agent", "pooling", [READ])
    parent, refused = run(POOLED, plane, agent)
    assert refused == str(["session_forked"] * 4)
    assert resources(plane, parent) == ["after"]
    with plane.client() as client:
        sessions = client.sessions("pooling").sessions
    assert [view.outcome for view in sessions] == ["completed"] * 5
