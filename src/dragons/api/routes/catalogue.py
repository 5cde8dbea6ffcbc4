"""The tenant's capability catalogue."""

from __future__ import annotations

from dragons.api import views
from dragons.api.answers import recorded
from dragons.api.operation import Call, Operation
from dragons.control.catalogue import publish_catalogue
from dragons.wire.authority import CatalogueView
from dragons.wire.base import Empty, Recorded, Statement


async def show(call: Call[Empty]) -> CatalogueView:
    """What each capability means; version 0 before the first was published."""
    return await call.read(lambda reader: views.catalogue(reader, call.caller.tenant_id))


async def publish(call: Call[Statement]) -> Recorded:
    """Make the signed catalogue the tenant's next version."""
    statement = call.input.statement
    return recorded(await call.write(lambda tx: publish_catalogue(tx, call.caller, statement)))


OPERATIONS = (
    Operation("catalogue.show", "GET", "/v1/catalogue", show, answer=CatalogueView),
    Operation("catalogue.publish", "POST", "/v1/catalogue", publish, Statement, Recorded),
)
