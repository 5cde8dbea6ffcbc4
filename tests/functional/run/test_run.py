"""`dragons run` as a program sees it, and as the record sees the program."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import signal
import struct
import subprocess
import time
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ
from typing import Any

import msgspec
import pytest

from dragons.authority.revocation import Target
from dragons.evidence.receipt import CLOSING, Closing
from dragons.sdk.localstore import LocalStore
from tests.functional.plane import ControlPlane, make_agent
from tests.functional.run.conftest import Launch

WAITING = "import time\nprint('ready', flush=True)\ntime.sleep(60)\n"
FORWARDED = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]


def closing(plane: ControlPlane, receipt_id: str) -> tuple[Closing, dict[str, Any]]:
    with plane.client() as client:
        body = client.receipt(receipt_id).record.statement.body(CLOSING, Closing)
    with LocalStore(plane.home.store_path(plane.tenant_id)) as store:
        payload = store.payload(body.payload_hash)
    assert payload is not None
    value: dict[str, Any] = msgspec.json.decode(payload.body)
    return body, value


def outcome_of(plane: ControlPlane, session_id: str) -> str:
    with plane.client() as client:
        return client.session(session_id).outcome


def gone(pid: int, seconds: float = 5) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(("status", "outcome"), [(0, "completed"), (3, "failed")])
def test_the_end_is_on_the_record(plane: ControlPlane, launch: Launch, status: int, outcome: str) -> None:
    running = launch(f"import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit({status})\n")
    assert running.wait() == status
    result = running.result
    assert running.output == b"out\n"
    assert running.errors == b"err\n"
    assert result["replay"] == "pass"
    assert result["waiting"] == 0
    assert result["states"] == ["running"]
    assert 0 <= result["heartbeat_age_ms"] < 10_000
    body, payload = closing(plane, result["receipt_id"])
    assert body.outcome.value == outcome == outcome_of(plane, result["session_id"])
    digests = [hashlib.sha256(text).hexdigest() for text in (b"out\n", b"err\n")]
    assert body.evidence == digests
    summary = payload["summary"]
    assert summary["exit_status"] == status
    assert summary["stdout"] == {"sha256": digests[0], "bytes": 4}
    with plane.client() as client:
        assert client.instance(result["instance_id"]).state == "stopped"


@pytest.mark.parametrize("number", FORWARDED)
def test_signals_reach_the_program_and_end_it(plane: ControlPlane, launch: Launch, number: signal.Signals) -> None:
    running = launch(WAITING)
    assert running.stdout.readline() == b"ready\n"
    running.process.send_signal(number)
    assert running.wait() == 128 + number
    result = running.result
    assert result["ended"]["signal"] == number.name
    body, payload = closing(plane, result["receipt_id"])
    assert body.outcome.value == "failed"
    assert payload["summary"]["signal"] == number.name
    assert "exit_status" not in payload["summary"]


def test_a_program_may_answer_a_signal_itself(launch: Launch) -> None:
    running = launch(
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    assert running.stdout.readline() == b"ready\n"
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == 7
    assert running.result["ended"]["exit_status"] == 7
    assert running.result["ended"]["signal"] == ""


def test_a_killed_program_is_failed_with_its_signal(launch: Launch) -> None:
    running = launch("import os\nos.kill(os.getpid(), 9)\n")
    assert running.wait() == 137
    assert running.result["ended"] | {"stdout": 0, "stderr": 0} == {
        "exit_status": 137, "signal": "SIGKILL", "stopped_because": "", "outcome": "failed",
        "stdout": 0, "stderr": 0,
    }  # fmt: skip


def test_no_program_outlives_its_launcher(plane: ControlPlane, launch: Launch) -> None:
    running = launch(
        "import os, time\nprint(os.getpid(), os.environ['DRAGONS_SESSION'], flush=True)\ntime.sleep(60)\n",
        ttl_seconds=3,
    )
    pid, session_id = running.stdout.readline().decode().split()
    running.process.kill()
    running.process.wait()
    assert gone(int(pid))
    assert outcome_of(plane, session_id) == ""
    until = time.monotonic() + 15
    while not outcome_of(plane, session_id):
        assert time.monotonic() < until
        time.sleep(0.2)
    assert outcome_of(plane, session_id) == "abandoned"


def test_what_the_program_started_ends_with_it(launch: Launch) -> None:
    running = launch(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
    )
    assert running.wait() == 0
    assert gone(int(running.output))


@pytest.mark.parametrize("answers", [True, False])
def test_a_revoked_lease_stops_the_program(plane: ControlPlane, launch: Launch, *, answers: bool) -> None:
    ignoring = "" if answers else "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    running = launch(ignoring + WAITING.replace("'ready'", "__import__('os').environ['DRAGONS_SESSION']"))
    session_id = running.stdout.readline().decode().strip()
    with plane.client() as client:
        instance_id = client.session(session_id).instance_id
        lease_id = client.instance(instance_id).lease_id
        plane.operator(client).revoke(Target.LEASE, lease_id, reason="test")
    revoked_at = time.monotonic()
    assert running.wait(30) == 128 + (signal.SIGTERM if answers else signal.SIGKILL)
    assert time.monotonic() - revoked_at < (8 if answers else 20)
    assert running.result["ended"]["stopped_because"] in {"lease_revoked", "organism_stopped"}


def test_a_stopped_instance_stops_the_program(plane: ControlPlane, launch: Launch) -> None:
    running = launch(WAITING.replace("'ready'", "__import__('os').environ['DRAGONS_SESSION']"))
    session_id = running.stdout.readline().decode().strip()
    with plane.client() as client:
        plane.operator(client).intervene(client.session(session_id).instance_id, reason="test")
    assert running.wait(15) == 128 + signal.SIGTERM
    assert running.result["ended"]["stopped_because"] == "organism_stopped"
    assert running.result["states"][-1] == "stopped"


def test_the_program_gets_no_token_and_no_home(launch: Launch) -> None:
    running = launch("import os, json\nprint(json.dumps({k: v for k, v in os.environ.items() if 'DRAGONS' in k}))\n")
    assert running.wait() == 0
    given = json.loads(running.output)
    assert sorted(given) == ["DRAGONS_AGENT", "DRAGONS_INSTANCE", "DRAGONS_SESSION"]
    # The file with the instance's key is gone with the run.
    assert not Path(given["DRAGONS_INSTANCE"]).exists()


def test_input_is_passed_on(launch: Launch) -> None:
    running = launch("import sys\nprint(sys.stdin.read().upper(), end='')\n")
    assert running.process.stdin is not None
    running.process.stdin.write(b"hello\n")
    running.process.stdin.close()
    running.process.stdin = None
    assert running.wait() == 0
    assert running.output == b"HELLO\n"


def test_large_output_is_passed_on_whole(launch: Launch) -> None:
    running = launch("import sys\nsys.stdout.write('x' * 5_000_000)\nsys.stderr.write('y' * 300_000)\n")
    assert running.wait() == 0
    assert len(running.output) == 5_000_000
    assert running.result["ended"]["stdout"] == [hashlib.sha256(running.output).hexdigest(), 5_000_000]


def test_a_reader_that_leaves_ends_the_program_as_without_us(launch: Launch) -> None:
    running = launch("import itertools\nfor n in itertools.count(): print(n, flush=True)\n")
    assert running.stdout.readline() == b"0\n"
    running.stdout.close()
    running.process.stdout = None
    assert running.wait() != 0


def test_a_terminal_is_passed_through(launch: Launch) -> None:
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    running = launch(
        "import os, sys, time\n"
        "print([os.isatty(n) for n in (0, 1, 2)], os.get_terminal_size(), flush=True)\n"
        "print('got', input(), flush=True)\ntime.sleep(60)\n",
        streams={"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True},
    )
    os.close(theirs)
    seen = b""

    def read_until(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            seen += os.read(ours, 1000)

    read_until(b"lines=33)")
    os.write(ours, b"hello\r")
    read_until(b"got hello")
    os.write(ours, b"\x03")
    assert running.wait() == 130
    os.close(ours)
    assert b"[True, True, True]" in seen
    assert b"columns=101" in seen
    assert running.result["ended"]["signal"] == "SIGINT"


def test_a_new_program_is_registered_once_and_a_changed_one_refused(launch: Launch) -> None:
    first = launch("print(1)\n")
    assert first.wait() == 0
    assert len(first.result["told"]) == 1
    assert first.result["version"].endswith("@v1")
    again = launch("")
    assert again.wait() == 0
    assert again.result["told"] == []
    # Arguments are input: they don't make it another agent.
    assert launch("", "--day", "2026-11-02").wait() == 0
    changed = launch("print(2)\n")
    assert changed.wait() == 99
    assert changed.output == b""
    assert changed.result["code"] == "manifest_unrecorded"
    assert "changed program.py" in changed.result["message"]
    assert "--register" in changed.result["fix"]
    asked = launch("print(2)\n", register=True)
    assert asked.wait() == 0
    assert asked.result["version"].endswith("@v2")


def test_without_the_operators_key_nothing_is_registered(launch: Launch) -> None:
    running = launch("print(1)\n", operator=False)
    assert running.wait() == 99
    assert running.result["code"] == "manifest_unrecorded"
    assert running.output == b""


def test_a_program_that_is_missing_never_starts(plane: ControlPlane, launch: Launch, tmp_path: Path) -> None:
    running = launch("print(1)\n", command=["no-such-program"])
    assert running.wait() == 99
    assert running.result["code"] == "program_missing"
    agent = make_agent(tmp_path / "agent", "unstartable", ["read:payments"])
    (agent / "agent.yaml").write_text((agent / "agent.yaml").read_text().replace("python", "no-such-program"))
    running = launch(agent_dir=str(agent), command=[])
    assert running.wait() == 99
    assert running.result["code"] == "program_unstartable"
    with plane.client() as client:
        assert [view.outcome for view in client.sessions("unstartable").sessions] == ["failed"]


ATTACHED = """
import time
from dragons.sdk import ActionDenied, open_session
with open_session() as session:
    with session.action("write:ledger"):
        pass
