"""The dispatch: an operator's signed order that an agent's work goes on until it is done.

One instance at a time works on it, each with the next epoch. Never holds the goal or the command: those
stay with the tenant, committed to by a salted hash and by the digest of the node's own specification.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, NamedTuple

import msgspec

from dragons.core.canonical import Document
from dragons.core.capability import Scope
from dragons.core.clock import Timestamp
from dragons.core.hashing import Digest
from dragons.core.ids import AgentName, Id
from dragons.core.vocabulary import Reason

DISPATCH_ORDER = "dispatch"
PROCESS = "process"
WEBHOOK = "webhook"

# Where instances are started: by a node's supervisor, or by whoever answers a webhook.
Dispatcher = Annotated[str, msgspec.Meta(pattern=r"^(process|webhook)$(?!\n)")]
_NODE = r"^[a-z0-9][a-z0-9.-]{0,62}$(?!\n)"
NodeName = Annotated[str, msgspec.Meta(pattern=_NODE)]


class Dispatch(Document):
    """Signed by an operator. `target` names the node, or the channel of a webhook.

    `scope` and `ttl_seconds` bound every lease of its instances; an empty scope leaves what they may to dock
    and manifest. `goal_hash` commits to the goal as a payload hash does; `spec_hash` is SHA-256 of the
    specification (command, folder, environment) that the target keeps.
    """

    dispatch_id: Id
    tenant_id: Id
    agent: AgentName
    dispatcher: Dispatcher
    target: NodeName
    scope: Scope
    ttl_seconds: Annotated[int, msgspec.Meta(ge=1, le=30 * 24 * 3600)]
    goal_hash: Digest
    spec_hash: Digest
    created_at: Timestamp


class Beyond(NamedTuple):
    """How a lease is more than what was ordered."""

    reason: Reason
    detail: str


def refuse_beyond(
    ordered: Dispatch, scope: Collection[str], delegate_scope: Collection[str], length_ms: int
) -> Beyond | None:
    """Why a lease of `length_ms` with these scopes is more than the operator signed, None when it is not."""
    extra = {*scope, *delegate_scope} - set(ordered.scope)
    if ordered.scope and extra:
        return Beyond(Reason.SCOPE_EXCEEDED, f"not ordered: {', '.join(sorted(extra))}")
    if length_ms > ordered.ttl_seconds * 1000:
        return Beyond(Reason.TTL_EXCEEDED, f"the dispatch was ordered with {ordered.ttl_seconds} s")
    return None


def is_node_name(text: str) -> bool:
    """True when `text` can name a node or a channel."""
    return re.match(_NODE, text) is not None
