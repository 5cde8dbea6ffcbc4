"""The feed's parts: where it resumes, what an event looks like, when it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragons.api.backend import Backend
from dragons.api.feed import Feed, FeedResponse, event_of, last_event_id
from dragons.api.problems import LimitError
from dragons.compose import Names, add_tenant, build_backend
from dragons.control.records import record_of
from dragons.core.canonical import INT_MAX
from dragons.core.clock import ManualClock
from dragons.core.errors import InvalidInputError, StorageError, UnauthenticatedError
from dragons.core.vocabulary import Kind
from dragons.settings import Settings
from dragons.wire.evidence import ReceiptView


@pytest.mark.parametrize(("header", "after"), [(None, 7), (b"0", 0), (b"12", 12), (b"%d" % INT_MAX, INT_MAX)])
def test_the_last_event_goes_before_the_query(header: bytes | None, after: int) -> None:
    assert last_event_id(header, 7) == after


@pytest.mark.parametrize("header", [b"", b"-1", b"x", b"1 ", b"%d" % (INT_MAX + 1), "²".encode()])
def test_other_event_ids_are_refused(header: bytes) -> None:
    with pytest.raises(InvalidInputError):
        last_event_id(header, 7)


def test_an_event_is_four_lines() -> None:
    view = ReceiptView(
        receipt_id="rcp_1", seq=4, kind="work", issued_at="", chain_root="", header={"action": "a\nb\r"}
    )
    lines = event_of(view).split(b"\n")
    assert lines[:2] == [b"id: 4", b"event: work"]
    assert msgspec.json.decode(lines[2].removeprefix(b"data: "), type=ReceiptView) == view
    assert lines[3:] == [b"", b""]


class Setting:
    """A backend with one tenant of three receipts."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.clock = ManualClock()
        self.backend: Backend = build_backend(Settings(home=home, **settings), self.clock)
        backend = self.backend
        self.tenant_id = add_tenant(
            backend.settings, backend.store, Names("acme", "Ada"), self.clock
        ).tenant_id

    async def append(self) -> None:
        def job(tx: Any) -> None:
            tx.append(
                self.tenant_id, Kind.KEY_REGISTERED, record_of(tx.receipt_at(self.tenant_id, 2)).statement
            )

        await self.backend.write(job)

    def feed(self, check: Any = lambda: None, after: int = -1) -> Feed:
        return Feed(self.backend, self.tenant_id, after, check)


def ids(parts: list[bytes]) -> list[int]:
    return [int(line[4:]) for line in b"".join(parts).split(b"\n") if line.startswith(b"id: ")]


def test_it_waits_for_the_bell_and_ends_when_stopped(tmp_path: Path) -> None:
    async def main() -> list[int]:
        setting = Setting(tmp_path, feed_poll_seconds=60)
        bell = setting.backend.bell
        parts: list[bytes] = []

        async def follow() -> None:
            parts.extend([part async for part in setting.feed(after=0).parts(bell.join())])

        following = asyncio.ensure_future(follow())
        for _ in range(3):
            await setting.append()
            await asyncio.sleep(0.02)
        bell.stop()
        await asyncio.wait_for(following, 10)
        setting.backend.close()
        return ids(parts)

    assert asyncio.run(main()) == [1, 2, 3, 4, 5]


def test_a_poll_finds_what_no_bell_rang_for(tmp_path: Path) -> None:
    async def main() -> list[int]:
        setting = Setting(tmp_path, feed_poll_seconds=0.01)
        parts: list[bytes] = []
        async for part in setting.feed().parts(asyncio.Event()):
            parts.append(part)
            if ids(parts) == [0, 1, 2]:
                await setting.append()
            if len(ids(parts)) == 4:
                break
        setting.backend.close()
        return ids(parts)

    assert asyncio.run(main()) == [0, 1, 2, 3]


def test_it_ends_with_its_credential(tmp_path: Path) -> None:
    left = iter([None, None])

    def check() -> None:
        if next(left, "ended") == "ended":
            raise UnauthenticatedError("token_invalid", "It has ended.")

    async def main() -> list[int]:
        setting = Setting(tmp_path, feed_poll_seconds=0.01)
        parts = [part async for part in setting.feed(check).parts(asyncio.Event())]
        setting.backend.close()
        return ids(parts)

    assert asyncio.run(main()) == [0, 1, 2]


def test_silence_is_broken_by_a_comment(tmp_path: Path) -> None:
    async def main() -> list[bytes]:
        setting = Setting(tmp_path, feed_poll_seconds=0.001)

        async def pass_time() -> None:
            while True:
                await asyncio.sleep(0.005)
                setting.clock.advance(15_000)

        passing = asyncio.ensure_future(pass_time())
        parts: list[bytes] = []
        async for part in setting.feed(after=2).parts(asyncio.Event()):
            parts.append(part)
            if len(parts) == 3:
                break
        passing.cancel()
        setting.backend.close()
        return parts

    assert asyncio.run(asyncio.wait_for(main(), 20)) == [b":\n\n"] * 3


async def answer(response: FeedResponse, gone: asyncio.Event) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await response({"type": "http"}, receive, send)
    return sent


def test_a_client_that_leaves_frees_its_place(tmp_path: Path) -> None:
    async def main() -> None:
        setting = Setting(tmp_path, feeds_max=1, feed_poll_seconds=60)
        bell, gone = setting.backend.bell, asyncio.Event()
        response = FeedResponse(setting.feed(), bell)
        with pytest.raises(LimitError):
            FeedResponse(setting.feed(), bell)
        asyncio.get_running_loop().call_later(0.05, gone.set)
        sent = await asyncio.wait_for(answer(response, gone), 10)
        assert sent[0]["status"] == 200
        assert (b"content-type", b"text/event-stream; charset=utf-8") in sent[0]["headers"]
        assert not any(name == b"content-length" for name, _ in sent[0]["headers"])
        bell.leave(bell.join())
        setting.backend.close()

    asyncio.run(main())


def test_a_failing_store_ends_it_in_order(tmp_path: Path) -> None:
    def check() -> None:
        raise StorageError("storage_failed", "The disk is gone.")

    async def main() -> None:
        setting = Setting(tmp_path)
        response = FeedResponse(setting.feed(check), setting.backend.bell)
        sent = await asyncio.wait_for(answer(response, asyncio.Event()), 10)
        assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
        setting.backend.close()

    asyncio.run(main())
