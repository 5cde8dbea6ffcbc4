"""Work that needs the control plane, written once for threads and for event loops.

A generator yields a `Call` and is sent its answer, or has its error thrown in; `run` and `run_async`
carry it out. Never runs two parts of one generator at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, NamedTuple, TypeVar, cast

from dragons.core.errors import DragonsError
from dragons.sdk.transport import Call

T = TypeVar("T")

Steps = Generator[Call[Any], Any, T]


class Turn(NamedTuple, Generic[T]):
    """How far a generator came: its next call, or its end and what it returned."""

    call: Call[Any] | None
    result: T | None


def advance(steps: Steps[T], answer: object = None, error: DragonsError | None = None) -> Turn[T]:
    """Run to the next call or to the end."""
    try:
        return Turn(steps.send(answer) if error is None else steps.throw(error), None)
    except StopIteration as end:
        return Turn(None, end.value)


def run(steps: Steps[T], send: Callable[[Call[Any]], Any]) -> T:
    """The result of `steps`, each call made with `send`."""
    turn = advance(steps)
    while turn.call is not None:
        try:
            answer = send(turn.call)
        except DragonsError as error:
            turn = advance(steps, error=error)
        else:
            turn = advance(steps, answer)
    return cast("T", turn.result)


async def run_async(steps: Steps[T], send: Callable[[Call[Any]], Awaitable[Any]]) -> T:
    """As `run`; what lies between the calls may wait for the disk, so it runs in a thread."""
    turn = await asyncio.to_thread(advance, steps)
    while turn.call is not None:
        try:
            answer = await send(turn.call)
        except DragonsError as error:
            turn = await asyncio.to_thread(advance, steps, None, error)
        else:
            turn = await asyncio.to_thread(advance, steps, answer)
    return cast("T", turn.result)
