from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dragons.core.clock import SystemClock
from dragons.node import pump as pumping
from dragons.node.child import Child
from dragons.node.options import Ended
from dragons.node.pump import Pump, forwarding
from dragons.node.streams import OutputProgress


def run(program: str, over: Callable[[], str] = lambda: "", progress: OutputProgress | None = None) -> Ended:
    child = Child([sys.executable, "-c", program], dict(os.environ), None)
    return Pump(child, progress or OutputProgress(), over, SystemClock()).run()


def test_the_end_and_the_output(capfd: pytest.CaptureFixture[str]) -> None:
    progress = OutputProgress()
    ended = run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", progress=progress)
    assert (ended.exit_status, ended.signal, ended.stopped_because) == (3, "", "")
    assert (ended.stdout_sha256, ended.stdout_bytes) == (hashlib.sha256(b"out\n").hexdigest(), 4)
    assert (ended.stderr_sha256, ended.stderr_bytes) == (hashlib.sha256(b"err\n").hexdigest(), 4)
    assert ended.duration_ms > 0
    assert capfd.readouterr() == ("out\n", "err\n")
    assert progress.bytes == 8


def test_a_signal_that_ended_it_is_named() -> None:
    ended = run("import os; os.kill(os.getpid(), 9)")
    assert (ended.exit_status, ended.signal) == (137, "SIGKILL")


@pytest.mark.parametrize("number", pumping.FORWARDED)
def test_our_signals_go_to_the_program(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
    ended = run("import time; time.sleep(20)")
    assert ended.exit_status == 128 + number
    assert signal.getsignal(number) is before


def test_what_came_before_it_began_reaches_it() -> None:
    child = Child(["sleep", "20"], dict(os.environ), None)
    ended = Pump(child, OutputProgress(), lambda: "", SystemClock()).run([signal.SIGTERM])
    assert ended.signal == "SIGTERM"


def test_it_is_stopped_when_it_may_no_longer_run() -> None:
    started = time.monotonic()
    ended = run(
        "import time; time.sleep(20)", lambda: "lease_revoked" if time.monotonic() > started + 0.5 else ""
    )
    assert (ended.signal, ended.stopped_because) == ("SIGTERM", "lease_revoked")
    assert ended.outcome == "failed"


def test_what_ignores_the_stop_is_killed_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pumping, "GRACE_MS", 500)
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(20)"
    started = time.monotonic()
    ended = run(program, lambda: "lease_expired" if time.monotonic() > started + 0.5 else "")
    assert (ended.signal, ended.stopped_because) == ("SIGKILL", "lease_expired")


def test_what_was_paused_is_stopped_too() -> None:
    started = time.monotonic()
    program = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
    ended = run(program, lambda: "lease_expired" if time.monotonic() > started + 0.5 else "")
    assert ended.stopped_because == "lease_expired"


def test_a_descendant_that_holds_the_output_does_not_hold_us(tmp_path: Path) -> None:
    # It would write the file only if we had waited for its own end.
    late = tmp_path / "late"
    program = f"import subprocess; subprocess.Popen(['sh', '-c', 'sleep 30; touch {late}'])"
    assert run(program).exit_status == 0
    assert not late.exists()


def test_in_another_thread_no_handler_is_touched() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def look() -> None:
        with forwarding(lambda _: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]
