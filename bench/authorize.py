"""What an agent pays for the check before every action, against one Ed25519 verification on this machine.

Measures the SDK's own decision on a verified lease and a fresh view of 1,000 revocations, each call by
itself. Uses no network and keeps nothing.
"""

from __future__ import annotations

from bench.figures import Found, Pair, alternate, compare, p50_us
from bench.sizes import Sizes
from dragons.authority.decide import Allow
from dragons.authority.dock import DOCK, Dock
from dragons.authority.lease import LEASE, Lease
from dragons.authority.revocation import REVOCATIONS_VIEW, RevocationsView, Target, entry
from dragons.core.clock import Clock, SystemClock, format_time
from dragons.core.ids import DISPATCH, TENANT, new_id, uuid7_hex
from dragons.core.ids import DOCK as DOCK_ID
from dragons.core.ids import LEASE as LEASE_ID
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import sign
from dragons.sdk.authority import Authority, read_now, span_since
from dragons.wire.authority import Granted

TARGET = 0.1
ACTION = "write:ledger"
CAPABILITIES = ["read:payments", "read:statement", "write:ledger", "write:report"]
REVOCATIONS = 1_000
OF = f"authorize under a verified lease, {REVOCATIONS:,} revocations known, median"
_MESSAGE = b"x" * 500


def measure(sizes: Sizes) -> Found:
    """The median time of a decision and of a verification."""
    pair = rounds_of(sizes)
    return Found([
        compare(
            "decision in the SDK", pair, of=OF, against="one Ed25519 verification, median", unit="µs",
            target=TARGET, at_most=True,
        )
    ])  # fmt: skip


def rounds_of(sizes: Sizes) -> Pair:
    """Microseconds of a verification (theirs) and of a decision (ours) in turn."""
    signer = LocalSigner.generate(KeyRole.ISSUER)
    signature, key = signer.sign(_MESSAGE), signer.public_key
    return alternate(
        sizes.rounds,
        lambda: p50_us(lambda: key.verify(signature, _MESSAGE), sizes.decisions),
        lambda: decision_us(sizes.decisions),
    )


def decision_us(calls: int) -> float:
    """The median microseconds of a decision, all of which allow: a denial would be cheaper."""
    # A grant of its own, or a slow round would end with a view of the revocations that is too old.
    authority = granted_authority(SystemClock())
    found = p50_us(lambda: authority.authorize(ACTION), calls)
    assert isinstance(authority.authorize(ACTION), Allow)
    return found


def granted_authority(clock: Clock) -> Authority:
    """What an instance holds after its launch: lease, dock and revocations, each verified."""
    now_ms = clock.now_ms()
    issuer, operator = LocalSigner.generate(KeyRole.ISSUER), LocalSigner.generate(KeyRole.OPERATOR)
    instance = LocalSigner.generate(KeyRole.INSTANCE)
    tenant_id, instance_id = new_id(TENANT, now_ms), uuid7_hex(now_ms)
    dock = sign(
        DOCK,
        Dock(
            dock_id=new_id(DOCK_ID, now_ms), tenant_id=tenant_id, agent="reconciler", scope=CAPABILITIES,
            delegate_scope=[], ttl_seconds_max=3600, instances_max=1, operator=operator.key_id,
            created_at=format_time(now_ms),
        ),
        operator,
    )  # fmt: skip
    lease = Lease(
        lease_id=new_id(LEASE_ID, now_ms), serial=0, tenant_id=tenant_id,
        dock_id=dock.body(DOCK, Dock).dock_id, dock_hash=dock.payload_digest(), agent="reconciler",
        version=7, manifest_hash="0" * 64, instance_id=instance_id, instance_key=instance.public_key.raw,
        dispatch_id=new_id(DISPATCH, now_ms), epoch=1, scope=CAPABILITIES, delegate_scope=[], depth=0,
        issued_at=format_time(now_ms), not_before=format_time(now_ms - 10_000),
        expires_at=format_time(now_ms + 3_600_000), authorized_by=operator.key_id,
    )  # fmt: skip
    revoked = [entry(Target.LEASE, new_id(LEASE_ID, now_ms)) for _ in range(REVOCATIONS)]
    view = RevocationsView(
        tenant_id=tenant_id, after=0, count=REVOCATIONS, entries=revoked, as_of=format_time(now_ms)
    )
    granted = Granted(
        lease=sign(LEASE, lease, issuer), token="", dock=dock, issuer_key=issuer.public_key.raw,
        issuer_key_id=issuer.key_id, risks=dict.fromkeys(CAPABILITIES, "low"),
        revocations=sign(REVOCATIONS_VIEW, view, issuer), interval_seconds=10, now=format_time(now_ms),
    )  # fmt: skip
    authority = Authority(instance_id, instance.public_key, clock)
    authority.take_grant(granted, span_since(read_now(clock), clock))
    return authority
