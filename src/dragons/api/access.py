"""The one table of the API: which roles may call which operation.

An operation that is not here is denied for everyone, so a forgotten line closes a door and never
opens one. Says nothing about what a statement may do: that is decided by its signature.
"""

from __future__ import annotations

from types import MappingProxyType

from dragons.core.errors import ForbiddenError
from dragons.core.vocabulary import Role

_ANYONE = frozenset({Role.ANYONE})
_INSTANCE = frozenset({Role.INSTANCE})
_ADMIN = frozenset({Role.ADMIN})
_KEYHOLDER = frozenset({Role.KEYHOLDER})
_SIGNING = frozenset({Role.OPERATOR, Role.ADMIN})
_READING = frozenset({Role.OPERATOR, Role.ADMIN, Role.AUDITOR})
_LAUNCHING = frozenset({Role.OPERATOR, Role.ADMIN, Role.LAUNCHER})
_PEOPLE = _READING | _LAUNCHING
_ALL = _PEOPLE | _INSTANCE

ACCESS = MappingProxyType(
    {
        "index": _ANYONE,
        "livez": _ANYONE,
        "readyz": _ANYONE,
        "openapi": _ANYONE,
        "ping": _ALL,
        "tenant": _PEOPLE,
        "keys.list": _READING,
        "keys.register": _ADMIN,
        "keys.revoke": _ADMIN,
        "tokens.list": _ADMIN,
        "tokens.issue": _ADMIN | _KEYHOLDER,
        "tokens.revoke": _ADMIN,
        "catalogue.show": _ALL,
        "catalogue.publish": _SIGNING,
        "agents.list": _PEOPLE,
        "agents.show": _PEOPLE,
        "agents.next": _LAUNCHING,
        "agents.activate": _SIGNING,
        "manifests.register": _SIGNING,
        "manifests.show": _PEOPLE,
        "docks.create": _SIGNING,
        "docks.list": _PEOPLE,
        "docks.show": _PEOPLE,
        "revocations.create": _SIGNING,
        "revocations.view": _ALL,
        "instances.launch": _LAUNCHING,
        "instances.list": _PEOPLE,
        "instances.show": _ALL,
        "fleet.show": _PEOPLE,
        "mtboi.show": _READING,
        "metrics.show": _READING,
        "incidents.list": _READING,
        "incidents.show": _READING,
        "interventions.create": _SIGNING,
        "policies.publish": _SIGNING,
        "policies.list": _PEOPLE,
        "policies.show": _PEOPLE,
        "dispatches.create": _SIGNING,
        "dispatches.list": _PEOPLE,
        "dispatches.show": _PEOPLE,
        "nodes.report": _LAUNCHING,
        "nodes.list": _PEOPLE,
        "notifiers.list": _READING,
        "notifiers.test": _SIGNING,
        "messages.list": _READING,
        "messages.show": _READING,
        "leases.list": _PEOPLE,
        "leases.show": _PEOPLE,
        "leases.renew": _INSTANCE,
        "leases.release": _INSTANCE,
        "leases.delegate": _INSTANCE,
        "sessions.open": _INSTANCE,
        "sessions.close": _INSTANCE,
        "sessions.list": _PEOPLE,
        "sessions.show": _PEOPLE,
        "decisions.authorize": _INSTANCE,
        "receipts.append": _INSTANCE,
        "receipts.list": _READING,
        "receipts.show": _READING,
        "ledger.show": _PEOPLE,
        "ledger.consistency": _PEOPLE,
        "ledger.fsck": _ADMIN,
        "packs.export": _READING,
        "erasures.create": _SIGNING,
        "heartbeats.beat": _LAUNCHING | _INSTANCE,
        "events.feed": _READING,
    }
)

# What was done under a lease may be reported after its token has expired, and the lease renewed late, if the
# policy's grace allows; nothing else may be asked.
LAPSED = frozenset({"receipts.append", "sessions.close", "leases.renew"})


def roles_of(operation: str) -> frozenset[Role]:
    """Who may call `operation`; ForbiddenError when the table does not name it."""
    roles = ACCESS.get(operation)
    if roles is None:
        raise ForbiddenError(
            "route_undeclared",
            f"The operation {operation!r} is declared for nobody.",
            fix="Add it to the access table and to the specification.",
        )
    return roles


def check_role(operation: str, role: Role) -> None:
    """ForbiddenError unless the table lets `role` call `operation`."""
    roles = roles_of(operation)
    if role not in roles:
        raise ForbiddenError(
            "role_forbidden",
            f"The role {role.value} may not call {operation}.",
            fix=f"Use a credential of: {', '.join(sorted(one.value for one in roles))}.",
        )
