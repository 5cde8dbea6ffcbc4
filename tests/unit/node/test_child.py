from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from dragons.core.errors import InvalidInputError
from dragons.node.child import Child, environment_of, signal_name

PYTHON = sys.executable


def wait(child: Child) -> int:
    until = time.monotonic() + 20
    while not child.has_ended():
        assert time.monotonic() < until
        time.sleep(0.01)
    return child.finish()


def line(child: Child) -> bytes:
    """The first line of output, which may come in parts."""
    read = b""
    while not read.endswith(b"\n"):
        part = os.read(child.streams[0].source, 100)
        assert part, read
        read += part
    return read


def test_the_environment_is_ours_without_our_secrets() -> None:
    own = {"PATH": "/bin", "DRAGONS_TOKEN": "t", "DRAGONS_HOME": "h", "dragons_x": "kept"}
    assert environment_of(own, {"DRAGONS_INSTANCE": "i"}) == {
        "PATH": "/bin", "dragons_x": "kept", "DRAGONS_INSTANCE": "i",
    }  # fmt: skip


def test_output_comes_by_streams_and_the_code_from_the_program(tmp_path: Path) -> None:
    program = "import os, sys; print(os.getcwd(), os.environ['A']); print('e', file=sys.stderr); sys.exit(4)"
    child = Child([PYTHON, "-c", program], {"A": "b"}, tmp_path)
    assert wait(child) == 4
    assert [os.read(stream.source, 1_000).decode() for stream in child.streams] == [f"{tmp_path} b\n", "e\n"]
    child.close()
    child.close()


def test_output_may_go_elsewhere_and_input_be_nobody_s() -> None:
    taken: list[bytes] = []
    program = "import sys; print(sys.stdin.read() == '')"
    child = Child([PYTHON, "-c", program], os.environ, None, attended=False, sink=taken.append)
    while child.streams[0].pass_on():
        pass
    assert b"".join(taken) == b"True\n"
    assert child.keyboard is None
    assert wait(child) == 0
    child.close()


def test_it_has_a_group_of_its_own_and_signals_reach_all_of_it() -> None:
    program = "import subprocess, time; subprocess.Popen(['sleep', '60']); print('ready', flush=True); time.sleep(60)"
    child = Child([PYTHON, "-c", program], dict(os.environ), None)
    assert line(child) == b"ready\n"
    assert os.getpgid(child.pid) == child.pid
    child.signal(signal.SIGTERM)
    assert wait(child) == -signal.SIGTERM
    # The end of the stream: nobody of the group writes any more.
    assert os.read(child.streams[0].source, 100) == b""
    child.close()


def test_closing_kills_what_still_runs() -> None:
    child = Child(["sleep", "60"], dict(os.environ), None)
    child.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    child.signal(signal.SIGTERM)


def test_it_dies_with_its_launcher() -> None:
    program = (
        "import os, sys\nfrom dragons.node.child import Child\n"
        "child = Child(['sleep', '60'], dict(os.environ), None)\n"
        "print(child.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([PYTHON, "-c", program], stdout=subprocess.PIPE, check=False)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    until = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < until
        time.sleep(0.01)


def open_files() -> set[tuple[str, str]]:
    """What this process has open; what another thread closes meanwhile is only missing from it."""
    found = set()
    for one in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add((one.name, str(one.readlink())))
    return {(name, target) for name, target in found if not target.startswith("/proc/")}


@pytest.mark.parametrize("command", [["no-such-program-here"], ["/"], ["/etc/hostname"]])
def test_what_cannot_start_leaves_nothing_open(command: list[str]) -> None:
    before = open_files()
    with pytest.raises(InvalidInputError) as caught:
        Child(command, dict(os.environ), None)
    assert caught.value.code == "program_unstartable"
    assert open_files() <= before


def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = open_files()
    child = Child(["true"], dict(os.environ), tmp_path)
    wait(child)
    child.close()
    assert open_files() <= before


def test_signals_have_names() -> None:
    assert [signal_name(number) for number in (2, 15, 9, 64, 99)] == [
        "SIGINT",
        "SIGTERM",
        "SIGKILL",
        "SIGRTMAX",
        "SIG99",
    ]
