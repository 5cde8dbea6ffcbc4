"""A lease that lapses while the control plane is away: the program stands still, and goes on or ends with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.plane import ControlPlane
from tests.functional.run.conftest import Launch, Running
from tests.functional.run.record import (
    SECONDS_MAX,
    closing,
    ended_as,
    receipts,
    verify,
    wait_until_gone,
)

TTL_SECONDS = 4
# Says its session and its process, then writes how far it has come, many times a second.
TICKING = (
    "import os, time\nprint(os.environ['DRAGONS_SESSION'], os.getpid(), flush=True)\nnumber = 0\n"
    "while True:\n    number += 1\n    open('{out}', 'w').write(str(number))\n    time.sleep(0.02)\n"
)
WORKING = (
    "import os, time\nfrom dragons.sdk import ActionDenied, open_session\n"
    "print(os.environ['DRAGONS_SESSION'], os.getpid(), flush=True)\nnumber = 0\n"
    "with open_session() as session:\n"
    "    while True:\n"
    "        try:\n"
    "            with session.action('read:payments', arguments={{'n': number}}): number += 1\n"
    "        except ActionDenied: pass\n"
    "        open('{out}', 'w').write(str(number))\n"
    "        time.sleep(0.05)\n"
)


class Course:
    """A program that shows how far it has come."""

    def __init__(self, running: Running, out: Path) -> None:
        self.running = running
        self._out = out
        self.session_id, pid = running.line().split()
        self.pid = int(pid)
        self.wait_for(lambda: self.count > 0)

    @property
    def count(self) -> int:
        return int((self._out.read_text() if self._out.exists() else "") or 0)

    @property
    def state(self) -> str:
        """The process's state letter."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + SECONDS_MAX
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.05)

    def wait_until_frozen(self) -> int:
        """How far it had come."""
        self.wait_for(lambda: self.state == "T")
        return self.count


@pytest.fixture
def away(plane: ControlPlane) -> Iterator[ControlPlane]:
    """The plane, which a test may take away; it is back afterwards."""
    yield plane
    plane.kill()
    plane.start()


@pytest.mark.parametrize("program", [TICKING, WORKING], ids=["unmodified", "sdk"])
def test_it_is_frozen_without_its_lease_and_goes_on_with_a_late_renewal(
    away: ControlPlane, launch: Launch, tmp_path: Path, program: str
) -> None:
    out = tmp_path / "count"
    running = launch(program.format(out=out), ttl_seconds=TTL_SECONDS, capabilities=["read:payments"])
    course = Course(running, out)
    away.kill()
    frozen_at = course.wait_until_frozen()
    time.sleep(1)
    assert (course.state, course.count) == ("T", frozen_at)
    away.start()
    course.wait_for(lambda: course.count > frozen_at + 5)
    running.process.terminate()
    assert running.wait() == 143
    result = running.result
    assert result["told"][-2:] == [
        "lease_expired: the program is frozen until its lease is renewed",
        "the lease was renewed: the program goes on",
    ]
    assert result["ended"]["stopped_because"] == ""
    assert result["replay"] == "pass"
    with away.client() as client:
        instance = client.instance(result["instance_id"])
    assert (instance.state, instance.epoch) == ("stopped", 1)
    assert {view.kind for view in receipts(away, course.session_id)} <= {
        "session.opened", "work", "session.closed", "denied",
    }  # fmt: skip
    verify(away, course.session_id, tmp_path)


def test_it_is_stopped_when_the_grace_is_over(away: ControlPlane, launch: Launch, tmp_path: Path) -> None:
    out = tmp_path / "count"
    running = launch(TICKING.format(out=out), ttl_seconds=TTL_SECONDS, agent="impatient")
    course = Course(running, out)
    away.forgive_nothing("impatient")
    away.kill()
    frozen_at = course.wait_until_frozen()
    time.sleep(2)
    away.start()
    assert running.wait() == 143
    assert running.result["ended"]["stopped_because"] == "lease_expired"
    wait_until_gone(course.pid)
    # Between the stop's signals it may come so far as to hear of it.
    assert course.count <= frozen_at + 1
    assert ended_as(away, course.session_id) == "abandoned"


def test_who_wants_a_frozen_program_to_end_need_not_wait(
    away: ControlPlane, launch: Launch, tmp_path: Path
) -> None:
    out = tmp_path / "count"
    running = launch(TICKING.format(out=out), ttl_seconds=TTL_SECONDS)
    course = Course(running, out)
    away.kill()
    course.wait_until_frozen()
    running.process.terminate()
    assert running.wait() == 143
    assert running.result["ended"]["stopped_because"] == "lease_expired"
    assert running.result["waiting"] == 1


def test_news_that_is_late_freezes_nothing(away: ControlPlane, launch: Launch, tmp_path: Path) -> None:
    out = tmp_path / "count"
    running = launch(TICKING.format(out=out), ttl_seconds=60)
    course = Course(running, out)
    away.kill()
    # Far longer than a view of the revocations counts.
    time.sleep(7)
    before = course.count
    course.wait_for(lambda: course.count > before + 5)
    away.start()
    running.process.terminate()
    assert running.wait() == 143
    assert running.result["told"][-1:] != ["the lease was renewed: the program goes on"]
    body, _ = closing(away, running.result["receipt_id"])
    assert body.session_id == course.session_id
