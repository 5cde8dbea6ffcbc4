"""Sessions for event loops: the same core as `dragons.sdk.session`, awaited.

What waits for the disk runs in a thread, what waits for the control plane is awaited; the loop itself
never waits. Never lets a cancelled action pass unrecorded.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from dragons.authority.lease import TTL_SECONDS_DEFAULT
from dragons.core.clock import Clock, SystemClock
from dragons.core.errors import DragonsError
from dragons.identity.manifest import Manifest
from dragons.identity.measure import measure_directory
from dragons.sdk.action import Action, call_arguments, check_governed, return_value
from dragons.sdk.core import SessionCore
from dragons.sdk.errors import StepCompleted
from dragons.sdk.forks import Belonging
from dragons.sdk.instance import Instance
from dragons.sdk.launch import Origin, find_origin
from dragons.sdk.once import DISPATCH, Step, earlier, plain_result, returned
from dragons.sdk.outbox import Drained
from dragons.sdk.session import (
    BACKGROUND,
    FLUSH_SECONDS,
    RETRY_SECONDS,
    core_of,
    flush_chore,
    follow_chore,
    send_leftovers,
    wanted_of,
)
from dragons.sdk.statements import Child
from dragons.sdk.steps import Steps, run_async
from dragons.sdk.transport import AsyncTransport, Retries
from dragons.sdk.upkeep import BEAT, SEND, upkeep_of
from dragons.wire.authority import Granted

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

STOP_SECONDS_MAX = 15.0
_POLL_SECONDS = 0.01

_log = logging.getLogger("dragons.sdk")


class AsyncRuntime:
    """An instance at work in this event loop: its connections and its background task."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.belonging = Belonging()
        url, _, clock = instance.place
        self._near = AsyncTransport(url, instance.credential, clock=clock)
        self._far = AsyncTransport(
            url, instance.credential, clock=clock, timeouts=BACKGROUND, retries=Retries(attempts=1)
        )
        self.upkeep = upkeep_of(instance)
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def run(self, steps: Steps[T]) -> T:
        """Carry out steps now, in this task."""
        return await run_async(steps, self._near.send)

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop(), name=f"dragons-{self.instance.instance_id[-8:]}")

    def send_soon(self) -> None:
        """Something was put in the local store."""
        self.hasten(SEND)

    def hasten(self, name: str) -> None:
        """Do a chore next."""
        if self.belonging.here:
            self.upkeep.hasten(name)
            self._wake.set()

    async def end(self) -> Drained:
        """Stop the background, send the rest, give the lease back where it is kept; within a bounded time."""
        await self.stop()
        clock = self.instance.place.clock
        until_ms = clock.boot_ms() + int(FLUSH_SECONDS * 1000)
        drained = await run_async(self.instance.end_steps(), self._far.send)
        while drained.waiting and clock.boot_ms() < until_ms:
            await asyncio.sleep(RETRY_SECONDS)
            drained = await run_async(self.instance.end_steps(), self._far.send)
        if drained.waiting:
            _log.warning("%s receipts wait in %s", drained.waiting, self.instance.place.store.path)
        return drained

    async def stop(self) -> None:
        """Let the chore at hand finish and end, within a bounded time."""
        self._stopping = True
        self._wake.set()
        task, self._task = self._task, None
        if task is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS_MAX):
                    await task

    async def close(self) -> None:
        """Give everything back; a forked child has nothing to give, and no threads to wait for."""
        if self.belonging.here:
            await self.stop()
            await self._near.close()
            await self._far.close()

    async def _loop(self) -> None:
        upkeep = self.upkeep
        while not self._stopping:
            chore = upkeep.due()
            if chore is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(upkeep.wait_s()):
                        await self._wake.wait()
                self._wake.clear()
                continue
            error: DragonsError | None = None
            try:
                await run_async(chore.steps(), self._far.send)
            except DragonsError as failed:
                error = failed
                _log.debug("%s failed: %s", chore.name, failed)
            except Exception as failed:  # noqa: BLE001 - the other chores go on; what grows stale denies by itself
                error = DragonsError("chore_failed", str(failed))
                _log.exception("%s failed", chore.name)
            upkeep.done(chore, error)


