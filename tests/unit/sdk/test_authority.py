from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragons.authority.decide import Allow, Deny
from dragons.authority.revocation import STALE_AFTER_MS
from dragons.core.clock import ManualClock, format_time
from dragons.core.errors import ForbiddenError, InvalidInputError
from dragons.core.ids import TENANT, new_id, uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Reason
from dragons.sdk.authority import Authority, Span, read_now
from tests.unit.sdk.kit import MONEY, READ, Plane


class Holder:
    """An authority with what it holds, to be fed."""

    def __init__(self, plane: Plane, **changes: object) -> None:
        self.plane = plane
        self.signer = LocalSigner.generate(KeyRole.INSTANCE)
        instance_id = uuid7_hex(plane.clock.now_ms())
        self.authority = Authority(instance_id, self.signer.public_key, plane.clock)
        self.lease = plane.lease(instance_id, self.signer.public_key, **changes)

    def take(self, **changes: object) -> None:
        self.authority.take_grant(self.plane.granted(self.lease, **changes), self.plane.span())

    def look(self) -> bool:
        view = self.plane.view(self.authority.known_revocations)
        return self.authority.take_view(view, self.plane.span())

    def reason(self, capability: str = READ) -> Reason | None:
        decided = self.authority.authorize(capability)
        return decided.reason if isinstance(decided, Deny) else None


@pytest.fixture
def holder(plane: Plane) -> Holder:
    made = Holder(plane)
    made.take()
    return made


def test_a_verified_lease_allows_what_it_names(holder: Holder) -> None:
    decided = holder.authority.authorize(READ)
    assert isinstance(decided, Allow)
    assert decided.lease_id == holder.lease.lease_id
    assert holder.reason("write:other") is Reason.CAPABILITY_NOT_LEASED
    assert holder.reason(MONEY) is Reason.ONLINE_CHECK_REQUIRED


def test_without_a_lease_nothing_is_allowed(plane: Plane) -> None:
    holder = Holder(plane)
    assert holder.reason() is Reason.LEASE_MISSING
    assert holder.authority.over() is not None
    with pytest.raises(ForbiddenError):
        _ = holder.authority.lease
    with pytest.raises(ForbiddenError):
        holder.look()


def other_issuer(holder: Holder) -> dict[str, object]:
    return {"signer": LocalSigner.generate(KeyRole.ISSUER)}


def other_key_id(holder: Holder) -> dict[str, object]:
    return {"issuer_key_id": LocalSigner.generate(KeyRole.ISSUER).key_id}


def view_of_another_tenant(holder: Holder) -> dict[str, object]:
    return {"revocations": holder.plane.view(tenant_id=new_id(TENANT, 1))}


def view_of_another_issuer(holder: Holder) -> dict[str, object]:
    return {"revocations": Plane(ManualClock()).view(tenant_id=holder.plane.tenant_id)}


@pytest.mark.parametrize(
    "wrong", [other_issuer, other_key_id, view_of_another_tenant, view_of_another_issuer]
)
def test_a_forged_grant_is_refused(plane: Plane, wrong: Any) -> None:
    holder = Holder(plane)
    with pytest.raises(ForbiddenError) as caught:
        holder.take(**wrong(holder))
    assert caught.value.code == "grant_invalid"
    assert holder.reason() is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"instance_id": "0" * 32},
        {"instance_key": LocalSigner.generate(KeyRole.INSTANCE).public_key.raw},
        {"scope": ["delete:everything"]},
        {"dock_hash": "0" * 64},
        {"authorized_by": "opk_" + "0" * 32},
    ],
)
def test_a_lease_for_another_or_beyond_its_dock_is_refused(plane: Plane, changes: dict[str, object]) -> None:
    holder = Holder(plane, **changes)
    with pytest.raises(ForbiddenError):
        holder.take()
    assert holder.reason() is Reason.LEASE_MISSING


def test_an_altered_lease_is_refused(plane: Plane) -> None:
    holder = Holder(plane)
    granted = plane.granted(holder.lease)
    payload = granted.lease.payload.replace(b'"epoch":1', b'"epoch":2')
    granted.lease = msgspec.structs.replace(granted.lease, payload=payload)
    with pytest.raises(ForbiddenError):
        holder.authority.take_grant(granted, plane.span())


def test_a_view_that_is_too_old_denies(holder: Holder, clock: ManualClock) -> None:
    clock.advance(STALE_AFTER_MS)
    assert holder.reason() is None
    clock.advance(1)
    assert holder.reason() is Reason.AUTHORITY_STALE
    assert holder.look()
    assert holder.reason() is None
    # Late news is no end: the program under a launcher goes on until its lease is over.
    clock.advance(60_000)
    assert holder.authority.over() is None


