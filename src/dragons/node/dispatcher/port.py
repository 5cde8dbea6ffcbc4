"""What a node needs of whatever runs its instances: processes on this machine, or anything else that starts programs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol

from dragons.node.spec import Spec
from dragons.wire.dispatches import Dead, OrderResult


class Start(NamedTuple):
    """An instance that is to be started, as ordered; `handover` is where the one before had got to."""

    order_id: str
    dispatch_id: str
    epoch: int
    spec: Spec
    handover: Mapping[str, Any] | None = None


class Stop(NamedTuple):
    """The program of this epoch of a dispatch is to be ended."""

    order_id: str
    dispatch_id: str
    epoch: int


class News(NamedTuple):
    """What is to be reported: whose programs are over, and what came of orders."""

    dead: tuple[Dead, ...] = ()
    results: tuple[OrderResult, ...] = ()


class Dispatcher(Protocol):
    """Every method returns at once, but `drain`; an order that is given again changes nothing."""

    def start(self, start: Start) -> None:
        """Begin to start an instance; what becomes of it is news."""
        ...

    def stop(self, stop: Stop) -> None:
        """Begin to end a program; it is news, `done`, only when the program is gone."""
        ...

    def refuse(self, order_id: str, detail: str) -> None:
        """An order that can't be carried out."""
        ...

    def running(self) -> tuple[str, ...]:
        """The instances whose programs are not over yet."""
        ...

    def held(self) -> Collection[str]:
        """Orders that are at work, or whose result was not reported yet."""
        ...

    def is_settled(self) -> bool:
        """True when no start is under way, so that `running` is whole."""
        ...

    def is_busy(self) -> bool:
        """True when there will be news soon."""
        ...

    def news(self) -> News:
        """What was not reported yet."""
        ...

    def told(self, news: News) -> None:
        """This was reported."""
        ...

    def drain(self) -> None:
        """Start nothing more, end every program, and wait until they are gone."""
        ...
