from __future__ import annotations

from threading import Event

import pytest

from dragons.core.clock import ManualClock
from dragons.core.errors import ConflictError, DragonsError, ForbiddenError, UnauthenticatedError
from dragons.core.vocabulary import Reason
from dragons.node.judge import Judge
from dragons.node.pump import Verdict
from dragons.sdk.errors import ControlPlaneUnreachable
from dragons.sdk.instance import RENEWAL_MS_MAX, Instance
from tests.unit.sdk.kit import Plane

HOUR_MS = 3_600_000


@pytest.fixture
def judge(instance: Instance) -> Judge:
    made = Judge(instance)
    made.handed_on()
    return made


def test_under_a_lease_it_runs_also_on_late_news(judge: Judge, clock: ManualClock) -> None:
    assert judge() == Verdict()
    clock.advance(60_000)
    assert judge() == Verdict()


def test_a_lapse_freezes_and_a_renewal_that_was_handed_on_ends_it(
    judge: Judge, plane: Plane, instance: Instance, clock: ManualClock
) -> None:
    clock.advance(HOUR_MS)
    assert judge() == Verdict(freeze="lease_expired")
    plane.run(instance.renew_steps())
    assert judge() == Verdict(wait=True)
    judge.handed_on()
    assert judge() == Verdict()


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (ForbiddenError(Reason.LEASE_EXPIRED, ""), True),
        (ForbiddenError(Reason.ORGANISM_STOPPED, ""), True),
        (ForbiddenError(Reason.LEASE_RELEASED, ""), True),
        (ForbiddenError(Reason.REVOKED_DOCK, ""), True),
        (ForbiddenError("role_forbidden", ""), False),
        (ConflictError("version_conflict", ""), False),
        (UnauthenticatedError("token_expired", ""), False),
        (ControlPlaneUnreachable("http://x", "away", maybe_recorded=False), False),
    ],
)
def test_a_final_answer_stops_what_a_lapse_only_froze(
    judge: Judge, plane: Plane, instance: Instance, clock: ManualClock, error: DragonsError, *, final: bool
) -> None:
    clock.advance(HOUR_MS)
    plane.errors["/v1/leases/renewals"] = error
    with pytest.raises(DragonsError):
        plane.run(instance.renew_steps())
    assert instance.ends_renewal(error) is final
    assert judge() == (Verdict(stop=error.code) if final else Verdict(freeze="lease_expired"))


def test_nobody_waits_for_a_renewal_for_ever(judge: Judge, instance: Instance, clock: ManualClock) -> None:
    away = ControlPlaneUnreachable("http://x", "away", maybe_recorded=False)
    clock.advance(900_000 + RENEWAL_MS_MAX - 1)
    assert not instance.ends_renewal(away)
    clock.advance(1)
    assert instance.ends_renewal(away)
    assert judge() == Verdict(stop="lease_expired")


def test_what_is_revoked_stops_even_when_the_lease_lapsed_too(
    judge: Judge, plane: Plane, instance: Instance, clock: ManualClock
) -> None:
    plane.revoked.append(f"instance:{instance.instance_id}")
    plane.run(instance.refresh_steps())
    assert judge() == Verdict(stop="instance_revoked")
    clock.advance(HOUR_MS)
    assert judge() == Verdict(stop="instance_revoked")


def test_whoever_started_it_may_stop_it(instance: Instance) -> None:
    stop = Event()
    judge = Judge(instance, stop)
    judge.handed_on()
    assert judge() == Verdict()
    stop.set()
    assert judge() == Verdict(stop="stopped")
