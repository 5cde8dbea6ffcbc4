"""`dragons run` as a person types it, and the activation receipt that it ends with."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.plane import ControlPlane
from tests.functional.run.record import WAITING, outcome_of, verify

Start = Callable[..., subprocess.Popen[bytes]]
SECONDS_MAX = 120
README = Path(__file__).resolve().parents[3] / "README.md"
RUN = ["run", "--agent", "mine", "--goal", "say what I am for"]


@pytest.fixture
def start(plane: ControlPlane, tmp_path: Path) -> Iterator[Start]:
    """Starts the program `dragons` in a folder with their_script.py, in a process group of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*words: str) -> subprocess.Popen[bytes]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
        process = subprocess.Popen(
            [sys.executable, "-m", "dragons.cli", *words],
            env=own | {"DRAGONS_HOME": str(plane.home.folder), "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            process_group=0,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def shown(errors: bytes) -> dict[str, str]:
    """The lines of an activation receipt by their names."""
    text = errors.decode()
    assert "Dragons · Activation Receipt" in text, text
    lines = text[text.index("Dragons ·") :].splitlines()
    return {
        line[2:18].strip(): line[18:].strip() for line in lines if line.startswith("  ") and line[2] != " "
    }


def test_the_readme_s_first_run(plane: ControlPlane, start: Start, tmp_path: Path) -> None:
    (tmp_path / "their_script.py").write_text("import sys\nsys.stdout.buffer.write(b'\\x00 out\\xff')\n")
    process = start(*RUN, "--receipt", "receipt.json", "--", "python", "their_script.py")
    out, errors = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, out) == (0, b"\x00 out\xff"), errors
    receipt = shown(errors)
    assert receipt["goal"] == "say what I am for"
    assert receipt["action"] == "run:program · 0 ops"
    assert receipt["outcome"] == "completed (program's exit status 0)"
    assert receipt["replay"] == "pass · third-party verifiable"
    assert receipt["agent"] == "mine@v1"
    assert receipt["organism_state"].startswith("running")
    assert receipt["last_heartbeat"].endswith("ago")
    assert receipt["progress"] == "output"
    written = json.loads((tmp_path / "receipt.json").read_bytes())
    for name in ("receipt", "session"):
        written[name] = written.pop(f"{name}_id")
    for name in ("session", "receipt", "chain_root", "manifest_hash", "instance_id", "lease_id"):
        assert receipt[name] == written[name] != "-"
    with plane.client() as client:
        record = client.receipt(receipt["receipt"])
        chain_root = hashlib.sha256(record.record.header.payload).hexdigest()
        assert record.view.chain_root == chain_root == receipt["chain_root"]
        instance = client.instance(receipt["instance_id"])
    assert (instance.lease_id, instance.manifest_hash) == (receipt["lease_id"], receipt["manifest_hash"])


def test_the_readme_s_session(start: Start, tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "their_script.py").write_text(program)
    (tmp_path / "payments.csv").write_text("id,cents\n")
    words = ["run", "--agent", "session", "--goal", "g", "--capability", "read:payments"]
    process = start(*words, "--", "python", "their_script.py")
    _, errors = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0, errors
    assert shown(errors)["action"] == "read:payments · 1 ops"


def test_without_a_name_and_a_goal_they_are_the_script_s(start: Start, tmp_path: Path) -> None:
    (tmp_path / "their_script.py").write_text("print('hello')\n")
    process = start("run", "--", "python", "their_script.py")
    out, errors = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, out) == (0, b"hello\n"), errors
    said = shown(errors)
    assert (said["agent"], said["goal"]) == ("their-script@v1", "run python their_script.py")


def test_without_its_agent_s_name_a_described_one_is_found(start: Start, tmp_path: Path) -> None:
    (tmp_path / "their_script.py").write_text("print('hello')\n")
    process = start("run", "--goal", "g", "--", "true")
    _, errors = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 2
    assert b"[agent_missing]" in errors
    assert b"--agent" in errors
    described = "agent: described\nentrypoint: [python, their_script.py]\ncapabilities: [read:payments]\n"
    (tmp_path / "agent.yaml").write_text(described)
    process = start("run", "--goal", "g", "--", "python", "their_script.py")
    out, errors = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, out) == (0, b"hello\n"), errors
    assert shown(errors)["agent"] == "described@v1"


def test_a_changed_one_ends_with_the_code_for_identity(start: Start, tmp_path: Path) -> None:
    words = ["run", "--agent", "typed", "--goal", "g", "--", "python", "their_script.py"]
    (tmp_path / "their_script.py").write_text("print(1)\n")
    assert start(*words).wait(SECONDS_MAX) == 0
    (tmp_path / "their_script.py").write_text("print(2)\n")
    process = start(*words)
    out, errors = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, out) == (7, b"")
    error, fix = errors.decode().splitlines()
    assert error.startswith("error: typed may not run: it differs from typed@v1: changed their_script.py.")
    assert error.endswith("[manifest_unrecorded]")
    assert "--register" in fix


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_receipt(
    plane: ControlPlane, start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "their_script.py").write_text(WAITING)
    process = start(*RUN, "--register", "--", "python", "their_script.py")
    assert process.stdout is not None
    session_id = process.stdout.readline().decode().strip()
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 128 + number, errors
    assert b"Traceback" not in errors.partition(b"Dragons \xc2\xb7")[2]
    receipt = shown(errors)
    assert receipt["session"] == session_id
    assert receipt["outcome"] == f"failed (program's exit status {128 + number})"
    assert receipt["replay"] == "pass · third-party verifiable"
    assert outcome_of(plane, session_id) == "failed"
    verify(plane, session_id, tmp_path)
