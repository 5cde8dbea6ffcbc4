"""The bookkeeping of instances, with a stand-in for what runs one; real programs are in tests/functional/node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from dragons.core.clock import SystemClock
from dragons.core.errors import ForbiddenError
from dragons.core.ids import ORDER, new_id
from dragons.core.vocabulary import Outcome, Reason
from dragons.node.dispatcher.port import News, Start, Stop
from dragons.node.dispatcher.process import ProcessDispatcher
from dragons.node.launcher import Launcher
from dragons.node.options import RunOptions
from dragons.sdk.errors import ControlPlaneUnreachable
from dragons.sdk.home import CONFIG_FILE, Home, write_secret
from dragons.sdk.localstore import LocalStore
from dragons.wire.dispatches import RESULTS_MAX, Dead
from tests.unit.node.test_spec import spec

INSTANCE = "01a1fe805d757723badaeae52f8a4f8e"
SPEC = spec()
SECONDS_MAX = 20


@dataclass
class Programs:
    """Stands where `run_governed` stands: each run waits until it is told how to end."""

    begun: list[RunOptions] = field(default_factory=list)
    launchers: list[Launcher] = field(default_factory=list)
    error: Exception | None = None
    launches: bool = True
    go_on: Event = field(default_factory=Event)
    outcome: Outcome = Outcome.COMPLETED
    waiting: int = 0

    def run(self, launcher: Launcher, options: RunOptions) -> Any:
        self.begun.append(options)
        self.launchers.append(launcher)
        if self.launches:
            launcher.launched(INSTANCE[:-1] + str(options.epoch))
        assert launcher.sink is not None
        launcher.sink(b"output\n")
        if self.error is not None:
            raise self.error
        assert launcher.stop is not None
        while not self.go_on.is_set() and not launcher.stop.is_set():
            launcher.stop.wait(0.01)
        outcome = Outcome.FAILED if launcher.stop.is_set() else self.outcome
        ended = SimpleNamespace(outcome=outcome, describe=lambda: f"ended {outcome.value}")
        return SimpleNamespace(ended=ended, waiting=self.waiting)


@pytest.fixture
def programs() -> Programs:
    return Programs()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    config = {"url": "http://127.0.0.1:1", "tenant_id": "tnt_1"}
    write_secret(tmp_path / CONFIG_FILE, msgspec.json.encode(config))
    return made


@pytest.fixture
def dispatcher(programs: Programs, home: Home) -> Iterator[ProcessDispatcher]:
    client: Any = None
    launcher = Launcher(home, client, SystemClock(), lambda _: None, node="n1")
    made = ProcessDispatcher(launcher, run=programs.run)
    yield made
    made.drain()


def order_id() -> str:
    return new_id(ORDER, 0)


def start(epoch: int = 1, order: str = "") -> Start:
    return Start(order or order_id(), SPEC.dispatch_id, epoch, SPEC, {"epoch": epoch - 1})


def until(look: Callable[[], Any]) -> Any:
    pause = Event()
    for _ in range(SECONDS_MAX * 100):
        if found := look():
            return found
        pause.wait(0.01)
    raise AssertionError


def test_an_instance_from_its_order_to_its_end(
    dispatcher: ProcessDispatcher, programs: Programs, home: Home
) -> None:
    assert dispatcher.is_settled()
    wanted = start(2)
    dispatcher.start(wanted)
    (instance_id,) = until(dispatcher.running)
    assert dispatcher.is_settled()
    assert not dispatcher.is_busy()
    assert dispatcher.held() == {wanted.order_id}
    options = programs.begun[0]
    assert (options.dispatch_id, options.epoch, options.supervised) == (SPEC.dispatch_id, 2, True)
    assert options.handover == {"epoch": 1}
    assert programs.launchers[0].node == "n1"
    programs.go_on.set()
    news = until(lambda: dispatcher.news() if dispatcher.news().dead else None)
    assert news == News((Dead(instance_id=instance_id, detail="ended completed", completed=True),))
    assert dispatcher.running() == ()
    dispatcher.told(news)
    assert dispatcher.news() == News()
    assert not dispatcher.is_busy()
    path = home.store_path("tnt_1").parent / "logs" / SPEC.dispatch_id / "2.log"
    assert path.read_bytes() == b"output\n"


def test_an_order_that_comes_again_starts_nothing(dispatcher: ProcessDispatcher, programs: Programs) -> None:
    first = start()
    dispatcher.start(first)
    dispatcher.start(first)
    dispatcher.start(start())
    until(dispatcher.running)
    assert len(programs.begun) == 1
    assert len(dispatcher.held()) == 2, "an order anew of an epoch that runs is at work too"


def test_a_start_that_was_refused_is_a_result(dispatcher: ProcessDispatcher, programs: Programs) -> None:
    programs.launches = False
    programs.error = ForbiddenError(Reason.ORGANISM_QUARANTINED, "Denied: isolated.")
    wanted = start()
    dispatcher.start(wanted)
    (result,) = until(lambda: dispatcher.news().results)
    assert (result.order_id, result.outcome) == (wanted.order_id, "failed")
    assert result.detail == "organism_quarantined: Denied: isolated."
    assert dispatcher.held() == {wanted.order_id}
    assert dispatcher.news().dead == ()


def test_what_the_control_plane_could_not_answer_is_tried_again(
    dispatcher: ProcessDispatcher, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragons.node.dispatcher.process._PAUSE_SECONDS", 0)
    programs.launches = False
    programs.error = ControlPlaneUnreachable("http://x", "gone", maybe_recorded=False)
    wanted = start()
    dispatcher.start(wanted)
    until(lambda: not dispatcher.held())
    assert dispatcher.news() == News()
    programs.error, programs.launches = None, True
    dispatcher.start(wanted)
    until(dispatcher.running)
    assert len(programs.begun) == 2


def test_an_unforeseen_failure_is_told_and_survived(
    dispatcher: ProcessDispatcher, programs: Programs
) -> None:
    programs.error = ZeroDivisionError("by zero")
    dispatcher.start(start())
    (dead,) = until(lambda: dispatcher.news().dead)
    assert dead.detail == "internal: ZeroDivisionError: by zero"
    assert not dead.completed


def test_a_stop_is_done_when_the_program_is_gone(dispatcher: ProcessDispatcher, programs: Programs) -> None:
    dispatcher.start(start())
    until(dispatcher.running)
    stop = Stop(order_id(), SPEC.dispatch_id, 1)
    dispatcher.stop(stop)
    assert dispatcher.is_busy()
    (result,) = until(lambda: dispatcher.news().results)
    assert (result.order_id, result.outcome, result.detail) == (stop.order_id, "done", "ended failed")
    assert dispatcher.running() == ()
    later = Stop(order_id(), SPEC.dispatch_id, 1)
    dispatcher.stop(later)
    assert dispatcher.news().results[-1].outcome == "done"
    dispatcher.stop(later)
    assert len(dispatcher.news().results) == 2
    assert len(programs.begun) == 1


def test_what_does_not_run_here_is_not_called_gone(dispatcher: ProcessDispatcher) -> None:
    dispatcher.stop(Stop(order_id(), SPEC.dispatch_id, 9))
    (result,) = dispatcher.news().results
    assert (result.outcome, result.detail) == ("failed", "this node does not run it")


def test_a_newer_epoch_ends_an_older_one(dispatcher: ProcessDispatcher, programs: Programs) -> None:
    dispatcher.start(start(1))
    until(dispatcher.running)
    dispatcher.start(start(2))
    (dead,) = until(lambda: dispatcher.news().dead)
    assert dead.instance_id.endswith("1")
    assert [one[-1] for one in until(dispatcher.running)] == ["2"]


def test_a_refusal_is_a_result(dispatcher: ProcessDispatcher) -> None:
    order = order_id()
    dispatcher.refuse(order, "spec_mismatch: " + "x" * 1000)
    dispatcher.refuse(order, "again")
    (result,) = dispatcher.news().results
    assert (result.outcome, len(result.detail)) == ("failed", 500)


def test_no_more_is_told_at_once_than_a_report_takes(dispatcher: ProcessDispatcher) -> None:
    for _ in range(RESULTS_MAX + 2):
        dispatcher.refuse(order_id(), "no")
    news = dispatcher.news()
    assert len(news.results) == RESULTS_MAX
    dispatcher.told(news)
    assert len(dispatcher.news().results) == 2


def test_draining_ends_everything_and_starts_nothing_more(
    dispatcher: ProcessDispatcher, programs: Programs
) -> None:
    dispatcher.start(start())
    until(dispatcher.running)
    dispatcher.drain()
    assert dispatcher.running() == ()
    assert [one.completed for one in dispatcher.news().dead] == [False]
    dispatcher.start(start(2))
    assert len(programs.begun) == 1


def test_an_end_waits_for_its_last_receipts(
    dispatcher: ProcessDispatcher, programs: Programs, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragons.node.dispatcher.process._LEFTOVER_SECONDS", 0)
    drained: list[int] = []
    left = [2, 1, 0]
    monkeypatch.setattr(LocalStore, "waiting", lambda *_: left.pop(0))
    monkeypatch.setattr("dragons.node.dispatcher.process.drain_outbox", lambda *_: drained.append(len(left)))
    programs.waiting = 2
    programs.go_on.set()
    dispatcher.start(start())
    (dead,) = until(lambda: dispatcher.news().dead)
    assert dead.completed
    assert drained == [2, 1]
    assert home.store_path("tnt_1").is_file()
