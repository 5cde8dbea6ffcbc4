"""A launcher that stood still and comes back after it was replaced: nothing that it does counts any more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dragons.core.vocabulary import Reason
from tests.functional.node.conftest import PROGRAM, World, agent_of, until

Write = Callable[[str], Path]

# Tries an action again and again, whatever becomes of it, and says so in a file named after its epoch.
ACTING = """
import os, signal, sys, time
from dragons.sdk import ActionDenied, open_session
signal.signal(signal.SIGTERM, signal.SIG_IGN)
said = open(sys.argv[1], "a", buffering=1)
print("pid", os.getpid(), file=said)
with open_session() as session:
    for number in range(10_000):
        try:
            with session.action("read:payments", resource=str(number)):
                print("did", number, file=said)
        except ActionDenied as denied:
            print("denied", denied.reason, file=said)
        time.sleep(0.2)
"""
# What a replaced instance may hear.
ENDED = {
    Reason.AUTHORITY_STALE, Reason.REVOKED_LEASE, Reason.ORGANISM_AUTOHEALING, Reason.ORGANISM_STOPPED,
    Reason.EPOCH_STALE, Reason.CLOCK_JUMPED,
}  # fmt: skip


class Runs:
    """`dragons run --dispatch`, outside any node."""

    def __init__(self, world: World, file: Path) -> None:
        self.world, self.file = world, file
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, dispatch_id: str, epoch: int) -> subprocess.Popen[bytes]:
        folder = self.file.parent
        words = ["run", "--goal", "a test", "--agent", agent_of(self.file), "--capability", "read:payments"]
        ordered = ["--dispatch", dispatch_id, "--epoch", str(epoch), "--no-replay"]
        command = [sys.executable, str(self.file), str(self.said(epoch))]
        process = self.world.start(*words, *ordered, "--", *command, log=folder / f"{epoch}.log")
        self.started.append(process)
        return process

    def said(self, epoch: int) -> Path:
        return self.file.parent / f"said-{epoch}.txt"

    def lines(self, epoch: int, begins: str) -> list[str]:
        path = self.said(epoch)
        text = path.read_text() if path.is_file() else ""
        return [line for line in text.splitlines() if line.startswith(begins)]

    def pid(self, epoch: int) -> int:
        return int(until(lambda: self.lines(epoch, "pid "), "the program")[0].split()[1])


@pytest.fixture
def runs(world: World, program: Callable[[str], Path]) -> Iterator[Runs]:
    made = Runs(world, program(ACTING))
    yield made
    for process in made.started:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def test_a_launcher_that_comes_back_after_it_was_replaced(world: World, runs: Runs) -> None:
    dispatch_id = world.create(runs.file, "--capability", "read:payments", node="nowhere")
    first = runs.start(dispatch_id, 1)
    program = runs.pid(1)
    until(lambda: runs.lines(1, "did "), "an action")
    (instance,) = world.show(dispatch_id).instances
    assert instance.node == "", "no node answers for it"
    first.send_signal(signal.SIGSTOP)
    os.kill(program, signal.SIGSTOP)
    start = until(
        lambda: [one for one in world.show(dispatch_id).orders if one.kind == "start"], "the next start"
    )[0]
    assert start.epoch == 2
    assert world.show(dispatch_id).starts[-1].fenced_by == "staleness"
    until(lambda: runs_as(world, runs, dispatch_id), "the second instance")
    until(lambda: runs.lines(2, "did "), "an action of the second")
    did = len(runs.lines(1, "did "))
    os.kill(program, signal.SIGCONT)
    denials = until(lambda: runs.lines(1, "denied "), "a denial of the first")
    assert {Reason(line.split()[1]) for line in denials} <= ENDED
    first.send_signal(signal.SIGCONT)
    assert first.wait(90) != 0
    assert len(runs.lines(1, "did ")) == did, "it acted after it was replaced"
    refused = until(lambda: late(world, runs, instance.instance_id), "its late actions on the record")
    assert {one["outcome"] for one in refused} == {"denied"}
    assert world.client.instance(instance.instance_id).state == "stopped"
    world.run("dispatch", "cancel", dispatch_id)


def test_a_second_launcher_of_the_same_epoch_is_refused(world: World, runs: Runs) -> None:
    dispatch_id = world.create(runs.file, "--capability", "read:payments", node="nowhere")
    runs.start(dispatch_id, 1)
    until(lambda: runs.lines(1, "did "), "an action")
    again = subprocess.run(
        [
            *PROGRAM, "run", "--agent", agent_of(runs.file), "--capability", "read:payments", "--dispatch",
            dispatch_id, "--epoch", "1", "-o", "json", "--", sys.executable, str(runs.file), str(runs.said(9)),
        ],
        env=world.environment(), capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert again.returncode == 1
    assert json.loads(again.stderr.splitlines()[-1])["error"]["code"] == "epoch_stale"
    assert not runs.said(9).exists()
    world.run("dispatch", "cancel", dispatch_id)


def runs_as(world: World, runs: Runs, dispatch_id: str) -> bool:
    """True when the second instance is there; starts it once its order is due."""
    if len(runs.started) == 1 or runs.started[-1].poll() is not None:
        runs.start(dispatch_id, 2)
    return len(world.show(dispatch_id).instances) > 1


def late(world: World, runs: Runs, instance_id: str) -> list[dict[str, object]]:
    """What an instance reported of the time after its authority had ended."""
    listed = world.client.receipts(agent=agent_of(runs.file), kind="work", limit=500).receipts
    return [
        one.header for one in listed if one.header["instance_id"] == instance_id and one.header.get("late")
    ]