def test_age_counts_from_when_the_question_was_asked(holder: Holder, clock: ManualClock) -> None:
    sent = read_now(clock)
    clock.advance(4_000)
    holder.authority.take_view(holder.plane.view(), Span(sent, clock.boot_ms()))
    clock.advance(1_001)
    assert holder.reason() is Reason.AUTHORITY_STALE


def test_a_view_that_was_kept_back_is_as_old_as_it_says(holder: Holder, clock: ManualClock) -> None:
    kept = holder.plane.view()
    clock.advance(4_000)
    holder.authority.take_view(kept, holder.plane.span())
    clock.advance(1_001)
    assert holder.reason() is Reason.AUTHORITY_STALE


def test_a_view_may_not_go_back_in_time(holder: Holder, clock: ManualClock) -> None:
    old = holder.plane.view()
    clock.advance(10)
    assert holder.look()
    with pytest.raises(ForbiddenError, match="older"):
        holder.authority.take_view(old, holder.plane.span())


def test_a_revocation_on_the_path_denies_and_stays(holder: Holder, clock: ManualClock) -> None:
    holder.plane.revoked.append(f"dock:{holder.lease.dock_id}")
    assert holder.look()
    assert holder.reason() is Reason.REVOKED_DOCK
    over = holder.authority.over()
    assert over is not None
    assert over.reason is Reason.REVOKED_DOCK
    holder.plane.revoked.clear()
    clock.advance(1)
    with pytest.raises(ForbiddenError, match="leaves some out"):
        holder.authority.take_view(holder.plane.view(), holder.plane.span())
    assert holder.reason() is Reason.REVOKED_DOCK


def test_a_part_of_the_feed_is_not_fresh(holder: Holder, clock: ManualClock) -> None:
    holder.plane.revoked += ["dock:a", "dock:b", f"agent:{holder.lease.agent}"]
    clock.advance(STALE_AFTER_MS + 1)
    part = holder.plane.view(entries=["dock:a"])
    assert not holder.authority.take_view(part, holder.plane.span())
    assert holder.reason() is Reason.AUTHORITY_STALE
    assert holder.look()
    assert holder.reason() is Reason.REVOKED_AGENT


@pytest.mark.parametrize("changes", [{"after": 5}, {"count": 1}, {"entries": ["dock:other"]}])
def test_a_view_that_contradicts_the_feed_is_refused(holder: Holder, changes: dict[str, Any]) -> None:
    holder.plane.revoked += ["dock:a", "dock:b"]
    assert holder.look()
    with pytest.raises((ForbiddenError, InvalidInputError)):
        holder.authority.take_view(holder.plane.view(**changes), holder.plane.span())


def test_the_lease_ends_on_either_clock(plane: Plane, clock: ManualClock) -> None:
    ends_at = format_time(clock.now_ms() + 3_000)
    holder = Holder(plane, expires_at=ends_at)
    holder.take()
    clock.advance(2_999)
    assert holder.reason() is None
    clock.advance(1)
    assert holder.reason() is Reason.LEASE_EXPIRED
    assert holder.authority.over() is not None


def test_the_issuers_time_counts_where_the_wall_clock_is_behind(plane: Plane, clock: ManualClock) -> None:
    holder = Holder(plane, expires_at=format_time(clock.now_ms() + 3_000))
    granted = plane.granted(holder.lease)
    clock.jump(-4_000)
    granted.revocations = plane.view(as_of=granted.now)
    holder.authority.take_grant(granted, plane.span())
    assert holder.authority.plane_ms() == clock.now_ms() + 4_000
    clock.advance(3_000)
    over = holder.authority.over()
    assert over is not None
    assert over.reason is Reason.LEASE_EXPIRED


def test_a_jump_of_the_wall_clock_denies(holder: Holder, clock: ManualClock) -> None:
    clock.jump(-3_600_000)
    assert holder.reason() is Reason.CLOCK_JUMPED
    assert holder.authority.over() is None


def test_states_and_epochs_are_followed(holder: Holder) -> None:
    holder.authority.take_state("quarantined", 1)
    assert holder.reason() is Reason.ORGANISM_QUARANTINED
    holder.authority.take_state("running", 1)
    assert holder.reason() is None
    holder.authority.take_state("running", 2)
    assert holder.reason() is Reason.EPOCH_STALE
    holder.authority.take_state("unheard-of", 1)
    assert holder.reason() is Reason.EPOCH_STALE


