"""Signals and sudden ends: whatever ends a run, the record says how, and its evidence holds."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from dragons.authority.revocation import Target
from tests.functional.plane import ControlPlane
from tests.functional.run.conftest import Launch
from tests.functional.run.record import (
    SECONDS_MAX,
    WAITING,
    closing,
    ended_as,
    outcome_of,
    receipts,
    verify,
    wait_until_gone,
)

FORWARDED = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]


@pytest.mark.parametrize("number", FORWARDED)
def test_signals_reach_the_program_and_end_it(
    plane: ControlPlane, launch: Launch, tmp_path: Path, number: signal.Signals
) -> None:
    running = launch(WAITING)
    session_id = running.line()
    running.process.send_signal(number)
    assert running.wait() == 128 + number
    result = running.result
    assert result["ended"]["signal"] == number.name
    body, payload = closing(plane, result["receipt_id"])
    assert body.outcome.value == "failed"
    assert payload["summary"]["signal"] == number.name
    assert "exit_status" not in payload["summary"]
    assert [view.kind for view in receipts(plane, session_id)] == ["session.opened", "session.closed"]
    verify(plane, session_id, tmp_path)


def test_a_program_may_answer_a_signal_itself(launch: Launch) -> None:
    running = launch(f"import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n{WAITING}")
    running.line()
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == 7
    assert running.result["ended"]["exit_status"] == 7
    assert running.result["ended"]["signal"] == ""


def test_ctrl_c_for_the_whole_group_reaches_the_program_once(launch: Launch) -> None:
    # Without a terminal of its own: a shell's Ctrl-C goes to the launcher's group, and the program has its own.
    running = launch(
        "import signal, sys, time\ncame = []\nsignal.signal(signal.SIGINT, lambda *_: came.append(1))\n"
        "print('ready', flush=True)\n"
        "while not came: time.sleep(0.01)\n"
        "time.sleep(0.5)\nprint(len(came), flush=True)\nsys.exit(len(came))\n",
        streams={"process_group": 0},
    )
    assert running.line() == "ready"
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.wait() == 1
    assert running.output == b"1\n"
    assert running.result["replay"] == "pass"


def test_a_signal_after_the_end_does_not_cut_the_record_short(plane: ControlPlane, launch: Launch) -> None:
    running = launch(f"print(__import__('os').getpid(), flush=True)\n{WAITING}")
    pid = int(running.line())
    session_id = running.line()
    plane.pause()
    try:
        running.process.send_signal(signal.SIGTERM)
        wait_until_gone(pid)
        for number in FORWARDED:
            running.process.send_signal(number)
    finally:
        plane.resume()
    assert running.wait() == 128 + signal.SIGTERM
    assert running.result["receipt_id"]
    assert outcome_of(plane, session_id) == "failed"


def test_a_program_that_is_killed_is_failed_with_its_signal(
    plane: ControlPlane, launch: Launch, tmp_path: Path
) -> None:
    running = launch("import os\nos.kill(os.getpid(), 9)\n")
    assert running.wait() == 137
    assert running.result["ended"] | {"stdout": 0, "stderr": 0} == {
        "exit_status": 137, "signal": "SIGKILL", "stopped_because": "", "outcome": "failed",
        "stdout": 0, "stderr": 0,
    }  # fmt: skip
    assert outcome_of(plane, running.result["session_id"]) == "failed"
    verify(plane, running.result["session_id"], tmp_path)


def test_what_a_killed_program_left_is_sent_by_its_launcher(launch: Launch) -> None:
    running = launch(
        "import os\nfrom dragons.sdk import open_session\n"
        "with open_session() as session:\n"
        "    for number in range(50):\n"
        "        with session.action('read:payments'): pass\n"
        "    os.kill(os.getpid(), 9)\n",
        capabilities=["read:payments"],
    )
    assert running.wait() == 137
    assert running.result["actions"] == {"read:payments": 50}
    assert running.result["waiting"] == 0
    assert running.result["replay"] == "pass"


def test_a_launcher_that_is_killed_takes_its_program_along(
    plane: ControlPlane, launch: Launch, tmp_path: Path
) -> None:
    running = launch(
        "import os\nfrom dragons.sdk import open_session\n"
        "with open_session() as session:\n"
        "    with session.action('read:payments'): pass\n"
        f"    session.flush()\n    print(os.getpid(), flush=True)\n    {WAITING.replace(chr(10), chr(10) + '    ')}",
        capabilities=["read:payments"],
        ttl_seconds=5,
        agent="orphan",
    )
    pid = int(running.line())
    plane.forgive_nothing("orphan")
    session_id = running.line()
    running.process.kill()
    running.process.wait()
    wait_until_gone(pid)
    # Nobody closed it, so the control plane does when the lease and its grace are over.
    assert ended_as(plane, session_id) == "abandoned"
    kinds = [view.kind for view in receipts(plane, session_id)]
    assert kinds == ["session.opened", "work", "session.closed"]
    verify(plane, session_id, tmp_path)


def test_what_the_program_started_ends_with_it(launch: Launch) -> None:
    running = launch(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
    )
    assert running.wait() == 0
    wait_until_gone(int(running.output))


@pytest.mark.parametrize("answers", [True, False])
def test_a_revoked_lease_stops_the_program(
    plane: ControlPlane, launch: Launch, tmp_path: Path, *, answers: bool
) -> None:
    ignoring = "" if answers else "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    running = launch(ignoring + WAITING)
    session_id = running.line()
    with plane.client() as client:
        instance_id = client.session(session_id).instance_id
        lease_id = client.instance(instance_id).lease_id
        plane.operator(client).revoke(Target.LEASE, lease_id, reason="test")
    # WAITING would go on for minutes.
    assert running.wait() == 128 + (signal.SIGTERM if answers else signal.SIGKILL)
    assert running.result["ended"]["stopped_because"] in {"lease_revoked", "organism_stopped"}
    verify(plane, session_id, tmp_path)


def test_a_stopped_instance_stops_the_program(plane: ControlPlane, launch: Launch) -> None:
    running = launch(WAITING)
    session_id = running.line()
    with plane.client() as client:
        plane.operator(client).intervene(client.session(session_id).instance_id, reason="test")
    assert running.wait() == 128 + signal.SIGTERM
    assert running.result["ended"]["stopped_because"] == "organism_stopped"
    assert running.result["states"][-1] == "stopped"


def test_the_control_plane_may_be_away_at_the_end(plane: ControlPlane, launch: Launch) -> None:
    running = launch(WAITING)
    session_id = running.line()
    plane.kill()
    try:
        running.process.send_signal(signal.SIGTERM)
        assert running.wait() == 143
        result = running.result
        assert result["waiting"] == 1
        assert result["replay"].startswith("not made")
        assert result["receipt_id"] == ""
    finally:
        plane.start()
    assert launch("print('next')\n", agent="another").wait() == 0
    assert ended_as(plane, session_id) == "failed"


def test_a_terminal_s_ctrl_c_is_the_program_s(launch: Launch) -> None:
    ours, theirs = os.openpty()
    running = launch(
        WAITING, streams={"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    )
    os.close(theirs)
    seen = b""
    until = time.monotonic() + SECONDS_MAX
    while b"\n" not in seen:
        assert time.monotonic() < until
        seen += os.read(ours, 1000)
    os.write(ours, b"\x03")
    assert running.wait() == 128 + signal.SIGINT
    os.close(ours)
    assert running.result["ended"]["signal"] == "SIGINT"
