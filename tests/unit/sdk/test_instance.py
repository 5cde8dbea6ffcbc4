from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET

from dragons.authority.lease import RELEASE, Release
from dragons.core.clock import ManualClock, format_time, parse_time
from dragons.core.errors import ConflictError, DragonsError, ForbiddenError, StorageError
from dragons.core.ids import uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Outcome, Reason
from dragons.liveness.heartbeat import Progress, Waiting
from dragons.sdk.authority import Deny
from dragons.sdk.errors import ControlPlaneUnreachable
from dragons.sdk.instance import RENEWAL_MS_MAX, Instance
from dragons.sdk.localstore import Entry, LocalStore
from dragons.sdk.statements import Child, Cycle, Ending
from dragons.sdk.waiting import waiting_of
from dragons.wire.base import Statement
from dragons.wire.liveness import HeartbeatsAccepted
from tests.unit.sdk.kit import READ, Plane
from tests.unit.sdk.test_operator import MANIFEST


def reason(instance: Instance) -> Reason | None:
    decided = instance.authority.authorize(READ)
    return decided.reason if isinstance(decided, Deny) else None


def test_the_holder_is_kept_where_the_lease_is(plane: Plane, store: LocalStore) -> None:
    plane.instance(store, keeps=False)
    assert store.holders() == []
    instance = plane.instance(store)
    (holder,) = store.holders()
    assert (holder.instance_id, holder.token) == (instance.instance_id, "token")
    assert holder.seed == instance.signer.seed()
    assert holder.expires_ms == parse_time(instance.authority.lease.expires_at)


def test_a_view_is_fetched_until_it_is_whole(plane: Plane, instance: Instance) -> None:
    plane.revoked += [f"dock:{number}" for number in range(5)]
    whole = plane.view
    plane.view = lambda after=0, **c: whole(after, entries=plane.revoked[after : after + 2], **c)  # type: ignore[method-assign]
    plane.run(instance.refresh_steps())
    assert [call.query for call in plane.calls] == ["after=0", "after=2", "after=4"]
    assert instance.authority.known_revocations == 5


def test_a_refusal_of_the_view_denies(plane: Plane, instance: Instance) -> None:
    plane.errors["/v1/revocations"] = ForbiddenError(Reason.ORGANISM_STOPPED, "")
    with pytest.raises(ForbiddenError):
        plane.run(instance.refresh_steps())
    assert reason(instance) is Reason.ORGANISM_STOPPED


def test_renewal_goes_on_with_the_new_lease_and_token(
    plane: Plane, instance: Instance, clock: ManualClock
) -> None:
    clock.advance(450_000)
    plane.run(instance.renew_steps())
    assert instance.authority.lease.serial == 1
    assert instance.granted is not None
    assert instance.place.store.holders()[0].expires_ms == clock.now_ms() + 900_000
    half = clock.boot_ms() + 450_000
    assert half - 90_000 <= instance.renew_due_ms() <= half + 90_000


def test_a_refused_renewal_denies_at_once(plane: Plane, instance: Instance) -> None:
    plane.errors["/v1/leases/renewals"] = ForbiddenError(Reason.REVOKED_DOCK, "")
    with pytest.raises(ForbiddenError):
        plane.run(instance.renew_steps())
    assert reason(instance) is Reason.REVOKED_DOCK


def test_heartbeats_count_up_and_carry_receipts(plane: Plane, instance: Instance, clock: ManualClock) -> None:
    plane.run(instance.beat_steps())
    clock.advance(10)
    instance.observe = lambda: Progress(sequence=4, digest="ab" * 32, source="receipts")
    plane.run(instance.beat_steps())
    assert [beat.sequence for beat in plane.beats] == [1, 2]
    assert isinstance(plane.beats[1].progress, Progress)
    assert instance.last_beat_boot_ms == clock.boot_ms()
    assert instance.states == ["running"]


def test_the_answer_to_a_heartbeat_is_heeded(plane: Plane, instance: Instance) -> None:
    plane.answer_beat = HeartbeatsAccepted(
        accepted=0, refused={"0": "organism_stopped"}, state="stopped", epoch=1
    )
    plane.run(instance.beat_steps())
    assert reason(instance) is Reason.ORGANISM_STOPPED
    assert instance.last_beat_boot_ms == -1
    plane.answer_beat = HeartbeatsAccepted(accepted=1, refused={}, state="running", epoch=2)
    plane.run(instance.beat_steps())
    assert reason(instance) is Reason.EPOCH_STALE
    assert instance.states == ["stopped", "running"]


def test_the_state_is_watched(plane: Plane, instance: Instance) -> None:
    plane.state = "quarantined"
    plane.run(instance.watch_steps())
    assert reason(instance) is Reason.ORGANISM_QUARANTINED


def test_progress_is_what_the_record_shows(plane: Plane, instance: Instance) -> None:
    def observed(entry: Entry) -> Progress | None:
        instance.place.store.acknowledge(instance.instance_id, [(entry, recorded)])
        return instance.observe_receipts()

    recorded = plane.recorded()
    # That a session was opened is no work.
    assert observed(instance.stating.session("g", [READ], 1).made.entry) is None
    cycle = Cycle(READ, "r", {}, 1, 2, 1, Outcome.COMPLETED, {})
    entry = instance.stating.claim("ses_" + "0" * 32, "g", cycle).entry
    assert observed(entry) == Progress(sequence=1, digest=recorded.chain_root, source="receipts")


