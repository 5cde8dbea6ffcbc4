"""The dock: an operator's signed ceiling over what one agent may ever be leased in one tenant."""

from __future__ import annotations

from typing import Annotated

import msgspec

from dragons.core.canonical import Count, Document
from dragons.core.capability import Scope, check_scope_form
from dragons.core.clock import Timestamp, parse_time
from dragons.core.errors import InvalidInputError
from dragons.core.ids import AgentName, Id

DOCK = "dock"
TTL_SECONDS_MAX = 7 * 24 * 3600
INSTANCES_MAX = 10_000


class Budget(Document):
    """Ceilings that the boundary enforces; recorded here from the start."""

    requests: Count | msgspec.UnsetType = msgspec.UNSET
    bytes: Count | msgspec.UnsetType = msgspec.UNSET
    wall_seconds: Count | msgspec.UnsetType = msgspec.UNSET


class Dock(Document):
    """Binds an agent to a tenant up to `scope`; `not_after` ends it, absent means until revoked.

    `operator` is the id of the key that signs. `delegate_scope` is what instances may only hand on.
    """

    dock_id: Id
    tenant_id: Id
    agent: AgentName
    scope: Scope
    delegate_scope: Scope
    ttl_seconds_max: Annotated[int, msgspec.Meta(ge=1, le=TTL_SECONDS_MAX)]
    instances_max: Annotated[int, msgspec.Meta(ge=1, le=INSTANCES_MAX)]
    operator: str
    created_at: Timestamp
    not_after: Timestamp | msgspec.UnsetType = msgspec.UNSET
    budget: Budget | msgspec.UnsetType = msgspec.UNSET


def check_dock(dock: Dock) -> None:
    """InvalidInputError unless scopes are in canonical order, not empty together, and the end is a date."""
    check_scope_form(dock.scope)
    check_scope_form(dock.delegate_scope)
    if not dock.scope and not dock.delegate_scope:
        raise InvalidInputError("dock_empty", "A dock allows at least one capability.")
    if isinstance(dock.not_after, str):
        parse_time(dock.not_after)
