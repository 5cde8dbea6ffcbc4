"""The document is an operation like any other."""

from __future__ import annotations

from dragons.api.app import OPERATIONS
from dragons.api.routes.document import operation_for
from tests.support.server import Plane


def test_it_describes_itself(plane: Plane) -> None:
    served = plane.send("GET", "/v1/openapi.json").json
    assert served["paths"]["/v1/openapi.json"]["get"]["operationId"] == "openapi"
    assert served["openapi"] == "3.1.0"
    assert operation_for(OPERATIONS).name == "openapi"
