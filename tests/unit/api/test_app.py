"""The application holds its operations and nothing else, and closes what it was given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import APIRouter, WebSocket

from dragons.api.app import OPERATIONS, check_routes, create_app
from dragons.api.endpoint import GovernedRoute
from dragons.compose import build_backend
from dragons.core.clock import ManualClock
from dragons.core.errors import StorageError
from dragons.settings import Settings


def test_background_runs_while_it_serves_and_the_store_closes_after(tmp_path: Path) -> None:
    seen: list[str] = []
    backend = build_backend(Settings(home=tmp_path), ManualClock())

    @asynccontextmanager
    async def background() -> AsyncIterator[None]:
        seen.append("begun")
        yield
        await backend.write(lambda _: seen.append("still open"))

    async def main() -> None:
        app = create_app(backend, background)
        async with app.router.lifespan_context(app):
            seen.append("serving")

    asyncio.run(main())
    assert seen == ["begun", "serving", "still open"]
    with pytest.raises(StorageError):
        backend.store.write(lambda _: None)


def test_hot_operations_are_tried_first() -> None:
    assert [one.name for one in OPERATIONS[:2]] == ["receipts.append", "receipts.list"]


def test_a_route_has_no_answer_of_its_own(tmp_path: Path) -> None:
    """Were the dispatcher ever passed by, nothing would be let through."""
    backend = build_backend(Settings(home=tmp_path), ManualClock())
    for route in create_app(backend).routes:
        assert isinstance(route, GovernedRoute)
        with pytest.raises(RuntimeError, match="without the dispatcher"):
            asyncio.run(route.endpoint())
    backend.close()


async def socket(socket: WebSocket) -> None:
    """Never reached."""


def test_every_way_of_adding_a_route_is_noticed(tmp_path: Path) -> None:
    backend = build_backend(Settings(home=tmp_path), ManualClock())
    ways = [
        lambda app: app.add_route("/x", lambda _: None),
        lambda app: app.mount("/x", lambda *_: None),
        lambda app: app.add_api_websocket_route("/x", socket),
        lambda app: app.include_router(router),
    ]
    router = APIRouter()
    router.add_api_route("/x", lambda: None)
    for add in ways:
        app = create_app(backend)
        check_routes(app)
        add(app)
        with pytest.raises(RuntimeError, match="nothing governs"):
            check_routes(app)
    backend.close()
