"""What a key signed since it was compromised doesn't count: which of it there is, read from rows and receipts.

Catalogue, activation, version, policy, order of a dispatch, release from quarantine. What takes authority
away is the exception: nothing is ever un-revoked. `dragons.control.aftermath` carries out what follows;
`dragons.audit.origins` is the same rule for whoever only has the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator

from dragons.authority.revocation import Target, entry
from dragons.control.ports import Filter, Reader
from dragons.control.records import record_of
from dragons.core.canonical import decode
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import Intervention
from dragons.identity.records import version_name
from dragons.liveness.dispatch import Dispatch
from dragons.liveness.organism import Act


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


def spoiled_dispatches(reader: Reader, tenant_id: str, key_id: str, since_ms: int) -> list[str]:
    """Dispatches that go on only by what `key_id` signed since: their order, or an instance's release."""
    names: dict[str, None] = {}
    wanted = Filter(kind=Kind.DISPATCH_ORDERED.value, since_ms=since_ms)
    for row in reader.iter_receipts(tenant_id, wanted):
        if record_of(row).statement.signatures[0].keyid == key_id:
            names[decode(Dispatch, row.statement).dispatch_id] = None
    for signer, body in _releases(reader, tenant_id, since_ms):
        if signer == key_id and isinstance(body.instance_id, str):
            instance = reader.instance(tenant_id, body.instance_id)
            if instance is not None:
                names[instance.dispatch_id] = None
    found = (reader.dispatch(tenant_id, name) for name in names)
    return [row.dispatch_id for row in found if row is not None and row.ended_ms is None]


def spoiled_leases(reader: Reader, tenant_id: str, dispatches: list[str]) -> Iterator[str]:
    """The entries of the leases under these dispatches that nobody revoked yet."""
    for dispatch_id in dispatches:
        for instance in reader.instances(tenant_id, dispatch_id=dispatch_id):
            name = entry(Target.LEASE, instance.lease_id)
            if reader.is_revoked(tenant_id, [name]) is None:
                yield name


def spoiled_releases(reader: Reader, tenant_id: str, key_id: str, since_ms: int) -> list[str]:
    """The agents that `key_id` was the last to release, since then."""
    newest = {
        body.agent: signer
        for signer, body in _releases(reader, tenant_id, since_ms)
        if isinstance(body.agent, str)
    }
    return [agent for agent, signer in newest.items() if signer == key_id]


def _releases(reader: Reader, tenant_id: str, since_ms: int) -> Iterator[tuple[str, Intervention]]:
    """Who released whom at or after `since_ms`, the oldest first."""
    wanted = Filter(kind=Kind.INTERVENTION.value, since_ms=since_ms)
    for row in reader.iter_receipts(tenant_id, wanted):
        body = decode(Intervention, row.statement)
        if body.action == Act.RELEASE:
            yield record_of(row).statement.signatures[0].keyid, body