def test_what_the_control_plane_refuses_denies_until_it_does_not(holder: Holder, clock: ManualClock) -> None:
    holder.authority.take_answer("organism_stopped")
    assert holder.reason() is Reason.ORGANISM_STOPPED
    holder.authority.take_answer("heartbeat_old")
    assert holder.reason() is None
    holder.authority.take_refusal("view", ForbiddenError(Reason.REVOKED_INSTANCE, ""))
    assert holder.reason() is Reason.REVOKED_INSTANCE
    clock.advance(1)
    assert holder.look()
    assert holder.reason() is None


def test_a_renewal_is_of_the_same_lease_and_no_wider(
    holder: Holder, plane: Plane, clock: ManualClock
) -> None:
    holder.lease = msgspec.structs.replace(holder.lease, scope=[READ])
    holder.take()
    clock.advance(1_000)
    for changes in ({"scope": [READ, MONEY]}, {"epoch": 2}, {"lease_id": "lse_" + "0" * 32}):
        wrong = msgspec.structs.replace(holder.lease, serial=1, **changes)
        with pytest.raises(ForbiddenError):
            holder.authority.take_grant(plane.granted(wrong), plane.span())
    good = msgspec.structs.replace(holder.lease, serial=1)
    holder.authority.take_grant(plane.granted(good), plane.span())
    with pytest.raises(ForbiddenError):
        holder.authority.take_grant(plane.granted(holder.lease), plane.span())


def test_renewal_is_due_at_half_life_from_sending(holder: Holder, plane: Plane, clock: ManualClock) -> None:
    sent = read_now(clock)
    clock.advance(1_000)
    holder.authority.take_grant(plane.granted(holder.lease), Span(sent, clock.boot_ms()))
    assert holder.authority.renew_due_ms(0) == sent.boot_ms + 450_000
    assert holder.authority.renew_due_ms(1) == sent.boot_ms + 540_000
    assert holder.authority.renew_due_ms(-1) == sent.boot_ms + 360_000


def test_an_unknown_risk_denies(plane: Plane) -> None:
    holder = Holder(plane)
    holder.take(risks={READ: "tolerable"})
    assert holder.reason() is Reason.CAPABILITY_UNKNOWN


def test_what_no_renewal_mends_comes_before_the_lapse(holder: Holder, clock: ManualClock) -> None:
    def over() -> Reason | None:
        denied = holder.authority.over()
        return None if denied is None else denied.reason

    clock.advance(900_000)
    assert over() is Reason.LEASE_EXPIRED
    assert holder.authority.lapsed_ms() == 0
    clock.advance(7)
    assert holder.authority.lapsed_ms() == 7
    # Also where the clocks disagree, and where a heartbeat only told of the lapse.
    clock.jump(3_600_000)
    holder.authority.take_answer("lease_expired")
    assert over() is Reason.LEASE_EXPIRED
    holder.authority.take_refusal("renewal", ForbiddenError(Reason.REVOKED_AGENT, ""))
    assert over() is Reason.REVOKED_AGENT
    holder.authority.take_refusal("renewal", ForbiddenError(Reason.LEASE_EXPIRED, ""))
    holder.authority.take_state("quarantined", 1)
    assert over() is Reason.ORGANISM_QUARANTINED


def test_a_late_renewal_ends_the_lapse_and_what_told_of_it(holder: Holder, clock: ManualClock) -> None:
    clock.advance(1_000_000)
    holder.authority.take_answer("lease_expired")
    holder.authority.take_refusal("view", ForbiddenError(Reason.LEASE_EXPIRED, ""))
    assert holder.reason() is Reason.LEASE_EXPIRED
    now_ms = clock.now_ms()
    renewal = msgspec.structs.replace(
        holder.lease, serial=1, issued_at=format_time(now_ms), not_before=format_time(now_ms - 10_000),
        expires_at=format_time(now_ms + 900_000),
    )  # fmt: skip
    holder.authority.take_grant(holder.plane.granted(renewal), holder.plane.span())
    assert (holder.reason(), holder.authority.over(), holder.authority.lapsed_ms()) == (None, None, 0)


def test_a_late_renewal_unsays_nothing_else(holder: Holder, clock: ManualClock) -> None:
    holder.authority.take_answer("epoch_stale")
    now_ms = clock.now_ms()
    renewal = msgspec.structs.replace(
        holder.lease, serial=1, issued_at=format_time(now_ms), expires_at=format_time(now_ms + 900_000)
    )
    holder.authority.take_grant(holder.plane.granted(renewal), holder.plane.span())
    assert holder.reason() is Reason.EPOCH_STALE
