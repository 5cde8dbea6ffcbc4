"""What must hold of a store whatever happened: all that was acknowledged is there, and no lease exceeds its dock."""

from __future__ import annotations

from dragons.control.docks import dock_of
from dragons.core.clock import parse_time
from dragons.core.hashing import sha256_hex
from tests.support.plane import Tenancy


def assert_kept(tenancy: Tenancy, told: dict[int, str]) -> None:
    """`told` maps each acknowledged seq to its chain root."""
    with tenancy.plane.store.read() as reader:
        for seq, chain_root in told.items():
            row = reader.receipt_at(tenancy.tenant_id, seq)
            assert row is not None
            assert sha256_hex(row.header) == chain_root
        for lease in reader.leases(tenancy.tenant_id):
            docked = reader.dock(tenancy.tenant_id, lease.dock_id)
            assert docked is not None
            dock, _ = dock_of(docked)
            assert set(lease.scope) <= set(dock.scope)
            assert set(lease.delegate_scope) <= set(dock.delegate_scope)
            assert 0 < lease.expires_ms - lease.issued_ms <= dock.ttl_seconds_max * 1_000
            assert not isinstance(dock.not_after, str) or lease.expires_ms <= parse_time(dock.not_after)
