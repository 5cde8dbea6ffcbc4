from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dragons.core.clock import SystemClock
from dragons.core.errors import InvalidInputError
from dragons.node.playbook.format import Ready, Service
from dragons.node.playbook.service import Ended, Running, Tail, probe
from dragons.sdk.attachment import INSTANCE_VARIABLE

CLOCK = SystemClock()
WAIT = "import time\nprint('up', flush=True)\ntime.sleep(60)\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAIT


class Started:
    """A service that runs a program text, and what it wrote."""

    def __init__(self, program: str, folder: Path, *, grace: float = 5, **environment: str) -> None:
        self.seen: list[tuple[str, bytes]] = []
        service = Service(
            command=[sys.executable, "-c", program], environment=environment, stop_grace_seconds=grace
        )
        take = lambda name, data: self.seen.append((name, data))  # noqa: E731 - a parameter
        self.running = Running(service, folder, CLOCK, take, hidden=["KEY"])

    def until(self, text: bytes) -> None:
        while text not in self.running.tail.data:
            assert self.running.serve(0.05) is None

    def end(self) -> Ended:
        while (ended := self.running.serve(0.05)) is None:
            pass
        return ended


@pytest.fixture
def start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[type[Started]]:
    made: list[Started] = []

    def begin(program: str, **more: object) -> Started:
        made.append(Started(program, tmp_path, **more))  # type: ignore[arg-type]
        return made[-1]

    yield begin  # type: ignore[misc]
    for one in made:
        if one.running._child.pidfd >= 0:
            one.running.close()


def test_its_end_and_its_output_are_seen(start, capfd: pytest.CaptureFixture[str]) -> None:
    ended = start("import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)").end()
    assert (ended.exit_status, ended.signal, ended.how) == (3, "", "exit status 3")
    assert ended.stdout_sha256 == sha256(b"out\n").hexdigest()
    assert (ended.stdout_bytes, ended.stderr_bytes) == (4, 4)
    assert capfd.readouterr() == ("out\n", "err\n")


def test_a_signal_is_named(start) -> None:
    ended = start("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)").end()
    assert (ended.exit_status, ended.signal, ended.how) == (139, "SIGSEGV", "signal SIGSEGV")


def test_the_tail_is_what_it_wrote_last(start) -> None:
    one = start("print('first', flush=True)\nprint('last', flush=True)")
    one.end()
    assert one.running.tail.data == b"first\nlast\n"
    assert b"".join(data for name, data in one.seen if name == "stdout") == b"first\nlast\n"


def test_it_gets_its_own_variables_and_none_of_ours(start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INSTANCE_VARIABLE, "/x")
    monkeypatch.setenv("KEY", "k")
    one = start(
        "import os\nprint([os.environ.get(n) for n in ('DRAGONS_INSTANCE', 'KEY', 'PORT')])", PORT="1"
    )
    one.end()
    assert one.running.tail.data == b"[None, None, '1']\n"


def test_it_has_no_input(start) -> None:
    one = start("import sys\nprint(repr(sys.stdin.read()))")
    one.end()
    assert one.running.tail.data == b"''\n"


def test_it_is_asked_to_end(start) -> None:
    one = start(WAIT)
    one.until(b"up")
    assert not one.running.is_stopping
    one.running.stop()
    assert one.running.is_stopping
    assert one.end().signal == "SIGTERM"


@pytest.mark.parametrize(("grace", "times"), [(0.2, 1), (60, 2)])
def test_after_its_grace_or_when_asked_again_it_is_killed(start, grace: float, times: int) -> None:
    one = start(STUBBORN, grace=grace)
    one.until(b"up")
    for _ in range(times):
        one.running.stop()
    assert one.end().signal == "SIGKILL"


def test_it_can_be_held_and_let_go(start) -> None:
    one = start(WAIT)
    one.until(b"up")
    one.running.freeze()
    os.waitid(os.P_PID, one.running.pid, os.WSTOPPED | os.WNOWAIT)
    one.running.thaw()
    one.running.stop()
    assert one.end().signal == "SIGTERM"


def test_what_it_started_ends_with_it(start) -> None:
    one = start("import subprocess\nprint(subprocess.Popen(['sleep', '60']).pid, flush=True)")
    one.end()
    pid = int(one.running.tail.data)
    while lives(pid):
        time.sleep(0.01)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_is_not_there_can_t_be_started(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Running(Service(command=["no-such-program"]), tmp_path, CLOCK, lambda *_: None)
    assert caught.value.code == "program_unstartable"


def test_a_tail_forgets_what_is_too_old() -> None:
    tail = Tail(bytes_max=4)
    for _ in range(10):
        tail.take(b"abc")
    assert tail.data == b"cabc"
    assert len(tail._data) <= 8 + 3


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"well")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "ready"), [(200, True), (302, True), (404, False), (503, False)])
def test_readiness_is_an_answer(status: int, *, ready: bool) -> None:
    with answering(status) as port:
        assert (probe(Ready(url=f"http://127.0.0.1:{port}/health")) is not None) == ready
        assert probe(Ready(tcp=f"127.0.0.1:{port}")) == b""
    assert probe(Ready(url=f"http://127.0.0.1:{port}/health")) is None
    assert probe(Ready(tcp=f"127.0.0.1:{port}")) is None
