"""The process dispatcher: each instance is a program on this machine, run by a thread of the node.

The kernel kills a program when the thread that started it ends, so its thread lives as long as it does:
a node that is killed takes its programs along. Never starts the same epoch of a dispatch twice at once,
and never calls a program gone before it is.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Event, RLock, Thread

from dragons.core.errors import DragonsError, StorageError
from dragons.core.vocabulary import Outcome
from dragons.node.dispatcher.port import News, Start, Stop
from dragons.node.launcher import Launcher, run_governed
from dragons.node.logs import Log, log_path
from dragons.node.options import RunOptions, RunResult
from dragons.sdk.errors import ControlPlaneUnreachable, LimitedError, UnexpectedAnswerError
from dragons.sdk.localstore import LocalStore
from dragons.sdk.outbox import drain_outbox
from dragons.wire.dispatches import RESULTS_MAX, Dead, OrderResult

Run = Callable[[Launcher, RunOptions], RunResult]

DONE, FAILED = "done", "failed"
DETAIL_MAX = 500
# Orders and ends that are remembered.
MEMORY = 10_000
# The control plane's own trouble: the order is given again.
_PASSING = (ControlPlaneUnreachable, LimitedError, UnexpectedAnswerError, StorageError)
_PAUSE_SECONDS = 1.0
# How long the end of an instance waits for its last receipts to be sent.
LEFTOVER_SECONDS_MAX = 600.0
_LEFTOVER_SECONDS = 5.0

Key = tuple[str, int]


@dataclass(slots=True)
class _Work:
    """An instance from its order to its end."""

    starts: list[str]
    stop: Event = field(default_factory=Event)
    stops: list[str] = field(default_factory=list)
    thread: Thread | None = None
    instance_id: str = ""


class ProcessDispatcher:
    """`launcher` is as a node's: with its name, and without an operator. `run` runs one instance."""

    def __init__(self, launcher: Launcher, *, run: Run = run_governed) -> None:
        self._launcher = launcher
        self._run = run
        self._tenant_id = launcher.home.config().tenant_id
        self._lock = RLock()
        self._works: dict[Key, _Work] = {}
        self._over: OrderedDict[Key, str] = OrderedDict()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._dead: list[Dead] = []
        self._results: list[OrderResult] = []
        self._draining = False

    def start(self, start: Start) -> None:
        key = (start.dispatch_id, start.epoch)
        with self._lock:
            if self._draining or not self._is_new(start.order_id):
                return
            for (dispatch_id, epoch), older in self._works.items():
                if dispatch_id == start.dispatch_id and epoch < start.epoch:
                    # It has lost its authority; whatever order it missed, it makes room.
                    older.stop.set()
            if key in self._works:
                self._works[key].starts.append(start.order_id)
                return
            work = self._works[key] = _Work([start.order_id])
            name = f"dragons-{start.dispatch_id[-8:]}-{start.epoch}"
            work.thread = Thread(target=self._carry_out, args=(start, key, work), name=name)
            work.thread.start()

    def stop(self, stop: Stop) -> None:
        key = (stop.dispatch_id, stop.epoch)
        with self._lock:
            if not self._is_new(stop.order_id):
                return
            work = self._works.get(key)
            if work is not None:
                work.stops.append(stop.order_id)
                work.stop.set()
            elif key in self._over:
                self._result(stop.order_id, DONE, self._over[key])
            else:
                # Somebody else may run it: that it is gone is not ours to say.
                self._result(stop.order_id, FAILED, "this node does not run it")

    def refuse(self, order_id: str, detail: str) -> None:
        with self._lock:
            if self._is_new(order_id):
                self._result(order_id, FAILED, detail)

    def running(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(work.instance_id for work in self._works.values() if work.instance_id)

    def held(self) -> frozenset[str]:
        with self._lock:
            at_work = {one for work in self._works.values() for one in (*work.starts, *work.stops)}
            return frozenset(at_work | {result.order_id for result in self._results})

    def is_settled(self) -> bool:
        with self._lock:
            return all(work.instance_id for work in self._works.values())

    def is_busy(self) -> bool:
        with self._lock:
            changing = any(not work.instance_id or work.stop.is_set() for work in self._works.values())
            return changing or bool(self._dead or self._results)

    def news(self) -> News:
        with self._lock:
            return News(tuple(self._dead[:RESULTS_MAX]), tuple(self._results[:RESULTS_MAX]))

    def told(self, news: News) -> None:
        with self._lock:
            self._dead = [one for one in self._dead if one not in news.dead]
            self._results = [one for one in self._results if one not in news.results]

    def drain(self) -> None:
        with self._lock:
            self._draining = True
            works = list(self._works.values())
            for work in works:
                work.stop.set()
        for work in works:
            if work.thread is not None:
                work.thread.join()

    def _carry_out(self, start: Start, key: Key, work: _Work) -> None:
        """One instance, in its own thread from beginning to end."""
        dispatch_id, epoch = key
        told = f"{dispatch_id} epoch {epoch}"
        log = Log(log_path(self._launcher.home, self._tenant_id, dispatch_id, epoch), self._tell_of(told))

        def launched(instance_id: str) -> None:
            work.instance_id = instance_id

        launcher = replace(
            self._launcher,
            tell=self._tell_of(told),
            stop=work.stop,
            launched=launched,
            sink=log.write,
        )
        completed, again = False, False
        try:
            options = replace(start.spec.options(os.environ), epoch=epoch, handover=start.handover)
            result = self._run(launcher, options)
            completed, detail = result.ended.outcome is Outcome.COMPLETED, result.ended.describe()
            if result.waiting:
                self._send_leftovers(work)
        except DragonsError as error:
            detail = f"{error.code}: {error.message}"
            again = isinstance(error, _PASSING)
        except Exception as error:  # noqa: BLE001 - whatever it is, the node goes on and says so
            detail = f"internal: {type(error).__name__}: {error}"
        finally:
            log.close()
        launcher.tell(detail)
        if again and not work.instance_id:
            work.stop.wait(_PAUSE_SECONDS)
        self._ended(key, work, detail, completed=completed, again=again)

    def _ended(self, key: Key, work: _Work, detail: str, *, completed: bool, again: bool) -> None:
        with self._lock:
            del self._works[key]
            if work.instance_id:
                self._over[key] = detail[:DETAIL_MAX]
                _forget_oldest(self._over)
                self._dead.append(
                    Dead(instance_id=work.instance_id, detail=detail[:DETAIL_MAX], completed=completed)
                )
            for order_id in work.starts:
                if again and not work.instance_id:
                    self._seen.pop(order_id, None)
                elif not work.instance_id:
                    self._result(order_id, FAILED, detail)
            for order_id in work.stops:
                self._result(order_id, DONE, detail)

    def _send_leftovers(self, work: _Work) -> None:
        """Send what the control plane could not be told, so that its end comes after its work."""
        clock = self._launcher.clock
        until_ms = clock.boot_ms() + int(LEFTOVER_SECONDS_MAX * 1000)
        with LocalStore(self._launcher.home.store_path(self._tenant_id)) as store:
            while store.waiting(work.instance_id) and clock.boot_ms() < until_ms:
                if work.stop.wait(_LEFTOVER_SECONDS):
                    return
                drain_outbox(store, clock)

    def _is_new(self, order_id: str) -> bool:
        if order_id in self._seen:
            return False
        self._seen[order_id] = None
        _forget_oldest(self._seen)
        return True

    def _result(self, order_id: str, outcome: str, detail: str) -> None:
        self._results.append(OrderResult(order_id=order_id, outcome=outcome, detail=detail[:DETAIL_MAX]))

    def _tell_of(self, what: str) -> Callable[[str], None]:
        return lambda text: self._launcher.tell(f"{what}: {text}")


def _forget_oldest(memory: OrderedDict[Key, str] | OrderedDict[str, None]) -> None:
    while len(memory) > MEMORY:
        memory.popitem(last=False)
