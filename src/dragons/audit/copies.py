"""What a header repeats from its statement: the two must agree, or one of them was made up."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from msgspec import UNSET

from dragons.authority.dock import Dock
from dragons.authority.lease import Delegation, Lease, Release
from dragons.authority.revocation import Withdrawal
from dragons.core.canonical import Document
from dragons.core.vocabulary import Outcome
from dragons.evidence.receipt import (
    Abandonment,
    Claim,
    Closing,
    Decision,
    DispatchEnd,
    Header,
    Intervention,
    Redispatch,
    Session,
    Transition,
)
from dragons.identity.records import Activation, Registration, version_name
from dragons.liveness.dispatch import Dispatch
from dragons.liveness.policy import EVERY_AGENT, Policy

# Field of the header, field of the statement.
COPIED: dict[type[Document], tuple[tuple[str, str], ...]] = {
    Claim: tuple((n, n) for n in ("session_id", "payload_hash", "evidence", "outcome", "action", "corrects")),
    Session: (("session_id", "session_id"), ("payload_hash", "payload_hash")),
    Closing: tuple((n, n) for n in ("session_id", "payload_hash", "evidence", "outcome")),
    Decision: (("session_id", "session_id"), ("action", "action")),
    Abandonment: (("session_id", "session_id"), ("instance_id", "instance_id")),
    Transition: (("instance_id", "instance_id"), ("organism_state", "after")),
    Intervention: (("instance_id", "instance_id"),),
    Release: (("instance_id", "instance_id"), ("lease_ref", "lease_id")),
    Delegation: (("instance_id", "parent_instance_id"), ("lease_ref", "parent_lease_id")),
    Lease: (
        ("instance_id", "instance_id"),
        ("lease_ref", "lease_id"),
        ("epoch", "epoch"),
        ("manifest_hash", "manifest_hash"),
    ),
    Registration: (("manifest_hash", "manifest_hash"),),
    Activation: (("manifest_hash", "manifest_hash"),),
    Dock: (("agent", "agent"),),
    Withdrawal: (("instance_id", "instance_id"), ("lease_ref", "lease_id")),
    Dispatch: (("agent", "agent"),),
    Redispatch: (("agent", "agent"), ("epoch", "epoch")),
    DispatchEnd: (("agent", "agent"),),
}

_READERS: dict[type[Document], tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    kind: (attrgetter(*(pair[0] for pair in pairs)), attrgetter(*(pair[1] for pair in pairs)))
    for kind, pairs in COPIED.items()
}


def contradiction(header: Header, body: Document) -> str | None:
    """The field in which a header contradicts the statement it repeats, None when they agree."""
    if isinstance(body, Policy):
        named = UNSET if body.agent == EVERY_AGENT else body.agent
        return None if header.agent == named else "agent"
    readers = _READERS.get(type(body))
    if readers is None:
        return None
    if readers[0](header) != readers[1](body):
        pairs = COPIED[type(body)]
        return next(one for one, other in pairs if getattr(header, one) != getattr(body, other))
    if type(body) is Claim:
        return None
    if isinstance(body, Abandonment) and header.outcome is not Outcome.ABANDONED:
        return "outcome"
    if isinstance(body, Lease | Activation) and header.agent != version_name(body.agent, body.version):
        return "agent"
    if isinstance(body, Intervention) and isinstance(body.agent, str) and header.agent != body.agent:
        return "agent"
    if isinstance(body, Registration) and header.agent != version_name(body.manifest.agent, body.version):
        return "agent"
    return None
