"""The OpenAPI document, generated from the operations, the access table and the wire's types.

Nothing in it is written twice: a path, a parameter, a body, a limit or a role that changes in the
code changes here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from dragons import __version__
from dragons.api import problems
from dragons.api.access import roles_of
from dragons.api.operation import Operation
from dragons.core.vocabulary import Role
from dragons.wire.base import Empty, Problem

_REF = "#/components/schemas/{name}"
_HEX32 = "[0-9a-f]{32}"
_PATH_PARAMETERS = {
    "agent": ("An agent's name.", r"^[a-z][a-z0-9-]{0,62}$"),
    "channel": ("A notifier's name.", r"^[a-z0-9][a-z0-9.-]{0,62}$"),
    "dispatch_id": ("A dispatch's id.", f"^dsp_{_HEX32}$"),
    "dock_id": ("A dock's id.", f"^dck_{_HEX32}$"),
    "incident_id": ("An incident's id.", f"^inc_{_HEX32}$"),
    "instance_id": ("An instance's id.", f"^{_HEX32}$"),
    "lease_id": ("A lease's id.", f"^lse_{_HEX32}$"),
    "manifest_hash": ("A manifest's hash.", "^[0-9a-f]{64}$"),
    "message_id": ("A message's id.", f"^msg_{_HEX32}$"),
    "node": ("A node's name.", r"^[a-z0-9][a-z0-9.-]{0,62}$"),
    "receipt_id": ("A receipt's id.", f"^rcp_{_HEX32}$"),
    "session_id": ("A session's id.", f"^ses_{_HEX32}$"),
    "token_id": ("An API token's id.", f"^tok_{_HEX32}$"),
}
_PROBLEMS = {
    401: "The caller did not prove who it is.",
    403: "The caller may not; `code` says why.",
    404: "Not in the caller's tenant.",
    409: "Contradicts what is recorded.",
    413: "The body is too large.",
    422: "The request is malformed.",
    429: "Too many requests.",
    500: "The control plane failed.",
    503: "The store failed; nothing was acknowledged.",
}
_HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}},
    503: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}},
}
_SECURITY = {
    "apiToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token, `dgt_…`, bound to an operator key.",
    },
    "workloadToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWS",
        "description": "A workload token; always with a proof of possession.",
    },
    "operatorKey": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`OperatorKey <tenant_id>.<key_id>`; always with a proof of possession of that key.",
    },
    "proof": {
        "type": "apiKey",
        "in": "header",
        "name": "Signature",
        "description": "HTTP Message Signature (RFC 9421) of the caller's key over method, path, query, "
        "Content-Digest and Authorization, with its parameters in Signature-Input.",
    },
}


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in sorted(operations, key=lambda one: (one.path, one.method)):
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dragons",
            "version": __version__,
            "description": "The control plane that governs autonomous agents and proves what they did.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in sorted({_tag(operation) for operation in operations})],
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "responses": {str(status): _problem(status) for status in _PROBLEMS},
            "securitySchemes": _SECURITY,
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    summary, _, description = (operation.handler.__doc__ or "").partition("\n\n")
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": " ".join(summary.split()),
        "tags": [_tag(operation)],
        "security": _security(operation),
        "x-dragons-roles": sorted(role.value for role in roles_of(operation.name)),
        "responses": _responses(operation),
    }
    if description:
        found["description"] = " ".join(description.split())
    parameters = [*_path_parameters(operation), *_query_parameters(operation)]
    if operation.answer == "text/event-stream":
        parameters.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "The seq of the last event that was seen; goes before `after`.",
                "schema": {"type": "string", "pattern": "^[0-9]{1,15}$"},
            }
        )
    if parameters:
        found["parameters"] = parameters
    if operation.has_body:
        schema = {"$ref": _REF.format(name=operation.input.__name__)}
        found["requestBody"] = {
            "required": operation.input is not Empty,
            "content": {"application/json": {"schema": schema}},
        }
    return found


def _tag(operation: Operation) -> str:
    return operation.name.partition(".")[0]


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    roles = roles_of(operation.name)
    if Role.ANYONE in roles:
        return []
    ways: list[dict[str, list[str]]] = []
    if roles - {Role.INSTANCE, Role.KEYHOLDER}:
        ways.append({"apiToken": [], "proof": []} if operation.proven else {"apiToken": []})
    if Role.INSTANCE in roles:
        ways.append({"workloadToken": [], "proof": []})
    if Role.KEYHOLDER in roles:
        ways.append({"operatorKey": [], "proof": []})
    return ways


def _responses(operation: Operation) -> dict[str, Any]:
    if isinstance(operation.answer, str):
        content = {operation.answer: {"schema": {"type": "string", "format": "binary"}}}
    else:
        content = {"application/json": {"schema": _schema_of(operation.answer)}}
    found: dict[str, Any] = {"200": {"description": "Done.", "content": content}}
    statuses = {422, 500, 503}
    if Role.ANYONE not in roles_of(operation.name):
        statuses |= {401, 403, 404, 429}
    if operation.has_body:
        statuses |= {409, 413}
    for status in sorted(statuses):
        found[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return found


def _problem(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": _PROBLEMS[status],
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": _REF.format(name=Problem.__name__)}}},
    }
    if status in _HEADERS:
        found["headers"] = _HEADERS[status]
    return found


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    found = []
    for name in re.findall(r"{(\w+)}", operation.path):
        description, pattern = _PATH_PARAMETERS[name]
        schema = {"type": "string", "pattern": pattern}
        found.append(
            {"name": name, "in": "path", "required": True, "description": description, "schema": schema}
        )
    return found


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.has_body:
        return []
    _, components = msgspec.json.schema_components([operation.input], ref_template=_REF)
    shape = components[operation.input.__name__]
    return [
        {"name": name, "in": "query", "required": name in shape.get("required", []), "schema": schema}
        for name, schema in shape.get("properties", {}).items()
    ]


def _schema_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"$ref": _REF.format(name=kind.__name__)}


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    kinds: set[type[msgspec.Struct]] = {Problem}
    for operation in operations:
        if operation.has_body:
            kinds.add(operation.input)
        if not isinstance(operation.answer, str):
            kinds.add(operation.answer)
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    return dict(sorted(components.items()))
