"""Every error is a problem that says what to do, and nothing of the inside."""

from __future__ import annotations

import msgspec
import pytest

from dragons.api.problems import (
    LimitError,
    RouteError,
    TooLargeError,
    internal_response,
    problem_of,
    problem_response,
)
from dragons.core import errors
from dragons.wire.base import Problem
from dragons.wire.remedies import REMEDIES

KINDS = [
    (errors.InvalidInputError, 422),
    (errors.NotFoundError, 404),
    (errors.ConflictError, 409),
    (errors.ForbiddenError, 403),
    (errors.UnauthenticatedError, 401),
    (errors.StorageError, 503),
    (LimitError, 429),
    (TooLargeError, 413),
]


def test_an_error_without_a_remedy_gets_the_usual_one() -> None:
    assert problem_of(errors.NotFoundError("receipt_missing", "m")).fix == REMEDIES["receipt_missing"]
    assert problem_of(errors.NotFoundError("receipt_missing", "m", fix="Do this.")).fix == "Do this."


@pytest.mark.parametrize(("kind", "status"), KINDS)
def test_an_error_is_a_problem(kind: type[errors.DragonsError], status: int) -> None:
    response = problem_response(kind("some_code", "What happened.", fix="Do this."))
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    problem = msgspec.json.decode(response.body, type=Problem)
    assert problem.type == "urn:dragons:problem:some_code"
    assert (problem.status, problem.code) == (status, "some_code")
    assert (problem.detail, problem.fix) == ("What happened.", "Do this.")
    assert problem.title


def test_waiting_is_named_where_it_helps() -> None:
    assert problem_response(LimitError("x", "y", retry_seconds=7)).headers["retry-after"] == "7"
    assert problem_response(errors.StorageError("x", "y")).headers["retry-after"] == "1"
    assert "retry-after" not in problem_response(TooLargeError("x", "y")).headers
    assert "retry-after" not in problem_response(errors.ConflictError("x", "y")).headers


def test_401_names_the_scheme() -> None:
    assert problem_response(errors.UnauthenticatedError("x", "y")).headers["www-authenticate"] == "Bearer"
    assert "www-authenticate" not in problem_response(errors.ForbiddenError("x", "y")).headers


def test_paths_and_methods() -> None:
    assert problem_of(RouteError(404)).code == "route_unknown"
    response = problem_response(RouteError(405, "GET, POST"))
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


def test_an_unexpected_error_shows_only_its_request_id() -> None:
    response = internal_response("0190")
    problem = msgspec.json.decode(response.body, type=Problem)
    assert (problem.status, problem.code) == (500, "internal")
    assert "0190" in problem.fix
    assert response.headers["x-request-id"] == "0190"
