"""Reports and orders, against stand-ins for the control plane and the dispatcher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from dragons.core.clock import ManualClock
from dragons.core.errors import DragonsError, NotFoundError
from dragons.core.ids import ORDER, new_id
from dragons.core.statement import Envelope
from dragons.evidence.receipt import Handover
from dragons.node.dispatcher.port import News, Start, Stop
from dragons.node.spec import write_spec
from dragons.node.supervisor import BUSY_MS, WAIT_MS, WHOLE_MS, Place, Supervisor
from dragons.sdk.errors import ControlPlaneUnreachable
from dragons.sdk.home import Home
from dragons.wire.dispatches import Dead, NodeOrder, NodeOrders, NodeReport, OrderResult, OrderView
from tests.unit.node.test_spec import TENANT_ID, order, spec

INSTANCE = "01a1fe805d757723badaeae52f8a4f8e"
SPEC = spec()


@dataclass
class Client:
    """Answers what was prepared, and remembers what it was told."""

    clock: ManualClock
    answers: list[NodeOrders | DragonsError] = field(default_factory=list)
    told: list[NodeReport] = field(default_factory=list)
    takes_ms: int = WAIT_MS
    then: Callable[[], object] = lambda: None

    def report_node(self, node: str, report: NodeReport) -> NodeOrders:
        assert node == "n1"
        self.told.append(report)
        self.clock.advance(self.takes_ms)
        self.then()
        answer = self.answers.pop(0) if self.answers else NodeOrders(orders=[])
        if isinstance(answer, DragonsError):
            raise answer
        return answer


@dataclass
class Dispatching:
    """Remembers what it was asked to do."""

    asked: list[Any] = field(default_factory=list)
    pending: News = field(default_factory=News)
    settled: bool = True
    busy: bool = False

    def start(self, start: Start) -> None:
        self.asked.append(start)

    def stop(self, stop: Stop) -> None:
        self.asked.append(stop)

    def refuse(self, order_id: str, detail: str) -> None:
        self.asked.append((order_id, detail))

    def running(self) -> tuple[str, ...]:
        return (INSTANCE,)

    def held(self) -> set[str]:
        return {"b", "a"}

    def is_settled(self) -> bool:
        return self.settled

    def is_busy(self) -> bool:
        return self.busy

    def news(self) -> News:
        return self.pending

    def told(self, news: News) -> None:
        self.asked.append(news)
        self.pending = News()

    def drain(self) -> None:
        self.asked.append("drain")


class Scene:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.client = Client(self.clock)
        self.dispatcher = Dispatching()
        self.said: list[str] = []
        self.home = Home(folder)
        self.stop = Event()
        place = Place("n1", self.home, TENANT_ID, self.clock)
        client: Any = self.client
        self.supervisor = Supervisor(place, client, self.dispatcher, self.said.append)

    def turn(self, *answers: NodeOrders | DragonsError) -> NodeReport:
        self.client.answers += answers
        self.supervisor.turn(self.stop)
        return self.client.told[-1]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr("dragons.node.supervisor.PAUSE_SECONDS_FIRST", 0.001)
    made = Scene(tmp_path)
    made.supervisor._pause_seconds = 0.001
    return made


def given(kind: str, statement: Envelope | None = None, handover: Handover | None = None) -> NodeOrder:
    view = OrderView(
        order_id=new_id(ORDER, 0), kind=kind, dispatch_id=SPEC.dispatch_id, agent=SPEC.agent, epoch=2,
        target="n1", due_at="", created_at="", instance_id=INSTANCE,
    )  # fmt: skip
    return NodeOrder(view=view, statement=statement, handover=handover)


def orders(*those: NodeOrder) -> NodeOrders:
    return NodeOrders(orders=list(those))


def test_the_first_report_is_whole_and_the_next_ones_are_not_for_a_while(scene: Scene) -> None:
    report = scene.turn()
    assert (report.fresh, report.running, report.held) == (True, [INSTANCE], ["a", "b"])
    assert report.wait_ms == WAIT_MS
    assert not scene.turn().fresh
    scene.clock.advance(WHOLE_MS)
    scene.dispatcher.settled = False
    assert not scene.turn().fresh, "a start is under way, so what runs is not known"
    scene.dispatcher.settled = True
    assert scene.turn().fresh


def test_while_something_changes_reports_are_frequent(scene: Scene) -> None:
    scene.dispatcher.busy = True
    assert scene.turn().wait_ms == BUSY_MS


def test_news_are_told_until_they_were_heard(scene: Scene) -> None:
    news = News(
        (Dead(instance_id=INSTANCE, detail="exit status 3"),),
        (OrderResult(order_id=new_id(ORDER, 0), outcome="done"),),
    )
    scene.dispatcher.pending = news
    scene.turn(ControlPlaneUnreachable("http://x", "gone", maybe_recorded=True))
    assert scene.dispatcher.asked == []
    report = scene.turn()
    assert (report.dead, report.results) == (list(news.dead), list(news.results))
    assert report.fresh, "an answer was lost"
    assert scene.dispatcher.asked == [news]


def test_a_start_is_what_the_operator_signed(scene: Scene) -> None:
    write_spec(scene.home, TENANT_ID, SPEC)
    handover = Handover(instance_id=INSTANCE, epoch=1, progress_sequence=7)
    one = given("start", order(SPEC), handover)
    scene.turn(orders(one))
    start = scene.dispatcher.asked[-1]
    assert (start.order_id, start.epoch, start.spec) == (one.view.order_id, 2, SPEC)
    assert start.handover == {"instance_id": INSTANCE, "epoch": 1, "progress_sequence": 7}


def test_what_was_not_signed_or_is_not_here_is_refused(scene: Scene) -> None:
    scene.turn(orders(given("start", order(SPEC)), given("start")))
    assert [detail.partition(":")[0] for _, detail in scene.dispatcher.asked[1:]] == [
        "secret_missing", "order_malformed",
    ]  # fmt: skip
    write_spec(scene.home, TENANT_ID, SPEC)
    scene.turn(orders(given("start", order(SPEC, spec_hash="0" * 64))))
    assert scene.dispatcher.asked[-1][1].startswith("spec_mismatch: ")
    other = spec()
    write_spec(scene.home, TENANT_ID, other)
    scene.turn(orders(given("start", order(other))))
    assert scene.dispatcher.asked[-1][1].startswith("order_malformed: ")


def test_a_stop_names_the_epoch(scene: Scene) -> None:
    one = given("stop")
    scene.turn(orders(one))
    assert scene.dispatcher.asked[-1] == Stop(one.view.order_id, SPEC.dispatch_id, 2)


def test_trouble_is_said_once_and_its_end(scene: Scene) -> None:
    gone = ControlPlaneUnreachable("http://x", "gone", maybe_recorded=False)
    scene.turn(gone)
    scene.turn(gone)
    assert len(scene.said) == 1
    scene.turn()
    assert scene.said[1:] == ["The control plane answers again."]


def test_a_result_that_nobody_knows_is_dropped(scene: Scene) -> None:
    results = (OrderResult(order_id=new_id(ORDER, 0), outcome="done"),)
    scene.dispatcher.pending = News(results=results)
    scene.turn(NotFoundError("order_missing", "There is no such order."))
    assert scene.dispatcher.asked == [News(results=results)]


def test_an_early_empty_answer_is_not_asked_for_at_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    monkeypatch.setattr(scene.stop, "wait", paused.append)
    scene.client.takes_ms = 0
    scene.turn()
    assert len(paused) == 1
    scene.client.takes_ms = WAIT_MS
    scene.turn()
    assert len(paused) == 1


def test_leaving_drains_and_says_so(scene: Scene) -> None:
    scene.client.then = scene.stop.set
    scene.supervisor.run(scene.stop)
    assert "drain" in scene.dispatcher.asked
    assert scene.client.told[-1].wait_ms == 0


def test_whatever_happens_reports_go_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragons.node.supervisor.PAUSE_SECONDS_MAX", 0)
    failures = [ZeroDivisionError("by zero")]

    def news() -> News:
        if failures:
            raise failures.pop()
        return News()

    monkeypatch.setattr(scene.dispatcher, "news", news)
    scene.client.then = scene.stop.set
    scene.supervisor.run(scene.stop)
    assert scene.said[0] == "internal: ZeroDivisionError: by zero; going on"
    assert scene.client.told


def test_orders_that_come_while_leaving_are_left(scene: Scene) -> None:
    scene.stop.set()
    scene.turn(orders(given("stop")))
    assert not [one for one in scene.dispatcher.asked if isinstance(one, Stop)]


def test_leaving_without_a_control_plane_is_possible(scene: Scene) -> None:
    scene.stop.set()
    scene.client.answers = [ControlPlaneUnreachable("http://x", "gone", maybe_recorded=False)]
    scene.supervisor.run(scene.stop)
    assert "next start makes up for it" in scene.said[-1]
