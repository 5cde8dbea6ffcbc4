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
from dragons.node.pump import Pump, Verdict, forwarding

SECONDS_MAX = 60
# Shows every 20 ms that it runs.
TICKING = "import time\nwhile True: print('tick', flush=True); time.sleep(0.02)"


def nowhere(_stream: str, _data: bytes) -> None: ...


def may_run() -> Verdict:
    return Verdict()


def run(
    program: str,
    judge: Callable[[], Verdict] = may_run,
    take: Callable[[str, bytes], None] = nowhere,
    tell: Callable[[str], None] = lambda _: None,
) -> Ended:
    child = Child([sys.executable, "-c", program], dict(os.environ), None)
    return Pump(child, take, judge, SystemClock(), tell=tell).run()


def stopping(reason: str) -> Callable[[], Verdict]:
    """Lets a program run for half a second."""
    started = time.monotonic()
    return lambda: Verdict(stop=reason if time.monotonic() > started + 0.5 else "")


def test_the_end_and_the_output(capfd: pytest.CaptureFixture[str]) -> None:
    taken: dict[str, bytes] = {}
    ended = run(
        "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)",
        take=lambda name, data: taken.update({name: taken.get(name, b"") + data}),
    )
    assert (ended.exit_status, ended.signal, ended.stopped_because) == (3, "", "")
    assert (ended.stdout_sha256, ended.stdout_bytes) == (hashlib.sha256(b"out\n").hexdigest(), 4)
    assert (ended.stderr_sha256, ended.stderr_bytes) == (hashlib.sha256(b"err\n").hexdigest(), 4)
    assert ended.duration_ms > 0
    assert capfd.readouterr() == ("out\n", "err\n")
    assert taken == {"stdout": b"out\n", "stderr": b"err\n"}


def test_a_signal_that_ended_it_is_named() -> None:
    ended = run("import os; os.kill(os.getpid(), 9)")
    assert (ended.exit_status, ended.signal) == (137, "SIGKILL")


@pytest.mark.parametrize("number", pumping.FORWARDED)
def test_our_signals_go_to_the_program(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
    # What a shell runs in its background ignores some of them, and so would our own program.
    ended = run(f"import signal, time; signal.signal({int(number)}, signal.SIG_DFL); time.sleep(20)")
    assert ended.exit_status == 128 + number
    assert signal.getsignal(number) is before


def test_what_came_before_it_began_reaches_it() -> None:
    child = Child(["sleep", "20"], dict(os.environ), None)
    ended = Pump(child, nowhere, may_run, SystemClock()).run([signal.SIGTERM])
    assert ended.signal == "SIGTERM"


def test_it_is_stopped_when_it_may_no_longer_run() -> None:
    told: list[str] = []
    ended = run("import time; time.sleep(20)", stopping("lease_revoked"), tell=told.append)
    assert told == ["lease_revoked: the program is stopped"]
    assert (ended.signal, ended.stopped_because) == ("SIGTERM", "lease_revoked")
    assert ended.outcome == "failed"


def test_what_ignores_the_stop_is_killed_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pumping, "GRACE_MS", 500)
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(20)"
    ended = run(program, stopping("lease_expired"))
    assert (ended.signal, ended.stopped_because) == ("SIGKILL", "lease_expired")


def test_what_was_paused_is_stopped_too() -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
    assert run(program, stopping("lease_expired")).stopped_because == "lease_expired"


class Course:
    """What the judge says: whatever the test sets. Notes how often the program ticked."""

    def __init__(self) -> None:
        self.verdict = Verdict()
        self.ticks = 0
        self.told: list[str] = []
        self.ended: list[Ended] = []

    def take(self, _stream: str, data: bytes) -> None:
        self.ticks += data.count(b"tick")

    def start(self, program: str = TICKING) -> threading.Thread:
        thread = threading.Thread(
            target=lambda: self.ended.append(run(program, lambda: self.verdict, self.take, self.told.append))
        )
        thread.start()
        self.wait_for(lambda: self.ticks > 0)
        return thread

    def wait_for(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + SECONDS_MAX
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.02)

    def freeze(self) -> int:
        """Freeze and return the ticks at which it stood still."""
        self.verdict = Verdict(freeze="lease_expired")
        self.wait_for(lambda: bool(self.told))
        # What it wrote before is still on its way.
        time.sleep(0.5)
        return self.ticks


def test_a_lapsed_lease_freezes_until_it_is_renewed() -> None:
    course = Course()
    thread = course.start()
    frozen_at = course.freeze()
    time.sleep(0.3)
    assert course.ticks == frozen_at
    # Renewed, and not yet handed on.
    course.verdict = Verdict(wait=True)
    time.sleep(0.5)
    assert course.ticks == frozen_at
    course.verdict = Verdict()
    course.wait_for(lambda: course.ticks > frozen_at)
    course.verdict = Verdict(stop="lease_revoked")
    thread.join(SECONDS_MAX)
    (ended,) = course.ended
    assert (ended.signal, ended.stopped_because) == ("SIGTERM", "lease_revoked")
    assert course.told == [
        "lease_expired: the program is frozen until its lease is renewed",
        "the lease was renewed: the program goes on",
        "lease_revoked: the program is stopped",
    ]


def test_what_is_frozen_is_stopped_when_the_lease_is_over_for_good() -> None:
    course = Course()
    thread = course.start()
    course.freeze()
    course.verdict = Verdict(stop="lease_expired")
    thread.join(SECONDS_MAX)
    assert course.ended[0].stopped_because == "lease_expired"


def test_nobody_else_lets_a_frozen_program_go_on() -> None:
    course = Course()
    thread = course.start("import os; print(os.getpid(), 'tick', flush=True)\n" + TICKING)
    course.freeze()
    (child,) = Path(f"/proc/self/task/{thread.native_id}/children").read_text().split()
    os.kill(int(child), signal.SIGCONT)
    course.wait_for(lambda: Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    course.verdict = Verdict(stop="stopped")
    thread.join(SECONDS_MAX)


def test_a_signal_ends_a_frozen_program() -> None:
    started = time.monotonic()

    def judge() -> Verdict:
        frozen = time.monotonic() > started + 0.5
        return Verdict(freeze="lease_expired" if frozen else "")

    threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    ended = run("import time; time.sleep(60)", judge)
    assert ended.stopped_because == "lease_expired"
    assert ended.signal in {"SIGINT", "SIGTERM"}


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
