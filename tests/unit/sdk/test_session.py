from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import UNSET

from dragons.authority.lease import LEASE, Lease
from dragons.core.clock import ManualClock
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError
from dragons.core.ids import uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Outcome, Reason
from dragons.sdk import session as sessions
from dragons.sdk.core import SessionCore
from dragons.sdk.errors import ActionDenied, ControlPlaneUnreachable, SessionStateError, StepCompleted
from dragons.sdk.instance import Instance
from dragons.sdk.launch import Origin, Wanted
from dragons.sdk.localstore import LocalStore
from dragons.sdk.session import (
    Session,
    core_of,
    flush_chore,
    follow_chore,
    open_session,
    send_leftovers,
    wanted_of,
    working,
)
from dragons.sdk.statements import Child
from dragons.sdk.steps import run
from dragons.sdk.upkeep import BEAT, REFRESH, RENEW, SEND, WATCH
from dragons.wire.authority import Authorized, StepView
from tests.unit.sdk.kit import READ, WRITE, Plane
from tests.unit.sdk.test_operator import MANIFEST


@pytest.fixture(autouse=True)
def wire(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection of a session ends in the control plane in memory."""

    class Wire:
        def __init__(self, *_: object, **__: object) -> None:
            self.send = plane.send

        def close(self) -> None: ...

    monkeypatch.setattr(sessions, "Transport", Wire)
    monkeypatch.setattr(sessions, "FLUSH_SECONDS", 0.0)


@contextmanager
def session_of(instance: Instance, goal: str = "g") -> Iterator[Session]:
    with working(SessionCore(instance, goal)) as session:
        yield session


def background(instance: Instance) -> list[threading.Thread]:
    """The threads of one instance. A process may have others: a control plane of other tests, for one."""
    name = f"dragons-{instance.instance_id[-8:]}"
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_a_session_from_its_goal_to_its_end(plane: Plane, instance: Instance) -> None:
    with session_of(instance) as session:
        assert len(background(instance)) == 1
        with session.action(READ, resource="r", arguments={"a": 1}) as act:
            act.set_result({"n": 1})
        assert session.flush()
        assert (session.goal, session.instance) == ("g", instance)
        assert session.session_id == plane.sessions[0].session_id
    assert [claim.outcome for claim in plane.claims] == [Outcome.COMPLETED]
    assert [closing.outcome for closing in plane.closings] == [Outcome.COMPLETED]
    assert plane.calls[-1].path == "/v1/leases/releases"
    assert not background(instance)


def test_the_body_of_a_denied_action_never_runs(plane: Plane, instance: Instance) -> None:
    with session_of(instance) as session, pytest.raises(ActionDenied), session.action("write:other"):
        pytest.fail("denied")
    assert [claim.outcome for claim in plane.claims] == [Outcome.DENIED]
    assert plane.closings[0].outcome is Outcome.COMPLETED


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), GeneratorExit()])
def test_no_exception_passes_unrecorded_or_is_swallowed(
    plane: Plane, instance: Instance, error: BaseException
) -> None:
    def work() -> None:
        with session_of(instance) as session, session.action(READ):
            raise error

    with pytest.raises(type(error)):
        work()
    assert [claim.outcome for claim in plane.claims] == [Outcome.FAILED]
    assert [closing.outcome for closing in plane.closings] == [Outcome.FAILED]


def test_a_governed_function(plane: Plane, instance: Instance) -> None:
    with session_of(instance) as session:

        @session.governed(WRITE, resource="ledger")
        def post(entry: str) -> int:
            """Says what it does."""
            return len(entry)

        assert post("abc") == 3
        assert (post.__name__, post.__doc__) == ("post", "Says what it does.")

        @session.governed("write:other")
        def other() -> None:
            pytest.fail("denied")

        with pytest.raises(ActionDenied):
            other()
        assert session.governed(WRITE)(functools.partial(len))("abc") == 3
    assert [claim.action for claim in plane.claims] == [WRITE, "write:other", WRITE]


def test_a_function_whose_body_runs_later_is_not_governed_by_its_call(instance: Instance) -> None:
    async def later() -> None: ...

    def one_by_one() -> Iterator[int]:
        yield 1

    async def both() -> AsyncIterator[int]:
        yield 1

    with session_of(instance) as session:
        for function in (later, one_by_one, both, functools.partial(later)):
            with pytest.raises(InvalidInputError) as caught:
                session.governed(READ)(function)
            assert caught.value.code == "function_deferred"
            assert caught.value.fix


def test_a_waiting_is_declared_at_once_and_ends_with_its_block(plane: Plane, instance: Instance) -> None:
    def beats_say(reason: str) -> None:
        until = time.monotonic() + 30
        while reason != next((b.waiting.reason for b in plane.beats[-1:] if b.waiting is not UNSET), ""):
            assert time.monotonic() < until
            time.sleep(0.01)

    with session_of(instance) as session:
        with session.waiting("approval"):
            beats_say("approval")
            with session.waiting("schedule", until=datetime.now(UTC) + timedelta(days=1000)):
                beats_say("schedule")
            beats_say("approval")
        beats_say("")


@pytest.mark.parametrize(
    ("reason", "until", "code"),
    [
        ("nothing", None, "waiting_malformed"),
        ("input", datetime(2030, 1, 1), "waiting_malformed"),  # noqa: DTZ001 - what is refused
        ("input", datetime(2001, 1, 1, tzinfo=UTC), "waiting_over"),
    ],
)
def test_what_is_no_waiting_is_refused(
    instance: Instance, reason: str, until: datetime | None, code: str
) -> None:
    with (
        session_of(instance) as session,
        pytest.raises(InvalidInputError) as caught,
        session.waiting(reason, until=until),
    ):
        pytest.fail("it waited")
    assert caught.value.code == code
    assert caught.value.fix
    assert instance.waits.now(0) is None


def test_where_the_work_had_got_to(instance: Instance) -> None:
    instance.handover = {"epoch": 1}
    with session_of(instance) as session:
        assert session.handover == {"epoch": 1}


def test_a_child_works_under_its_own_lease(plane: Plane, instance: Instance) -> None:
    with session_of(instance) as session:
        with session.delegate(MANIFEST, scope=[READ]) as child:
            assert child.instance.instance_id != instance.instance_id
            with child.action(READ):
                pass
        assert plane.sessions[1].parent_session_id == session.session_id
    assert plane.claims[0].instance_id == plane.sessions[1].instance_id != instance.instance_id
    assert [call.path for call in plane.calls].count("/v1/leases/releases") == 2


def test_a_child_elsewhere_gets_a_lease_for_its_own_key(plane: Plane, instance: Instance) -> None:
    key = LocalSigner.generate(KeyRole.INSTANCE).public_key
    child = Child("reconciler", uuid7_hex(plane.clock.now_ms()), key)
    with session_of(instance) as session:
        granted = session.grant(child, MANIFEST, scope=[READ])
    assert granted.lease.body(LEASE, Lease).instance_key == key.raw
    with pytest.raises(SessionStateError):
        session.grant(child, MANIFEST, scope=[READ])


def test_what_waits_at_the_end_stays(plane: Plane, instance: Instance, store: LocalStore) -> None:
    with session_of(instance) as session:
        with session.action(READ):
            pass
        assert session.flush()
        plane.away = True
    assert store.waiting() == 1
    assert [holder.ended for holder in store.holders()] == [True]
    plane.away = False
    assert run(instance.drain_steps(), plane.send).sent == 1


def test_a_session_that_cannot_open_gives_its_lease_back(plane: Plane, instance: Instance) -> None:
    plane.errors["/v1/sessions"] = ForbiddenError(Reason.REVOKED_AGENT, "")
    with pytest.raises(ActionDenied), session_of(instance):
        pytest.fail("refused")
    assert plane.calls[-1].path == "/v1/leases/releases"


def refuses_a_fork(session: Session) -> None:
    for use in (
        lambda: session.action(READ).__enter__(),
        lambda: session.delegate(MANIFEST, scope=[READ]).__enter__(),
        session.flush,
    ):
        with pytest.raises(SessionStateError) as caught:
            use()
        assert caught.value.code == "session_forked"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("ending", [sys.exit, lambda: None])
def test_a_forked_child_has_no_part_in_it(
    plane: Plane, instance: Instance, ending: Callable[[], None]
) -> None:
    parent, before = os.getpid(), -1
    try:
        with session_of(instance) as session, session.action(READ):
            pid = os.fork()
            if pid == 0:
                before = len(plane.calls)
                refuses_a_fork(session)
                # It leaves the blocks as a program does that ends by itself.
                ending()
    except SystemExit:
        assert os.getpid() != parent
    finally:
        if os.getpid() != parent:
            os._exit(0 if len(plane.calls) == before else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [claim.outcome for claim in plane.claims] == [Outcome.COMPLETED]
    assert [closing.outcome for closing in plane.closings] == [Outcome.COMPLETED]


def test_whose_session_it_is(instance: Instance) -> None:
    launched, attached = Origin(instance), Origin(instance, "ses_" + "1" * 32, "the launcher's")
    assert core_of(attached, None, None).shared
    assert core_of(attached, "the launcher's", None).shared
    own = core_of(attached, "its own", None)
    assert (own.shared, own.goal, own._parent_session_id) == (False, "its own", attached.session_id)
    narrower = core_of(attached, None, [READ])
    assert (narrower.shared, narrower.goal, narrower.scope) == (False, "the launcher's", [READ])
    assert core_of(launched, "g", None)._parent_session_id == ""
    with pytest.raises(InvalidInputError):
        core_of(launched, None, None)


def test_the_arguments_in_their_one_form() -> None:
    assert wanted_of([READ], "a", "b", "u", (WRITE,), 5) == Wanted(
        Path("a"), Path("b"), "u", (READ,), (WRITE,), 5
    )
    assert wanted_of(None, None, None, "", (), 900) == Wanted()


def test_chores_of_a_session(plane: Plane, instance: Instance, clock: ManualClock) -> None:
    core = SessionCore(instance, "g")
    plane.run(core.open_steps())
    flushed: list[bool] = []
    core.flush_denials = lambda **_: flushed.append(True)  # type: ignore[method-assign]
    run(flush_chore(core).steps(), plane.send)
    assert flushed == [True]
    assert follow_chore(None) == follow_chore(Origin(instance)) == []

    class Changed:
        def changed(self) -> None:
            flushed.append(False)

    (chore,) = follow_chore(Origin(instance, "s", "g", Changed()))  # type: ignore[arg-type]
    run(chore.steps(), plane.send)
    assert flushed == [True, False]


def test_open_session_closes_its_store(
    plane: Plane, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "find_origin", lambda *_: Origin(instance))
    sent: list[Path] = []
    monkeypatch.setattr(sessions, "send_leftovers", lambda path, _: sent.append(path))
    with open_session("g", clock=plane.clock) as session, session.action(READ):
        pass
    assert sent == [instance.place.store.path]
    with pytest.raises(Exception, match="closed"):
        instance.place.store.waiting()


def test_leftovers_never_raise(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_text("")
    send_leftovers(tmp_path / "file" / "local.db", clock).join()
    send_leftovers(tmp_path / "local.db", clock).join()


def test_everything_is_kept_up(plane: Plane, instance: Instance) -> None:
    runtime = sessions.Runtime(instance)
    names = {chore.name for chore in runtime.upkeep.chores}
    assert names == {BEAT, REFRESH, RENEW, SEND, WATCH}
    runtime.close()
    assert plane.calls == []


# --- steps that happen once -------------------------------------------------------------------------


def stands(plane: Plane, reason: Reason, payload_hash: str = "") -> None:
    receipt_id = "rcp_x" if reason is Reason.STEP_COMPLETED else ""
    step = StepView(
        instance_id="i", epoch=1, begun_at="t", decision_id="dcn_" + "1" * 32, receipt_id=receipt_id,
        payload_hash=payload_hash,
    )  # fmt: skip
    plane.answer_decision = Authorized(allowed=False, reason=reason.value, step=step)


async def gather() -> None: ...


def test_a_step_runs_once_and_then_gives_what_it_gave(plane: Plane, instance: Instance) -> None:
    ran = []

    def post() -> dict[str, int]:
        ran.append(1)
        return {"entry": 17}

    with session_of(instance) as session:
        assert session.call_once(WRITE, post, task="may", step="17") == {"entry": 17}
        session.flush(5)
        stands(plane, Reason.STEP_COMPLETED, plane.claims[0].payload_hash)
        assert session.call_once(WRITE, post, task="may", step="17") == {"entry": 17}
        with pytest.raises(StepCompleted), session.once(WRITE, task="may", step="17"):
            ran.append(2)
    assert ran == [1]


def test_a_step_whose_work_would_come_later_is_not_completed(plane: Plane, instance: Instance) -> None:
    with session_of(instance) as session:
        for function in (gather, lambda: (number for number in (1, 2))):
            with pytest.raises(InvalidInputError) as caught:
                session.call_once(WRITE, function, task="may", step="17")
            assert caught.value.code == "function_deferred"
    assert [claim.outcome for claim in plane.claims] == [Outcome.FAILED]


def test_a_step_that_fails_is_resolved_before_it_begins_again(plane: Plane, instance: Instance) -> None:
    with session_of(instance) as session:
        with pytest.raises(ValueError, match="dead"), session.once(WRITE, task="may", step="17") as step:
            raise ValueError("dead")
        receipt_id = session.resolve_step("may", "17", happened=False, evidence={"log": b"abc"})
        assert receipt_id.startswith("rcp_")
    failed, resolved = plane.claims
    assert (failed.decision_id, failed.outcome) == (step.decision_id, Outcome.FAILED)
    assert resolved.reason == "step_not_happened"


def test_a_resolution_without_a_receipt_says_so(
    plane: Plane, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session_of(instance) as session:
        for refused, raised in ((True, ConflictError), (False, ControlPlaneUnreachable)):
            with pytest.raises(ValueError, match="dead"), session.once(WRITE, task="may", step="17"):
                raise ValueError("dead")
            assert session.flush(5)
            if refused:
                plane.refused_claims[WRITE] = "step_completed"
            else:
                monkeypatch.setattr(session, "flush", lambda: False)
                plane.errors["/v1/receipts"] = ControlPlaneUnreachable("u", "away", maybe_recorded=True)
            with pytest.raises(raised):
                session.resolve_step("may", "17", happened=True)
            plane.refused_claims.clear()
