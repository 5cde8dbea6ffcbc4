"""The document is complete and agrees with the code."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dragons.api.access import ACCESS
from dragons.api.app import OPERATIONS
from dragons.api.openapi import describe
from dragons.api.routes.document import operation_for
from dragons.core.vocabulary import Role
from tests.support.server import Plane

DOCUMENT = describe((*OPERATIONS, operation_for(OPERATIONS)))
DESCRIBED = {
    one["operationId"]: (path, method, one)
    for path, methods in DOCUMENT["paths"].items()
    for method, one in methods.items()
}


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [one for item in value.values() for one in references(item)]
    if isinstance(value, list):
        return [one for item in value for one in references(item)]
    return []


def test_it_is_what_the_api_answers(plane: Plane) -> None:
    served = plane.send("GET", "/v1/openapi.json")
    assert served.headers["content-type"] == "application/json"
    assert served.json == DOCUMENT


def test_every_operation_is_in_it() -> None:
    assert set(DESCRIBED) == set(ACCESS)
    for operation in OPERATIONS:
        path, method, _ = DESCRIBED[operation.name]
        assert (path, method.upper()) == (operation.path, operation.method)


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        _, _, kind, name = reference.split("/")
        assert name in DOCUMENT["components"][kind]


def test_no_schema_is_left_over() -> None:
    used = {one.split("/")[-1] for one in references(DOCUMENT) if "/schemas/" in one}
    assert set(DOCUMENT["components"]["schemas"]) == used


@pytest.mark.parametrize("name", sorted(ACCESS))
def test_an_operation_is_described_in_full(name: str) -> None:
    path, method, one = DESCRIBED[name]
    assert one["summary"].endswith(".")
    assert set(one["x-dragons-roles"]) == {role.value for role in ACCESS[name]}
    named = [p["name"] for p in one.get("parameters", []) if p["in"] == "path"]
    assert named == re.findall(r"{(\w+)}", path)
    assert ("requestBody" in one) == (method == "post")
    assert one["tags"] == [name.partition(".")[0]]
    assert one["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert all(content["schema"] for content in one["responses"]["200"]["content"].values())
    for status in set(one["responses"]) - {"200"}:
        assert one["responses"][status] == {"$ref": f"#/components/responses/{status}"}
    assert {"422", "500", "503"} <= set(one["responses"])
    if Role.ANYONE in ACCESS[name]:
        assert one["security"] == []
    else:
        assert {"401", "403", "429"} <= set(one["responses"])
        assert all(way for way in one["security"])
        assert any("workloadToken" in way for way in one["security"]) == (Role.INSTANCE in ACCESS[name])
        assert any("operatorKey" in way for way in one["security"]) == (Role.KEYHOLDER in ACCESS[name])
        assert all("proof" in way for way in one["security"] if {"workloadToken", "operatorKey"} & set(way))
        assert {scheme for way in one["security"] for scheme in way} <= set(
            DOCUMENT["components"]["securitySchemes"]
        )


def test_a_launch_is_described_with_both_credentials() -> None:
    assert DESCRIBED["instances.launch"][2]["security"] == [{"apiToken": [], "proof": []}]


def test_problems_have_their_own_media_type() -> None:
    for response in DOCUMENT["components"]["responses"].values():
        assert list(response["content"]) == ["application/problem+json"]
    assert "Retry-After" in DOCUMENT["components"]["responses"]["429"]["headers"]


def test_queries_show_defaults_and_bounds() -> None:
    parameters = {p["name"]: p for p in DESCRIBED["receipts.list"][2]["parameters"]}
    assert parameters["limit"]["schema"]["maximum"] == 500
    assert parameters["limit"]["required"] is False
    assert {p["name"] for p in DESCRIBED["events.feed"][2]["parameters"]} == {"after", "Last-Event-ID"}
    assert all(p["required"] for p in DESCRIBED["ledger.consistency"][2]["parameters"])
