"""What a key signed since it was compromised doesn't count: catalogue, activation, version.

`dragons.audit.origins` is the same rule for whoever only has the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator

from dragons.authority.revocation import Target, entry
from dragons.control.ports import Reader
from dragons.identity.records import version_name


def is_spoiled(reader: Reader, tenant_id: str, key_id: str, recorded_ms: int) -> bool:
    """True when `key_id` ended, and what it signed in a receipt of `recorded_ms` (epoch ms) is not trusted."""
    row = reader.key(tenant_id, key_id)
    return row is None or (row.compromised_ms is not None and recorded_ms >= row.compromised_ms)


def spoiled_versions(reader: Reader, tenant_id: str, key_id: str, since_ms: int) -> Iterator[str]:
    """The entries of the versions that `key_id` registered at or after `since_ms` and nobody revoked yet."""
    for agent in reader.agents(tenant_id):
        for row in reader.versions(tenant_id, agent):
            name = entry(Target.VERSION, version_name(agent, row.version))
            is_its_own = row.registered_by == key_id and row.registered_ms >= since_ms
            if is_its_own and reader.is_revoked(tenant_id, [name]) is None:
                yield name
