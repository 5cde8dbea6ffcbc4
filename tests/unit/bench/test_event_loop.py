import asyncio

import uvloop

from bench.event_loop import run


def test_the_loop_is_the_server_s() -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert isinstance(run(loop()), uvloop.Loop)
