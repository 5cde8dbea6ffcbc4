"""Progress as the control plane gets to know it: what is new counts, what only looks busy does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dragons.wire.liveness import InstanceView
from tests.functional.plane import ControlPlane, make_agent
from tests.functional.run.conftest import Launch, Running
from tests.functional.run.record import SECONDS_MAX

BEGIN = "import os, time\nprint(os.environ['DRAGONS_SESSION'], flush=True)\n"
BUSY = (
    BEGIN
    + "while True: print(time.strftime('%Y-%m-%dT%H:%M:%SZ'), 'working', flush=True); time.sleep(0.05)\n"
)
COUNTING = BEGIN + "number = 0\nwhile True: number += 1; print(number, flush=True); time.sleep(0.05)\n"
WRITING = BEGIN + (
    "number = 0\nwhile True:\n"
    "    number += 1\n"
    "    open('{out}', 'w').write(str(number))\n"
    "    print('written', flush=True)\n"
    "    time.sleep(0.1)\n"
)


def seen(plane: ControlPlane, session_id: str) -> InstanceView:
    with plane.client() as client:
        return client.instance(client.session(session_id).instance_id)


def watch(plane: ControlPlane, session_id: str, done: Callable[[InstanceView], bool]) -> InstanceView:
    """The instance once `done` says so."""
    until = time.monotonic() + SECONDS_MAX
    while not done(view := seen(plane, session_id)):
        assert time.monotonic() < until, view
        time.sleep(0.2)
    return view


def beats(plane: ControlPlane, session_id: str, count: int) -> InstanceView:
    """The instance after so many more heartbeats; they come every second."""
    view = seen(plane, session_id)
    for _ in range(count):
        aged = watch(plane, session_id, lambda view: view.pulse_age_ms > 300)
        view = watch(plane, session_id, lambda view, aged=aged: view.pulse_age_ms < aged.pulse_age_ms)
    return view


def end(running: Running) -> None:
    running.process.terminate()
    running.wait()


def test_the_same_line_for_ever_is_no_progress(plane: ControlPlane, launch: Launch) -> None:
    running = launch(BUSY)
    session_id = running.line()
    # Its session's name and one line.
    before = watch(plane, session_id, lambda view: view.progress_sequence == 2)
    after = beats(plane, session_id, 3)
    assert (after.progress_sequence, after.progress_source) == (2, "output")
    assert after.progress_age_ms > before.progress_age_ms
    end(running)
    assert running.result["progress"] == ["output"]


def test_novel_lines_are_progress(plane: ControlPlane, launch: Launch) -> None:
    running = launch(COUNTING)
    session_id = running.line()
    first = watch(plane, session_id, lambda view: view.progress_sequence > 2)
    watch(plane, session_id, lambda view: view.progress_sequence > first.progress_sequence + 10)
    end(running)


def test_watched_files_are_progress_where_the_output_is_not(
    plane: ControlPlane, launch: Launch, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    running = launch(WRITING.format(out=tmp_path / "out" / "report"), watch=[str(tmp_path / "out")])
    session_id = running.line()
    first = watch(plane, session_id, lambda view: view.progress_source == "files")
    watch(plane, session_id, lambda view: view.progress_sequence > first.progress_sequence)
    end(running)
    assert running.result["progress"] == ["files", "output"]


def test_an_agent_s_author_may_say_what_to_watch(plane: ControlPlane, launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    agent = make_agent(
        tmp_path / "agent", "watched", ["read:payments"], WRITING.format(out=tmp_path / "out" / "report")
    )
    with (agent / "agent.yaml").open("a") as file:
        file.write("watch: [../out]\n")
    running = launch(agent_dir=str(agent), command=[])
    watch(plane, running.line(), lambda view: view.progress_source == "files")
    end(running)


def test_a_path_that_cannot_be_watched_starts_nothing(launch: Launch, tmp_path: Path) -> None:
    running = launch("print(1)\n", watch=[str(tmp_path / "no" / "where")])
    assert running.wait() == 99
    assert running.result["code"] == "watch_missing"


WORKING = (
    BEGIN
    + "from dragons.sdk import open_session\n"
    + "with open_session() as session:\n"
    + "    number = 0\n"
    + "    while True:\n"
    + "        number += {step}\n"
    + "        with session.action('read:payments', arguments={{'page': number}}): pass\n"
    + "        time.sleep(0.1)\n"
)


@pytest.mark.parametrize("step", [0, 1])
def test_an_agent_s_own_work_counts_when_it_is_not_the_same_again(
    plane: ControlPlane, launch: Launch, step: int
) -> None:
    running = launch(WORKING.format(step=step), capabilities=["read:payments"])
    session_id = running.line()
    # One for the line that it printed.
    first = watch(plane, session_id, lambda view: view.progress_sequence > 1)
    after = beats(plane, session_id, 3)
    if step:
        assert after.progress_sequence > first.progress_sequence
    else:
        assert after.progress_sequence == first.progress_sequence == 2
        assert after.progress_age_ms > first.progress_age_ms
    end(running)
    assert running.result["progress"] == ["output", "receipts"]
