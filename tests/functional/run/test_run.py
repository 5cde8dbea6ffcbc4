"""`dragons run` as a program sees it, and as the record sees the program."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import struct
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest

from tests.functional.plane import ControlPlane, make_agent
from tests.functional.run.conftest import Launch
from tests.functional.run.record import closing, outcome_of


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
    assert result["heartbeat_age_ms"] >= 0
    body, payload = closing(plane, result["receipt_id"])
    assert body.outcome.value == outcome == outcome_of(plane, result["session_id"])
    digests = [hashlib.sha256(text).hexdigest() for text in (b"out\n", b"err\n")]
    assert body.evidence == digests
    summary = payload["summary"]
    assert summary["exit_status"] == status
    assert summary["stdout"] == {"sha256": digests[0], "bytes": 4}
    with plane.client() as client:
        assert client.instance(result["instance_id"]).state == "stopped"


def test_the_program_gets_no_token_and_no_home(launch: Launch) -> None:
    running = launch(
        "import os, json\nprint(json.dumps({k: v for k, v in os.environ.items() if 'DRAGONS' in k}))\n"
    )
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


def test_forked_workers_share_the_launcher_s_instance(plane: ControlPlane, launch: Launch) -> None:
    running = launch(
        "import multiprocessing\nfrom dragons.sdk import open_session\n"
        "def work(number):\n"
        "    with open_session(f'part {number}') as own, own.action('read:payments'):\n"
        "        return number\n"
        "with open_session() as session:\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "        print(sorted(pool.map(work, range(3))))\n"
        "    with session.action('write:ledger'): pass\n",
        capabilities=["read:payments", "write:ledger"],
    )
    assert running.wait() == 0, running.errors
    assert running.output == b"[0, 1, 2]\n"
    result = running.result
    assert result["actions"] == {"read:payments": 3, "write:ledger": 1}
    assert result["replay"] == "pass"
    with plane.client() as client:
        opened = [client.session(session_id) for session_id in result["sessions"]]
    assert {view.instance_id for view in opened} == {result["instance_id"]}
    assert [view.outcome for view in opened] == ["completed"] * 4


def test_renewals_are_handed_on_to_the_program(launch: Launch) -> None:
    running = launch(
        ATTACHED.format(seconds=10), capabilities=["read:payments", "write:ledger"], ttl_seconds=6
    )
    assert running.wait() == 0, (running.errors, running.result)
    assert running.result["replay"] == "pass"