class AsyncSession:
    """An open session. Actions may run in several tasks at once."""

    def __init__(self, core: SessionCore, runtime: AsyncRuntime) -> None:
        self._core = core
        self._runtime = runtime

    @property
    def session_id(self) -> str:
        return self._core.session_id

    @property
    def goal(self) -> str:
        return self._core.goal

    @property
    def instance(self) -> Instance:
        return self._runtime.instance

    @asynccontextmanager
    async def action(
        self, capability: str, /, *, resource: str = "", arguments: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Action]:
        """Do something governed; ActionDenied, before the body runs, when it may not happen."""
        act = self._core.prepare(capability, resource, arguments)
        await self._begin(act)
        async with self._ending(act):
            yield act

    @asynccontextmanager
    async def once(
        self,
        capability: str,
        /,
        *,
        task: str,
        step: str,
        resource: str = "",
        arguments: Mapping[str, Any] | None = None,
        task_scope: str = DISPATCH,
    ) -> AsyncIterator[Step]:
        """As `dragons.sdk.session.Session.once`."""
        name = self._core.step_name(task, step, task_scope)
        act = self._core.prepare_step(capability, name, resource, arguments)
        await self._begin(act)
        async with self._ending(act):
            yield act

    async def call_once(
        self,
        capability: str,
        function: Callable[[], object],
        /,
        *,
        task: str,
        step: str,
        resource: str = "",
        arguments: Mapping[str, Any] | None = None,
        task_scope: str = DISPATCH,
    ) -> Any:  # noqa: ANN401 - what the agent's function returned
        """As `dragons.sdk.session.Session.call_once`."""
        check_governed(function, awaited=True)
        name = self._core.step_name(task, step, task_scope)
        act = self._core.prepare_step(capability, name, resource, arguments)
        try:
            await self._begin(act)
        except StepCompleted as done:
            return earlier(done)
        async with self._ending(act):
            value = function()
            result = plain_result(await value if isinstance(value, Awaitable) else value)
            if result is not None:
                act.set_result(result)
        return returned(act.result)

    async def resolve_step(
        self,
        task: str,
        step: str,
        /,
        *,
        happened: bool,
        evidence: Mapping[str, Path | str | bytes] | None = None,
        result: Mapping[str, Any] | None = None,
        task_scope: str = DISPATCH,
    ) -> str:
        """As `dragons.sdk.session.Session.resolve_step`."""
        named = self._core.step_name(task, step, task_scope)
        act = await asyncio.to_thread(self._core.prepare_resolution, named, happened, evidence or {}, result)
        await self._begin(act)
        claim_id = await self._finish(act, None)
        await self.flush()
        return await asyncio.to_thread(self._core.receipt_of, claim_id)

    @property
    def handover(self) -> dict[str, Any] | None:
        """As `dragons.sdk.session.Session.handover`."""
        return self.instance.handover

    @asynccontextmanager
    async def waiting(self, reason: str, /, *, until: datetime | None = None) -> AsyncIterator[None]:
        """As `dragons.sdk.session.Session.waiting`."""
        number = await asyncio.to_thread(self._core.begin_waiting, reason, until)
        self._runtime.hasten(BEAT)
        try:
            yield
        finally:
            # A forked child has none of the threads that it would wait for.
            if self._runtime.belonging.here:
                await asyncio.shield(asyncio.to_thread(self._core.end_waiting, number))
                self._runtime.hasten(BEAT)

    def governed(
        self, capability: str, /, *, resource: str = ""
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """A decorator: every call is an action with the call's arguments and its plain return value."""

        def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            check_governed(function, awaited=True)

            @functools.wraps(function)
            async def governed_call(*args: P.args, **kwargs: P.kwargs) -> R:
                named = call_arguments(function, args, kwargs)
                place = resource or getattr(function, "__qualname__", "")
                async with self.action(capability, resource=place, arguments=named) as act:
                    value = await function(*args, **kwargs)
                    result = return_value(value)
                    if result is not None:
                        act.set_result(result)
                    return value

            return governed_call

        return decorate

    @asynccontextmanager
    async def delegate(
        self,
        agent: Path | str | Manifest,
        /,
        *,
        scope: Sequence[str],
        goal: str = "",
        ttl_seconds: int = TTL_SECONDS_DEFAULT,
    ) -> AsyncIterator[AsyncSession]:
        """A child's session under a part of this lease, with a key of its own."""
        self._core.check()
        if isinstance(agent, Manifest):
            manifest = agent
        else:
            manifest = await asyncio.to_thread(measure_directory, Path(agent))
        child = await self._runtime.run(self.instance.delegate_steps(manifest, scope, ttl_seconds))
        core = SessionCore(child, goal or self.goal, scope=scope, parent_session_id=self.session_id)
        async with working(core) as session:
            yield session

    async def grant(
        self,
        child: Child,
        manifest: Manifest,
        /,
        *,
        scope: Sequence[str],
        ttl_seconds: int = TTL_SECONDS_DEFAULT,
    ) -> Granted:
        """A part of this lease for a child in another process, which made its key there and accepts this."""
        self._core.check()
        return await self._runtime.run(self.instance.grant_steps(child, manifest, scope, ttl_seconds))

    async def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until everything is acknowledged; False when it is not within the time."""
        self._core.check()
        instance, clock = self.instance, self.instance.place.clock
        until_ms = clock.boot_ms() + int(timeout_seconds * 1000)
        while await asyncio.to_thread(instance.place.store.waiting, instance.instance_id):
            if clock.boot_ms() >= until_ms:
                return False
            self._runtime.send_soon()
            await asyncio.sleep(_POLL_SECONDS)
        return True

    async def _begin(self, act: Action) -> None:
        try:
            await self._runtime.run(self._core.begin_steps(act))
        finally:
            self._runtime.send_soon()

    @asynccontextmanager
    async def _ending(self, act: Action) -> AsyncIterator[None]:
        try:
            yield
        except BaseException as error:
            await self._finish(act, error)
            raise
        else:
            await self._finish(act, None)
        finally:
            self._runtime.send_soon()

    async def _finish(self, act: Action, error: BaseException | None) -> str:
        # A forked child has none of the threads that it would wait for.
        if not self._runtime.belonging.here:
            return ""
        return await asyncio.shield(asyncio.to_thread(self._core.finish, act, error))


@asynccontextmanager
async def open_session(
    goal: str | None = None,
    *,
    scope: Sequence[str] | None = None,
    agent_dir: Path | str | None = None,
    home: Path | str | None = None,
    url: str = "",
    delegate_scope: Sequence[str] = (),
    ttl_seconds: int = TTL_SECONDS_DEFAULT,
    clock: Clock | None = None,
) -> AsyncIterator[AsyncSession]:
    """As `dragons.sdk.open_session`, for `async with`."""
    wanted = wanted_of(scope, agent_dir, home, url, delegate_scope, ttl_seconds)
    used = SystemClock() if clock is None else clock
    origin = await asyncio.to_thread(find_origin, wanted, used)
    store = origin.instance.place.store
    try:
        if origin.instance.keeps:
            send_leftovers(store.path, used)
        async with working(core_of(origin, goal, scope), origin) as session:
            yield session
    finally:
        if store.belonging.here:
            await asyncio.to_thread(store.close)


@asynccontextmanager
async def working(core: SessionCore, origin: Origin | None = None) -> AsyncIterator[AsyncSession]:
    """Open a session, keep its instance up, and end both."""
    runtime = AsyncRuntime(core.instance)
    runtime.upkeep.chores += [flush_chore(core), *follow_chore(origin)]
    try:
        try:
            await runtime.run(core.open_steps())
        except BaseException:
            with suppress(DragonsError):
                await runtime.end()
            raise
        runtime.start()
        try:
            yield AsyncSession(core, runtime)
        except BaseException as error:
            await _end(core, runtime, error)
            raise
        else:
            await _end(core, runtime, None)
    finally:
        await runtime.close()


async def _end(core: SessionCore, runtime: AsyncRuntime, error: BaseException | None) -> None:
    if not runtime.belonging.here:
        return
    try:
        await asyncio.to_thread(core.close, error)
    finally:
        await runtime.end()
