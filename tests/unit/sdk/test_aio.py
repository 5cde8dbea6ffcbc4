from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from msgspec import UNSET

from dragons.authority.lease import LEASE, Lease
from dragons.core.errors import ForbiddenError, InvalidInputError
from dragons.core.ids import uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Outcome, Reason
from dragons.sdk import aio
from dragons.sdk.aio import AsyncSession, open_session, working
from dragons.sdk.core import SessionCore
from dragons.sdk.errors import ActionDenied, SessionStateError
from dragons.sdk.instance import Instance
from dragons.sdk.launch import Origin
from dragons.sdk.localstore import LocalStore
from dragons.sdk.statements import Child
from dragons.wire.authority import Authorized, StepView
from tests.unit.sdk.kit import MONEY, READ, WRITE, Plane
from tests.unit.sdk.test_operator import MANIFEST

KEY = LocalSigner.generate(KeyRole.INSTANCE).public_key


@pytest.fixture(autouse=True)
def wire(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection of a session ends in the control plane in memory."""

    class Wire:
        def __init__(self, *_: object, **__: object) -> None:
            self.send = plane.send_async

        async def close(self) -> None: ...

    monkeypatch.setattr(aio, "AsyncTransport", Wire)
    monkeypatch.setattr(aio, "FLUSH_SECONDS", 0.0)


@asynccontextmanager
async def session_of(instance: Instance) -> AsyncIterator[AsyncSession]:
    async with working(SessionCore(instance, "g")) as session:
        yield session


def test_a_session_from_its_goal_to_its_end(plane: Plane, instance: Instance) -> None:
    async def work() -> None:
        async with session_of(instance) as session:
            async with session.action(READ, arguments={"a": 1}) as act:
                act.add_evidence("b", b"abc")
            async with session.action(MONEY):
                pass
            with pytest.raises(ActionDenied):
                async with session.action("write:other"):
                    pytest.fail("denied")
            with pytest.raises(ValueError, match="x"):
                async with session.action(WRITE):
                    raise ValueError("x")
            assert await session.flush()
            assert session.session_id == plane.sessions[0].session_id
            assert (session.goal, session.instance) == ("g", instance)

    asyncio.run(work())
    assert [claim.outcome.value for claim in plane.claims] == ["completed", "completed", "denied", "failed"]
    assert plane.claims[1].decision_id == plane.answer_decision.decision_id
    assert plane.closings[0].outcome is Outcome.COMPLETED
    assert plane.calls[-1].path == "/v1/leases/releases"


def test_actions_in_several_tasks(plane: Plane, instance: Instance) -> None:
    async def work() -> None:
        async with session_of(instance) as session:

            async def one(number: int) -> None:
                async with session.action(READ, resource=str(number)):
                    await asyncio.sleep(0.001)

            await asyncio.gather(*(one(number) for number in range(20)))

    asyncio.run(work())
    assert len(plane.claims) == 20


def test_a_cancelled_action_is_recorded_as_failed(plane: Plane, instance: Instance) -> None:
    async def work() -> None:
        async with session_of(instance) as session, session.action(READ):
            await asyncio.sleep(60)

    async def cancel() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert [claim.outcome for claim in plane.claims] == [Outcome.FAILED]
    assert [closing.outcome for closing in plane.closings] == [Outcome.FAILED]


def test_a_waiting_is_declared_while_its_block_lasts(plane: Plane, instance: Instance) -> None:
    def declared() -> None:
        until = time.monotonic() + 30
        while not any(beat.waiting is not UNSET for beat in plane.beats):
            assert time.monotonic() < until
            time.sleep(0.01)

    async def main() -> None:
        async with session_of(instance) as session:
            assert session.handover is None
            async with session.waiting("input"):
                await asyncio.to_thread(declared)
            assert instance.waits.now(0) is None
            with pytest.raises(InvalidInputError):
                async with session.waiting("nothing"):
                    pytest.fail("it waited")

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_governed_function_and_a_child(plane: Plane, instance: Instance) -> None:
    async def work() -> None:
        async with session_of(instance) as session:

            @session.governed(WRITE)
            async def post(entry: str) -> dict[str, int]:
                return {"length": len(entry)}

            assert await post("abc") == {"length": 3}
            async with session.delegate(MANIFEST, scope=[READ]) as child, child.action(READ):
                pass
            elsewhere = Child("reconciler", uuid7_hex(plane.clock.now_ms()), KEY)
            granted = await session.grant(elsewhere, MANIFEST, scope=[READ])
            assert granted.lease.body(LEASE, Lease).instance_key == KEY.raw

    asyncio.run(work())
    assert [claim.action for claim in plane.claims] == [WRITE, READ]
    assert plane.sessions[1].parent_session_id == plane.sessions[0].session_id


def test_a_generator_is_not_governed_by_its_call(instance: Instance) -> None:
    async def one_by_one() -> AsyncIterator[int]:
        yield 1

    async def work() -> None:
        async with session_of(instance) as session:
            with pytest.raises(InvalidInputError) as caught:
                session.governed(READ)(one_by_one)  # type: ignore[arg-type]
            assert caught.value.code == "function_deferred"

    asyncio.run(work())


def test_what_waits_at_the_end_stays(plane: Plane, instance: Instance, store: LocalStore) -> None:
    async def work() -> None:
        async with session_of(instance):
            plane.away = True

    asyncio.run(work())
    assert store.waiting() == 1


def test_a_session_that_cannot_open_gives_its_lease_back(plane: Plane, instance: Instance) -> None:
    async def work() -> None:
        async with session_of(instance):
            pytest.fail("refused")

    plane.errors["/v1/sessions"] = ForbiddenError(Reason.REVOKED_AGENT, "")
    with pytest.raises(ActionDenied):
        asyncio.run(work())
    assert plane.calls[-1].path == "/v1/leases/releases"


def test_the_background_goes_on_after_failures(plane: Plane, instance: Instance) -> None:
    async def work() -> None:
        runtime = aio.AsyncRuntime(instance)
        for chore in runtime.upkeep.chores:
            chore.due_ms = 0
        runtime.upkeep.chores[0].steps = None  # type: ignore[assignment]
        plane.errors["/v1/heartbeats"] = ForbiddenError(Reason.ORGANISM_STOPPED, "")
        runtime.start()
        await asyncio.sleep(0.2)
        await runtime.close()
        failed = {chore.name for chore in runtime.upkeep.chores if chore.failures}
        assert failed == {"refresh", "beat"}

    asyncio.run(work())


def test_open_session_closes_its_store(
    plane: Plane, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aio, "find_origin", lambda *_: Origin(instance))
    monkeypatch.setattr(aio, "send_leftovers", lambda *_: None)

    async def work() -> None:
        async with open_session("g", clock=plane.clock) as session, session.action(READ):
            pass

    asyncio.run(work())
    with pytest.raises(Exception, match="closed"):
        instance.place.store.waiting()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("ending", [sys.exit, lambda: None])
def test_a_forked_child_has_no_part_in_it(
    plane: Plane, instance: Instance, ending: Callable[[], None]
) -> None:
    parent, pid, before = os.getpid(), -1, -1

    async def work() -> None:
        nonlocal pid, before
        try:
            async with session_of(instance) as session, session.action(READ):
                pid = os.fork()
                if pid == 0:
                    before = len(plane.calls)
                    with pytest.raises(SessionStateError):
                        await session.flush()
                    with pytest.raises(SessionStateError):
                        await session.action(READ).__aenter__()
                    with pytest.raises(SessionStateError):
                        await session.delegate(MANIFEST, scope=[READ]).__aenter__()
                    ending()
        finally:
            if os.getpid() != parent:
                os._exit(0 if len(plane.calls) == before else 1)

    asyncio.run(work())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [claim.outcome for claim in plane.claims] == [Outcome.COMPLETED]
    assert [closing.outcome for closing in plane.closings] == [Outcome.COMPLETED]


def test_a_step_runs_once_is_resolved_and_gives_what_it_gave(plane: Plane, instance: Instance) -> None:
    ran = []

    async def post() -> str:
        ran.append(1)
        return "entry 17"

    async def work() -> None:
        async with session_of(instance) as session:
            with pytest.raises(ValueError, match="dead"):
                async with session.once(WRITE, task="may", step="17"):
                    raise ValueError("dead")
            assert (await session.resolve_step("may", "17", happened=False)).startswith("rcp_")
            assert await session.call_once(WRITE, post, task="may", step="17") == "entry 17"
            assert await session.call_once(WRITE, lambda: 3, task="may", step="18") == 3
            await session.flush(5)
            step = StepView(
                instance_id="i", epoch=1, begun_at="t", decision_id="d", receipt_id="rcp_x",
                payload_hash=plane.claims[-2].payload_hash,
            )  # fmt: skip
            plane.answer_decision = Authorized(allowed=False, reason="step_completed", step=step)
            assert await session.call_once(WRITE, post, task="may", step="17") == "entry 17"

    asyncio.run(work())
    assert ran == [1]
    assert [claim.reason for claim in plane.claims[1:]] == ["step_not_happened", UNSET, UNSET]
