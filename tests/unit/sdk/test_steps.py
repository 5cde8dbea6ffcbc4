from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from dragons.core.errors import DragonsError
from dragons.sdk import calls
from dragons.sdk.steps import Steps, advance, run, run_async
from dragons.sdk.transport import Call


def steps(log: list[object]) -> Steps[str]:
    log.append((yield calls.ping()))
    try:
        yield calls.tenant()
    except DragonsError as error:
        log.append(error.code)
    log.append(threading.get_ident())
    return "done"


def send(call: Call[Any]) -> str:
    if call.path == "/v1/tenant":
        raise DragonsError("no", "no")
    return call.path


def test_calls_are_answered_and_errors_thrown_in() -> None:
    log: list[object] = []
    assert run(steps(log), send) == "done"
    assert log == ["/v1/ping", "no", threading.get_ident()]


def test_the_async_driver_does_the_same_off_the_loop() -> None:
    log: list[object] = []

    async def send_async(call: Call[Any]) -> str:
        await asyncio.sleep(0)
        return send(call)

    assert asyncio.run(run_async(steps(log), send_async)) == "done"
    assert log[:2] == ["/v1/ping", "no"]
    assert log[2] != threading.get_ident()


def test_what_the_steps_raise_comes_out() -> None:
    def failing() -> Steps[None]:
        yield calls.ping()
        raise DragonsError("own", "own")

    with pytest.raises(DragonsError, match="own"):
        run(failing(), send)


def test_what_nobody_foresaw_is_not_thrown_in() -> None:
    def broken(_: Call[Any]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(steps([]), broken)


def test_steps_without_calls_end_at_once() -> None:
    def empty() -> Steps[int]:
        yield from ()
        return 3

    assert advance(empty()) == (None, 3)
