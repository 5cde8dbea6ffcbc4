"""The application: the operations as routes of one FastAPI app, and nothing beside them.

Refuses to start with a route that the dispatcher does not answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dragons.api.backend import Backend
from dragons.api.endpoint import Dispatcher, GovernedRoute
from dragons.api.operation import Operation
from dragons.api.problems import RouteError, problem_response
from dragons.api.routes import (
    agents,
    catalogue,
    decisions,
    dispatches,
    docks,
    document,
    erasures,
    events,
    fleet,
    heartbeats,
    incidents,
    index,
    instances,
    interventions,
    keys,
    leases,
    ledger,
    manifests,
    metrics,
    nodes,
    notifiers,
    packs,
    ping,
    policies,
    receipts,
    revocations,
    sessions,
    tenant,
    tokens,
)

# What agents ask most often comes first: routes are tried in this order.
OPERATIONS: tuple[Operation, ...] = (
    *receipts.OPERATIONS,
    *decisions.OPERATIONS,
    *heartbeats.OPERATIONS,
    *revocations.OPERATIONS,
    *ping.OPERATIONS,
    *index.OPERATIONS,
    *leases.OPERATIONS,
    *sessions.OPERATIONS,
    *instances.OPERATIONS,
    *fleet.OPERATIONS,
    *incidents.OPERATIONS,
    *metrics.OPERATIONS,
    *events.OPERATIONS,
    *agents.OPERATIONS,
    *manifests.OPERATIONS,
    *docks.OPERATIONS,
    *ledger.OPERATIONS,
    *packs.OPERATIONS,
    *catalogue.OPERATIONS,
    *interventions.OPERATIONS,
    *nodes.OPERATIONS,
    *dispatches.OPERATIONS,
    *policies.OPERATIONS,
    *notifiers.OPERATIONS,
    *erasures.OPERATIONS,
    *tenant.OPERATIONS,
    *keys.OPERATIONS,
    *tokens.OPERATIONS,
)

Background = Callable[[], AbstractAsyncContextManager[None]]


def create_app(backend: Backend, background: Background | None = None) -> FastAPI:
    """The app over `backend`, which it closes at its end; `background` runs while it serves."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            check_routes(app)
            if background is None:
                yield
            else:
                async with background():
                    yield
        finally:
            backend.close()

    app = FastAPI(
        title="Dragons", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan,
        redirect_slashes=False, exception_handlers={HTTPException: _no_route},
    )  # fmt: skip
    app.router.route_class = GovernedRoute
    operations = (*OPERATIONS, document.operation_for(OPERATIONS))
    app.state.dispatcher = Dispatcher(backend, operations)
    for operation in operations:
        app.add_api_route(operation.path, _answered, methods=[operation.method], name=operation.name)
    return app


def check_routes(app: FastAPI) -> None:
    """RuntimeError when a route would be answered without the dispatcher."""
    strange = [route for route in app.routes if not isinstance(route, GovernedRoute)]
    if strange:
        msg = f"routes that nothing governs: {strange}"
        raise RuntimeError(msg)


async def _answered() -> None:
    """Stands for the dispatcher, which answers every route of this app. RuntimeError when it was passed by."""
    msg = "a route was answered without the dispatcher"
    raise RuntimeError(msg)


async def _no_route(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, HTTPException):
        raise error
    allow = (error.headers or {}).get("Allow", "")
    return problem_response(RouteError(error.status_code, allow))
