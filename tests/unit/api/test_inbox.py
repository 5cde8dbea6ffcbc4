"""Every answer arrives once, in its own future, however the threads are timed."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from dragons.api.inbox import Inbox


def test_many_answers_from_other_threads_arrive_each_at_its_own_waiter() -> None:
    async def main() -> list[int]:
        inbox = Inbox(asyncio.get_running_loop())
        with ThreadPoolExecutor(8) as pool:
            return await asyncio.gather(*(inbox.wait(pool.submit(lambda n=n: n)) for n in range(2_000)))

    assert asyncio.run(main()) == list(range(2_000))


def test_an_error_reaches_its_waiter_only() -> None:
    async def main() -> None:
        inbox = Inbox(asyncio.get_running_loop())
        bad: Future[int] = Future()
        good: Future[int] = Future()
        waiting = asyncio.gather(inbox.wait(bad), inbox.wait(good), return_exceptions=True)
        await asyncio.sleep(0)
        bad.set_exception(OSError("disk"))
        good.set_result(1)
        failed, result = await waiting
        assert isinstance(failed, OSError)
        assert result == 1

    asyncio.run(main())


def test_a_cancelled_waiter_does_not_stop_the_others() -> None:
    async def main() -> int:
        inbox = Inbox(asyncio.get_running_loop())
        first: Future[int] = Future()
        second: Future[int] = Future()
        leaving = asyncio.ensure_future(inbox.wait(first))
        staying = asyncio.ensure_future(inbox.wait(second))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        first.set_result(1)
        second.set_result(2)
        return await staying

    assert asyncio.run(main()) == 2
