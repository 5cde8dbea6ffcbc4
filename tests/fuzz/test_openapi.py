"""Schemathesis against the document that the API gives of itself: no 5xx, and no answer it does not describe.

Requests are made from the document alone, by an admin, by an operator and by an instance that proves possession.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from dragons.api.app import OPERATIONS
from dragons.api.openapi import describe
from dragons.core.ids import new_nonce
from dragons.core.vocabulary import Role
from dragons.identity.proof import Request, sign_request
from dragons.wire.dispatches import WAIT_MS_MAX
from tests.support.requests import World

EXAMPLES = 200 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 12


def names_a_remedy(ctx: Any, response: Any, case: Any) -> None:
    """Every refusal says what happened, by which code, and what helps."""
    if response.status_code >= 400:
        problem = response.json()
        assert problem["status"] == response.status_code
        assert all(problem[name] for name in ("code", "detail", "fix", "title")), problem


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    names_a_remedy,
]
# They end what the other cases need, or never end themselves.
APART = {"leases.release", "events.feed"}

document = describe(OPERATIONS)
schema = schemathesis.openapi.from_dict(document)
# Credentials are added to what was generated; without them every route is closed, as another test shows.
schema.config.generation.update(with_security_parameters=False)
everything = schema.exclude(operation_id=sorted(APART))


def open_to(role: Role) -> Any:
    """The operations that `role` may call."""
    return schema.include(
        func=lambda ctx: role.value in ctx.operation.definition.raw["x-dragons-roles"]
    ).exclude(operation_id=sorted(APART))


for_operators, for_instances = open_to(Role.OPERATOR), open_to(Role.INSTANCE)
TEMPLATES = [
    re.compile(re.sub(r"{\w+}", "[^/{}]+", operation.path))
    for operation in OPERATIONS
    if "{" in operation.path
]
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)


class Bearer(requests.auth.AuthBase):
    """An API token."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["authorization"] = f"Bearer {self.token}"
        return request


class Possession(Bearer):
    """A workload token, and the proof over exactly what is sent."""

    def __init__(self, world: World) -> None:
        super().__init__(world.instance.token)
        self.world = world

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        super().__call__(request)
        body = request.body or b""
        path, _, query = request.path_url.partition("?")
        signed = Request(
            request.method or "", path, query, body.encode() if isinstance(body, str) else body,
            f"Bearer {self.token}",
        )  # fmt: skip
        now_ms = self.world.tenant.plane.clock.now_ms()
        request.headers.update(
            sign_request(signed, self.world.instance.signer, now_ms=now_ms, nonce=new_nonce())
        )
        return request


def check(case: Any, world: World, auth: Bearer) -> None:
    wait_ms = case.body.get("wait_ms") if isinstance(case.body, dict) else None
    if isinstance(wait_ms, int) and 50 < wait_ms <= WAIT_MS_MAX:
        # A node's report is answered as late as it says, and nobody gives orders here.
        case.body["wait_ms"] = 50
    response = case.call(base_url=world.tenant.plane.url, auth=auth)
    # GET /v1/leases/renewals is GET /v1/leases/{lease_id}, not an unknown method.
    distinct = not any(template.fullmatch(case.operation.path) for template in TEMPLATES)
    case.validate_response(response, checks=[*CHECKS, unsupported_method] if distinct else CHECKS)


@everything.parametrize()
@bounded
def test_an_admins_requests(case: Any, world: World) -> None:
    check(case, world, Bearer(world.tenant.tokens["admin"]))


@for_operators.parametrize()
@bounded
def test_an_operators_requests(case: Any, world: World) -> None:
    check(case, world, Bearer(world.tenant.tokens["operator"]))


@for_instances.parametrize()
@bounded
def test_an_instances_requests(case: Any, world: World) -> None:
    check(case, world, Possession(world))


# `first` must not be larger than `second`, which no schema can say.
@schema.include(method="GET").exclude(operation_id=[*sorted(APART), "ledger.consistency"]).parametrize()
@bounded
def test_what_the_document_allows_is_accepted(case: Any, world: World) -> None:
    response = case.call(base_url=world.tenant.plane.url, auth=Bearer(world.tenant.tokens["admin"]))
    if case.meta is None or case.meta.generation.mode.is_positive:
        case.validate_response(response, checks=[positive_data_acceptance])


def test_every_operation_is_fuzzed() -> None:
    fuzzed = {result.ok().definition.raw["operationId"] for result in everything.get_all_operations()}
    assert fuzzed | APART == {operation.name for operation in OPERATIONS}


def test_the_ledger_is_sound_afterwards(world: World) -> None:
    assert world.tenant.post("/v1/ledger/fsck", {})["sound"]


@pytest.fixture(autouse=True)
def alive(world: World) -> Any:
    """The instance must outlive the fuzzing, or its requests would test nothing."""
    yield
    assert world.instance.send("POST", "/v1/ping").status == 200