with open_session(goal="reconcile payments") as session:
    until = time.monotonic() + {seconds}
    for number in range(3):
        with session.action("read:payments", resource=str(number)) as act:
            act.add_evidence("rows", b"abc")
    while time.monotonic() < until:
        with session.action("read:payments"):
            time.sleep(0.2)
    try:
        with session.action("read:secret"):
            print("leak")
    except ActionDenied as denied:
        print(denied.reason)
"""


def test_a_program_with_the_sdk_works_under_its_launcher(plane: ControlPlane, launch: Launch) -> None:
    running = launch(ATTACHED.format(seconds=0), capabilities=["read:payments", "write:ledger"])
    assert running.wait() == 0, (running.errors, running.result)
    result = running.result
    assert running.output == b"capability_not_leased\n"
    assert result["actions"] == {"write:ledger": 1, "read:payments": 3}
    assert result["denied"] == {"read:secret": "capability_not_leased"}
    assert len(result["sessions"]) == 2
    assert result["replay"] == "pass"
    with plane.client() as client:
        own = client.session(result["session_id"])
        other = client.session(result["sessions"][1])
    assert own.instance_id == other.instance_id == result["instance_id"]
    assert (own.receipts, other.receipts) == (3, 6)


def test_renewals_are_handed_on_to_the_program(launch: Launch) -> None:
    running = launch(ATTACHED.format(seconds=6), capabilities=["read:payments", "write:ledger"], ttl_seconds=3)
    assert running.wait() == 0, (running.errors, running.result)
    assert running.result["replay"] == "pass"


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


def test_the_control_plane_may_be_away_at_the_end(plane: ControlPlane, launch: Launch, tmp_path: Path) -> None:
    running = launch(WAITING)
    assert running.stdout.readline() == b"ready\n"
    plane.kill()
    try:
        running.process.send_signal(signal.SIGTERM)
        assert running.wait(60) == 143
        result = running.result
        assert result["waiting"] == 1
        assert result["replay"].startswith("not made")
        assert result["receipt_id"] == ""
    finally:
        plane.start()
    assert launch("print('next')\n", agent="another").wait() == 0
    until = time.monotonic() + 10
    while outcome_of(plane, result["session_id"]) != "failed":
        assert time.monotonic() < until
        time.sleep(0.1)


def test_nothing_is_left_running(launch: Launch) -> None:
    launch("print(1)\n").wait()
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "time.sleep(60)" not in listed