def test_a_declared_waiting_is_in_every_beat_while_it_lasts(
    plane: Plane, instance: Instance, clock: ManualClock
) -> None:
    until_ms = clock.now_ms() + 60_000
    number = instance.waits.begin(waiting_of("approval", until_ms, clock.now_ms()))
    plane.run(instance.beat_steps())
    clock.advance(60_000)
    plane.run(instance.beat_steps())
    instance.waits.end(number)
    plane.run(instance.beat_steps())
    waiting = Waiting(reason="approval", until=format_time(until_ms))
    assert [beat.waiting for beat in plane.beats] == [waiting, UNSET, UNSET]


def test_how_the_program_ended_goes_with_the_lease(plane: Plane, instance: Instance) -> None:
    def released() -> Release:
        plane.run(instance.end_steps())
        return msgspec.json.decode(plane.calls[-1].body, type=Statement).statement.body(RELEASE, Release)

    assert (released().outcome, released().detail) == (UNSET, UNSET)
    instance.ending = Ending(Outcome.FAILED, "exit status 3" + "x" * 1000)
    assert released().outcome is Outcome.FAILED
    assert released().detail == "exit status 3" + "x" * 487


@pytest.mark.parametrize(
    ("lapsed_ms", "error", "ends"),
    [
        (-1, ForbiddenError(Reason.DOCK_EXPIRED, ""), True),
        (0, ForbiddenError(Reason.LEASE_EXPIRED, ""), True),
        (0, ForbiddenError("role_forbidden", ""), False),
        (RENEWAL_MS_MAX - 1, ConflictError("version_conflict", ""), False),
        (RENEWAL_MS_MAX, ConflictError("version_conflict", ""), True),
    ],
)
def test_renewing_ends_with_a_final_answer_or_after_a_day(
    instance: Instance, clock: ManualClock, lapsed_ms: int, error: DragonsError, *, ends: bool
) -> None:
    assert instance.renewing
    clock.advance(900_000 + lapsed_ms)
    assert instance.ends_renewal(error) is ends
    assert instance.renewing is not ends


def test_the_end_gives_the_lease_back(plane: Plane, instance: Instance, store: LocalStore) -> None:
    assert plane.run(instance.end_steps()).error is None
    assert [call.path for call in plane.calls] == ["/v1/leases/releases"]
    assert store.holders() == []


@pytest.mark.parametrize(
    "error", [ForbiddenError(Reason.REVOKED_LEASE, ""), ConflictError(Reason.LEASE_RELEASED, "")]
)
def test_a_lease_that_is_over_needs_no_giving_back(
    plane: Plane, instance: Instance, error: Exception
) -> None:
    plane.errors["/v1/leases/releases"] = error  # type: ignore[assignment]
    assert plane.run(instance.end_steps()).error is None


def test_nothing_is_given_back_while_something_waits(
    plane: Plane, instance: Instance, store: LocalStore
) -> None:
    made = instance.stating.closing("ses_" + "0" * 32, {"goal": "g"}, "completed", [], 1)  # type: ignore[arg-type]
    store.commit([made.payload], [made.entry])
    plane.away = True
    drained = plane.run(instance.end_steps())
    assert isinstance(drained.error, ControlPlaneUnreachable)
    assert drained.waiting == 1
    assert [holder.ended for holder in store.holders()] == [True]
    assert "/v1/leases/releases" not in [call.path for call in plane.calls]


def test_an_attached_instance_gives_nothing_back(plane: Plane, store: LocalStore) -> None:
    attached = plane.instance(store, keeps=False)
    plane.run(attached.end_steps())
    assert plane.calls == []


def test_a_child_has_its_own_key_and_a_part_of_the_lease(plane: Plane, instance: Instance) -> None:
    child = plane.run(instance.delegate_steps(MANIFEST, [READ]))
    assert child.signer.key_id != instance.signer.key_id
    assert child.instance_id != instance.instance_id
    assert child.authority.lease.scope == [READ]
    assert child.keeps
    assert len(instance.place.store.holders()) == 2


def test_a_child_that_made_its_key_elsewhere_gets_a_lease_for_it(plane: Plane, instance: Instance) -> None:
    signer = LocalSigner.generate(KeyRole.INSTANCE)
    wanted = Child("reconciler", uuid7_hex(plane.clock.now_ms()), signer.public_key)
    granted = plane.run(instance.grant_steps(wanted, MANIFEST, [READ]))
    child = Instance(wanted.instance_id, signer, instance.place, keeps=True)
    child.accept(granted, plane.span())
    assert child.authority.lease.scope == [READ]
    plane.errors["/v1/leases/delegations"] = ForbiddenError("capability_not_delegable", "Denied: send:money.")
    with pytest.raises(ForbiddenError) as caught:
        plane.run(instance.grant_steps(wanted, MANIFEST, [READ]))
    assert caught.value.fix


def test_what_stops_sending_is_raised(plane: Plane, instance: Instance, store: LocalStore) -> None:
    made = instance.stating.closing("ses_" + "0" * 32, {"goal": "g"}, "completed", [], 1)  # type: ignore[arg-type]
    store.commit([made.payload], [made.entry])
    plane.errors["/v1/sessions/closings"] = StorageError("down", "")
    with pytest.raises(StorageError):
        plane.run(instance.send_steps())
