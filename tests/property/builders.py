"""Small valid documents to start from; every test changes only the field it is about."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dragons.authority.decide import Holding, Now, Situation
from dragons.authority.dock import Dock
from dragons.authority.lease import Lease
from dragons.core.clock import format_time
from dragons.core.hashing import ZERO
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Kind, OrganismState, Risk
from dragons.evidence.receipt import Header

NOW_MS = 1_800_000_000_000
BOOT_MS = 1_000_000
MINUTE_MS = 60_000


def signer(number: int, role: KeyRole = KeyRole.ISSUER) -> LocalSigner:
    """The same key for the same number, in every run."""
    return LocalSigner.from_seed(number.to_bytes(32), role)


def name(prefix: str, number: int) -> str:
    """A well-formed id such as `lse_00…07`."""
    return f"{prefix}_{number:032x}"


def make_dock(**changes: Any) -> Dock:
    return replace(
        Dock(
            dock_id=name("dck", 1),
            tenant_id=name("tnt", 1),
            agent="reconciler",
            scope=["read:payments", "write:ledger"],
            delegate_scope=["send:notice"],
            ttl_seconds_max=900,
            instances_max=3,
            operator=name("opk", 1),
            created_at=format_time(NOW_MS),
        ),
        **changes,
    )


def make_lease(**changes: Any) -> Lease:
    """A lease that fits `make_dock()` with the dock hash ZERO."""
    return replace(
        Lease(
            lease_id=name("lse", 1),
            serial=0,
            tenant_id=name("tnt", 1),
            dock_id=name("dck", 1),
            dock_hash=ZERO,
            agent="reconciler",
            version=7,
            manifest_hash=ZERO,
            instance_id=f"{1:032x}",
            instance_key=signer(1, KeyRole.INSTANCE).public_key.raw,
            dispatch_id=name("dsp", 1),
            epoch=3,
            scope=["read:payments", "write:ledger"],
            delegate_scope=["send:notice"],
            depth=0,
            issued_at=format_time(NOW_MS),
            not_before=format_time(NOW_MS - 10_000),
            expires_at=format_time(NOW_MS + 15 * MINUTE_MS),
            authorized_by=name("opk", 1),
        ),
        **changes,
    )


def make_child(parent: Lease, parent_hash: str, /, **changes: Any) -> Lease:
    """A lease that fits under `parent`."""
    return replace(
        parent,
        **{
            "lease_id": name("lse", 100 + parent.depth),
            "instance_id": f"{100 + parent.depth:032x}",
            "depth": parent.depth + 1,
            "parent_lease_id": parent.lease_id,
            "parent_hash": parent_hash,
            **changes,
        },
    )


def make_holding(**changes: Any) -> Holding:
    """What is held of a lease that is good at `make_now()`."""
    return Holding(
        **{
            "lease_id": name("lse", 1),
            "tenant_id": name("tnt", 1),
            "instance_id": f"{1:032x}",
            "epoch": 3,
            "scope": frozenset({"read:payments", "write:ledger", "pay:invoice"}),
            "not_before_ms": NOW_MS - 10_000,
            "expires_ms": NOW_MS + 15 * MINUTE_MS,
            "boot_deadline_ms": BOOT_MS + 15 * MINUTE_MS,
            "wall_minus_boot_ms": NOW_MS - BOOT_MS,
            "path": (f"operator:{name('opk', 1)}", f"lease:{name('lse', 1)}"),
            **changes,
        }
    )


def make_situation(**changes: Any) -> Situation:
    return Situation(
        **{
            "tenant_id": name("tnt", 1),
            "epoch": 3,
            "state": OrganismState.RUNNING,
            "revoked": frozenset(),
            "risks": {"read:payments": Risk.LOW, "write:ledger": Risk.MEDIUM, "pay:invoice": Risk.HIGH},
            "as_of_boot_ms": BOOT_MS,
            **changes,
        }
    )


def make_now(after_ms: int = 0, *, jump_ms: int = 0) -> Now:
    """Both clocks `after_ms` later, the wall clock `jump_ms` away from where it should be."""
    return Now(NOW_MS + after_ms + jump_ms, BOOT_MS + after_ms)


def make_header(seq: int = 0, parent_root: str = ZERO, **changes: Any) -> Header:
    return replace(
        Header(
            receipt_id=name("rcp", seq),
            tenant_id=name("tnt", 1),
            seq=seq,
            kind=Kind.WORK,
            parent_root=parent_root,
            statement_hash=ZERO,
            issued_at=format_time(NOW_MS + seq),
        ),
        **changes,
    )
