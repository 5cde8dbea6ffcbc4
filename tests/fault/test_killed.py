"""A process that is killed while many append: what was acknowledged is there, and the ledger goes on."""

from __future__ import annotations

import random
import signal
import threading
from pathlib import Path

import pytest

from tests.fault.processes import acknowledged, appending, assert_kept, hear, reopened
from tests.support.plane import assert_sound

MOST_LINES = 400
LAST_SECONDS_MAX = 0.02


def killed_once(home: Path, moment: random.Random) -> dict[int, str]:
    """Kill the appender at a random moment; what it had been told until then."""
    with appending(home, 0) as process:
        # From "not even open yet" to "in the middle of a commit".
        lines = list(hear(process, moment.randrange(MOST_LINES)))
        threading.Event().wait(moment.random() * LAST_SECONDS_MAX)
        process.kill()
        lines.extend(hear(process))
        process.wait()
        assert process.returncode == -signal.SIGKILL
        assert not [line for line in lines if line.startswith("failed")]
        return acknowledged(lines)


def killed_often(home: Path, times: int, seed: int) -> None:
    moment = random.Random(seed)
    told: dict[int, str] = {}
    for _ in range(times):
        new = killed_once(home, moment)
        assert not told.keys() & new.keys(), "a place in the ledger was given away twice"
        told |= new
        with reopened(home) as tenancy:
            assert_kept(tenancy, told)
    assert told
    with reopened(home) as tenancy:
        assert_sound(tenancy.plane, tenancy)


def test_what_was_acknowledged_survives_a_kill(home: Path) -> None:
    killed_often(home, 8, seed=20260101)


@pytest.mark.deep
def test_what_was_acknowledged_survives_a_hundred_kills(home: Path) -> None:
    killed_often(home, 100, seed=random.randrange(1 << 32))
