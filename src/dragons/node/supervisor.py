"""The node's supervisor: says what runs here, takes the control plane's orders, and says what came of them.

While the control plane is away the programs go on as far as their leases let them. Starts nothing but
what an operator signed (`dragons.node.spec`), and reports a program as gone only when it is.
"""

from __future__ import annotations

from threading import Event, Thread
from typing import NamedTuple

import msgspec

from dragons import __version__
from dragons.core.clock import Clock
from dragons.core.errors import DragonsError, NotFoundError
from dragons.core.ids import new_jitter
from dragons.node.dispatcher.port import Dispatcher, News, Start, Stop
from dragons.node.prepare import Tell
from dragons.node.spec import read_spec
from dragons.sdk.client import OperatorClient
from dragons.sdk.home import Home
from dragons.wire.dispatches import NodeOrder, NodeOrders, NodeReport

# How long a report waits for orders, and how often it is repeated while something is about to change.
WAIT_MS = 5_000
BUSY_MS = 500
# A whole report is made first, after every report whose answer was lost, and this often.
WHOLE_MS = 60_000
PAUSE_SECONDS_FIRST = 0.5
PAUSE_SECONDS_MAX = 10.0
_JOIN_SECONDS = 20.0
_START = "start"


class Place(NamedTuple):
    """Who a node is: its name, its home and tenant, and the clock."""

    name: str
    home: Home
    tenant_id: str
    clock: Clock


class Supervisor:
    """One node at work. `client` should not repeat what fails: the next report says what is true then."""

    def __init__(self, place: Place, client: OperatorClient, dispatcher: Dispatcher, tell: Tell) -> None:
        self._place = place
        self._client = client
        self._dispatcher = dispatcher
        self._tell = tell
        self._whole_due_ms = self._number = 0
        self._trouble = ""
        self._pause_seconds = PAUSE_SECONDS_FIRST

    def run(self, stop: Event) -> None:
        """Work until `stop` is set; then end every program here, and say so."""
        poller = Thread(target=self._work, args=(stop,), name="dragons-reports", daemon=True)
        poller.start()
        stop.wait()
        self._dispatcher.drain()
        poller.join(_JOIN_SECONDS)
        news = self._dispatcher.news()
        try:
            # Orders in the answer are for whoever comes next: they are given again.
            self._client.report_node(self._place.name, self._report(news, wait_ms=0))
        except DragonsError as error:
            self._tell(f"the last report was not made ({error.code}); the node's next start makes up for it")

    def turn(self, stop: Event) -> None:
        """One report, and the orders that it brought."""
        dispatcher, clock = self._dispatcher, self._place.clock
        news, began_ms = dispatcher.news(), clock.boot_ms()
        report = self._report(news, wait_ms=BUSY_MS if dispatcher.is_busy() else WAIT_MS)
        try:
            answer = self._client.report_node(self._place.name, report)
        except DragonsError as error:
            self._failed(error, news, stop)
            return
        self._heard()
        dispatcher.told(news)
        if report.fresh:
            self._whole_due_ms = clock.boot_ms() + WHOLE_MS
        self._carry_out(answer, stop)
        if not answer.orders and clock.boot_ms() - began_ms < report.wait_ms // 2:
            # A control plane that shuts down answers at once.
            stop.wait(PAUSE_SECONDS_FIRST)

    def _work(self, stop: Event) -> None:
        while not stop.is_set():
            try:
                self.turn(stop)
            except Exception as error:  # noqa: BLE001 - the programs here must not lose who looks after them
                self._whole_due_ms = 0
                self._tell(f"internal: {type(error).__name__}: {error}; going on")
                stop.wait(PAUSE_SECONDS_MAX)

    def _report(self, news: News, wait_ms: int) -> NodeReport:
        dispatcher = self._dispatcher
        held = sorted(dispatcher.held())
        whole = self._place.clock.boot_ms() >= self._whole_due_ms and dispatcher.is_settled()
        return NodeReport(
            running=list(dispatcher.running()),
            dead=list(news.dead),
            results=list(news.results),
            held=held,
            fresh=whole,
            number=self._next_number(),
            version=__version__,
            wait_ms=wait_ms,
        )

    def _next_number(self) -> int:
        # By the clock, so that it also grows from one start of the node to the next.
        self._number = max(self._number + 1, self._place.clock.now_ms())
        return self._number

    def _carry_out(self, answer: NodeOrders, stop: Event) -> None:
        for order in answer.orders:
            if stop.is_set():
                return
            view = order.view
            if view.kind == _START:
                self._start(order)
            else:
                self._dispatcher.stop(Stop(view.order_id, view.dispatch_id, view.epoch))

    def _start(self, order: NodeOrder) -> None:
        view, place = order.view, self._place
        if order.statement is None:
            self._dispatcher.refuse(
                view.order_id, "order_malformed: it comes without the operator's statement"
            )
            return
        try:
            spec = read_spec(place.home, place.tenant_id, order.statement)
        except DragonsError as error:
            self._tell(f"{view.dispatch_id} epoch {view.epoch} can't be started: {error}")
            self._dispatcher.refuse(view.order_id, f"{error.code}: {error.message}")
            return
        if spec.dispatch_id != view.dispatch_id:
            self._dispatcher.refuse(view.order_id, "order_malformed: its statement is of another dispatch")
            return
        handover = None if order.handover is None else msgspec.to_builtins(order.handover)
        self._dispatcher.start(Start(view.order_id, view.dispatch_id, view.epoch, spec, handover))

    def _failed(self, error: DragonsError, news: News, stop: Event) -> None:
        self._whole_due_ms = 0
        if isinstance(error, NotFoundError) and error.code == "order_missing":
            # The control plane does not know an order any more: there is nobody to tell.
            self._dispatcher.told(News(results=news.results))
        if error.code != self._trouble:
            self._tell(f"{error} The programs here go on.")
        self._trouble = error.code
        stop.wait(self._pause_seconds * (1 + 0.2 * new_jitter()))
        self._pause_seconds = min(PAUSE_SECONDS_MAX, self._pause_seconds * 2)

    def _heard(self) -> None:
        if self._trouble:
            self._tell("The control plane answers again.")
        self._trouble, self._pause_seconds = "", PAUSE_SECONDS_FIRST
