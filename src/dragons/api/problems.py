"""Errors as RFC 9457 problem details.

Never shows an internal: an error that is not a DragonsError becomes a bare 500 whose request id
finds the rest in the log.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from starlette.responses import Response

from dragons.core.errors import DragonsError
from dragons.wire.base import Problem
from dragons.wire.remedies import remedy_of

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:dragons:problem:"
RETRY_SECONDS = 1


class LimitError(DragonsError):
    """A limit was reached; `retry_seconds` says when waiting helps, None when it never does."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, code: str, message: str, *, fix: str = "", retry_seconds: int | None = None) -> None:
        super().__init__(code, message, fix=fix)
        self.retry_seconds = retry_seconds


class TooLargeError(LimitError):
    """The request is larger than the control plane reads."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class RouteError(DragonsError):
    """There is no such path, or not with this method."""

    status: int = HTTPStatus.NOT_FOUND

    def __init__(self, status: int, allow: str = "") -> None:
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            super().__init__(
                "method_unknown", "The path does not know this method.", fix=f"Allowed are: {allow}."
            )
        else:
            super().__init__(
                "route_unknown", "There is no such path.", fix="/v1/openapi.json lists all of them."
            )
        self.status = status
        self.allow = allow


def problem_of(error: DragonsError) -> Problem:
    """The problem that an error is shown as."""
    return Problem(
        type=f"{TYPE_PREFIX}{error.code}",
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.message,
        code=error.code,
        fix=remedy_of(error),
    )


def problem_response(error: DragonsError) -> Response:
    """The answer to a request that failed with `error`."""
    response = _response(problem_of(error))
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["www-authenticate"] = "Bearer"
    if isinstance(error, LimitError):
        if error.retry_seconds is not None:
            response.headers["retry-after"] = str(error.retry_seconds)
    elif error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["retry-after"] = str(RETRY_SECONDS)
    if isinstance(error, RouteError) and error.allow:
        response.headers["allow"] = error.allow
    return response


def internal_response(request_id: str) -> Response:
    """The answer when the control plane itself is wrong."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    response = _response(
        Problem(
            type=f"{TYPE_PREFIX}internal",
            title=status.phrase,
            status=status,
            detail="The control plane failed; whether the request was recorded is unknown.",
            code="internal",
            fix=f"Look for the request id {request_id} in the control plane's log.",
        )
    )
    response.headers["x-request-id"] = request_id
    return response


def _response(problem: Problem) -> Response:
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={"cache-control": "no-store", "x-content-type-options": "nosniff"},
    )
