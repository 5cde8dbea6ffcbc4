"""The fleet at a glance, and MTBOI with what it is made of."""

from __future__ import annotations

from dragons.api import fleet_views
from dragons.api.operation import Call, Operation
from dragons.api.query import FleetQuery, MtboiQuery
from dragons.control.mtboi import window_at
from dragons.control.ports import Reader
from dragons.core.errors import NotFoundError
from dragons.core.vocabulary import OrganismState
from dragons.wire.fleet import Fleet, MtboiView


async def show(call: Call[FleetQuery]) -> Fleet:
    """Live instances, the worst first, with authority, pulse and progress, and the tenant's totals.

    Stopped instances are shown only for `state=stopped`, the newest first.
    """
    asked, now_ms = call.input, call.backend.clock.now_ms()
    state = OrganismState(asked.state) if asked.state else None
    wanted = fleet_views.Wanted(asked.agent or None, state, asked.skip, asked.limit)
    return await call.read(lambda reader: fleet_views.fleet(reader, call.caller.tenant_id, wanted, now_ms))


async def mtboi(call: Call[MtboiQuery]) -> MtboiView:
    """MTBOI of an agent, or of the fleet, over the 30 days before `until_ms`, and one page of its proofs.

    `until_ms` 0, or a time that lies ahead, is now; the answer says which moment it is of.
    """
    asked, tenant_id = call.input, call.caller.tenant_id
    now_ms = call.backend.clock.now_ms()
    until_ms = min(asked.until_ms or now_ms, now_ms)
    agent = asked.agent or None

    def look(reader: Reader) -> MtboiView:
        if agent is not None and not reader.versions(tenant_id, agent):
            raise NotFoundError("agent_missing", f"{agent} has no version on the record.")
        return fleet_views.mtboi(
            reader, tenant_id, agent, window_at(until_ms), page=asked.page, limit=asked.limit
        )

    return await call.read(look)


OPERATIONS = (
    Operation("fleet.show", "GET", "/v1/fleet", show, FleetQuery, Fleet),
    Operation("mtboi.show", "GET", "/v1/mtboi", mtboi, MtboiQuery, MtboiView),
)
