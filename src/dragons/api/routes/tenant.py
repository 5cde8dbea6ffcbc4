"""The caller's tenant."""

from __future__ import annotations

from dragons.api import views
from dragons.api.operation import Call, Operation
from dragons.wire.base import Empty
from dragons.wire.identity import TenantView


async def show(call: Call[Empty]) -> TenantView:
    """Its name, its root fingerprint and how many receipts it has."""
    return await call.read(lambda reader: views.tenant(reader, call.caller.tenant_id))


OPERATIONS = (Operation("tenant", "GET", "/v1/tenant", show, answer=TenantView),)
