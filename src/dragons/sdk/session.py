"""Sessions for threads: `open_session` commits to a goal, `session.action` decides and records.

An action's body runs only after an allow; its receipt is committed on this machine when the body ends
and sent in the background. Never lets an exception of the agent pass unrecorded, and never swallows it.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Any, ParamSpec, TypeVar

from dragons.authority.lease import TTL_SECONDS_DEFAULT
from dragons.core.clock import Clock, SystemClock
from dragons.core.errors import DragonsError, InvalidInputError
from dragons.identity.manifest import Manifest
from dragons.identity.measure import measure_directory
from dragons.sdk.action import Action, call_arguments, check_governed, return_value
from dragons.sdk.core import SessionCore
from dragons.sdk.errors import StepCompleted
from dragons.sdk.forks import Belonging
from dragons.sdk.instance import Instance
from dragons.sdk.launch import Origin, Wanted, attach_again, find_origin
from dragons.sdk.localstore import LocalStore
from dragons.sdk.once import DISPATCH, Step, earlier, plain_result, returned
from dragons.sdk.outbox import Drained, drain_outbox
from dragons.sdk.statements import Child
from dragons.sdk.steps import Steps, run
from dragons.sdk.transport import Retries, Timeouts, Transport
from dragons.sdk.upkeep import BEAT, VIEW_MS, Chore, upkeep_of
from dragons.sdk.worker import Worker
from dragons.wire.authority import Granted

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

FLUSH_SECONDS = 10.0
DENIALS_MS = 5_000
BACKGROUND = Timeouts(connect=2.0, read=5.0, write=5.0, pool=2.0)
RETRY_SECONDS = 0.25
_POLL_SECONDS = 0.01

_log = logging.getLogger("dragons.sdk")


class Runtime:
    """An instance at work in this process: its connections and its background thread."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.belonging = Belonging()
        url, _, clock = instance.place
        self._near = Transport(url, instance.credential, clock=clock)
        # Chores are repeated by their schedule, so a failed one makes way for the next at once.
        self._far = Transport(
            url, instance.credential, clock=clock, timeouts=BACKGROUND, retries=Retries(attempts=1)
        )
        self.upkeep = upkeep_of(instance)
        self.worker = Worker(self.upkeep, self._far.send, name=instance.instance_id[-8:])

    def run(self, steps: Steps[T]) -> T:
        """Carry out steps now, in this thread."""
        return run(steps, self._near.send)

    def end(self) -> Drained:
        """Stop the background, send the rest, give the lease back where it is kept; within a bounded time."""
        self.worker.stop()
        clock = self.instance.place.clock
        until_ms = clock.boot_ms() + int(FLUSH_SECONDS * 1000)
        drained = run(self.instance.end_steps(), self._far.send)
        while drained.waiting and clock.boot_ms() < until_ms:
            time.sleep(RETRY_SECONDS)
            drained = run(self.instance.end_steps(), self._far.send)
        if drained.waiting:
            _log.warning("%s receipts wait in %s", drained.waiting, self.instance.place.store.path)
        return drained

    def close(self) -> None:
        """Give everything back; a forked child has nothing to give."""
        if self.belonging.here:
            self.worker.stop()
            self._near.close()
            self._far.close()


class Session:
    """An open session. Actions may run in several threads at once."""

    def __init__(self, core: SessionCore, runtime: Runtime) -> None:
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

    @contextmanager
    def action(
        self, capability: str, /, *, resource: str = "", arguments: Mapping[str, Any] | None = None
    ) -> Iterator[Action]:
        """Do something governed; ActionDenied, before the body runs, when it may not happen."""
        act = self._core.prepare(capability, resource, arguments)
        self._begin(act)
        with self._ending(act):
            yield act

    @contextmanager
    def once(
        self,
        capability: str,
        /,
        *,
        task: str,
        step: str,
        resource: str = "",
        arguments: Mapping[str, Any] | None = None,
        task_scope: str = DISPATCH,
    ) -> Iterator[Step]:
        """Do something governed that happens once for its task: in all instances of this dispatch.

        Before the body runs, StepCompleted when the step was done earlier, and StepInDoubt when nobody knows
        how it ended. `task_scope="agent"`: once in all dispatches of the agent. An exception that leaves the
        body leaves the step in doubt.
        """
        name = self._core.step_name(task, step, task_scope)
        act = self._core.prepare_step(capability, name, resource, arguments)
        self._begin(act)
        with self._ending(act):
            yield act

    def call_once(
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
        """`function()` as a step that happens once: what it returned, or what it returned when it was done.

        What comes back is what is on the record: a mapping, text, whole number, boolean or list, else None.
        StepCompleted where what was recorded is not on this machine; StepInDoubt as for `once`.
        """
        check_governed(function, awaited=False)
        name = self._core.step_name(task, step, task_scope)
        act = self._core.prepare_step(capability, name, resource, arguments)
        try:
            self._begin(act)
        except StepCompleted as done:
            return earlier(done)
        with self._ending(act):
            result = plain_result(function())
            if result is not None:
                act.set_result(result)
        return returned(act.result)

    def resolve_step(
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
        """Say how a step in doubt ended, on the record; returns the receipt's id.

        Where it `happened` it is completed, and `result` is what came of it; else it may begin again.
        ConflictError when it is no longer in doubt, ControlPlaneUnreachable when no receipt came in time.
        """
        act = self._core.prepare_resolution(
            self._core.step_name(task, step, task_scope), happened, evidence or {}, result
        )
        self._begin(act)
        claim_id = self._core.finish(act, None)
        self.flush()
        return self._core.receipt_of(claim_id)

    @property
    def handover(self) -> dict[str, Any] | None:
        """Where the instance before this one had got to, None where nothing was handed over."""
        return self.instance.handover

    @contextmanager
    def waiting(self, reason: str, /, *, until: datetime | None = None) -> Iterator[None]:
        """Say that the agent waits for an approval, input or schedule: meanwhile it owes no progress.

        It counts until the block ends or `until` (with a time zone; an hour from now when absent) has come.
        """
        number = self._core.begin_waiting(reason, until)
        self._runtime.worker.hasten(BEAT)
        try:
            yield
        finally:
            self._core.end_waiting(number)
            self._runtime.worker.hasten(BEAT)

    def governed(
        self, capability: str, /, *, resource: str = ""
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """A decorator: every call is an action with the call's arguments and its plain return value."""

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            check_governed(function, awaited=False)

            @functools.wraps(function)
            def governed_call(*args: P.args, **kwargs: P.kwargs) -> R:
                named = call_arguments(function, args, kwargs)
                place = resource or getattr(function, "__qualname__", "")
                with self.action(capability, resource=place, arguments=named) as act:
                    value = function(*args, **kwargs)
                    result = return_value(value)
                    if result is not None:
                        act.set_result(result)
                    return value

            return governed_call

        return decorate

    @contextmanager
    def delegate(
        self,
        agent: Path | str | Manifest,
        /,
        *,
        scope: Sequence[str],
        goal: str = "",
        ttl_seconds: int = TTL_SECONDS_DEFAULT,
    ) -> Iterator[Session]:
        """A child's session under a part of this lease, with a key of its own."""
        self._core.check()
        manifest = agent if isinstance(agent, Manifest) else measure_directory(Path(agent))
        child = self._runtime.run(self.instance.delegate_steps(manifest, scope, ttl_seconds))
        core = SessionCore(child, goal or self.goal, scope=scope, parent_session_id=self.session_id)
        with working(core) as session:
            yield session

    def _begin(self, act: Action) -> None:
        try:
            self._runtime.run(self._core.begin_steps(act))
        finally:
            self._runtime.worker.send_soon()

    @contextmanager
    def _ending(self, act: Action) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._core.finish(act, error)
            raise
        else:
            self._core.finish(act, None)
        finally:
            self._runtime.worker.send_soon()

    def grant(
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
        return self._runtime.run(self.instance.grant_steps(child, manifest, scope, ttl_seconds))

    def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until everything is acknowledged; False when it is not within the time."""
        self._core.check()
        instance, clock = self.instance, self.instance.place.clock
        until_ms = clock.boot_ms() + int(timeout_seconds * 1000)
        while instance.place.store.waiting(instance.instance_id):
            if clock.boot_ms() >= until_ms:
                return False
            self._runtime.worker.send_soon()
            time.sleep(_POLL_SECONDS)
        return True


@contextmanager
def open_session(
    goal: str | None = None,
    *,
    scope: Sequence[str] | None = None,
    agent_dir: Path | str | None = None,
    home: Path | str | None = None,
    url: str = "",
    delegate_scope: Sequence[str] = (),
    ttl_seconds: int = TTL_SECONDS_DEFAULT,
    clock: Clock | None = None,
) -> Iterator[Session]:
    """A session for `goal`: under `dragons run` of the launcher's instance, else of a new one.

    Without a goal of its own a program under `dragons run` works in the launcher's session.
    """
    wanted = wanted_of(scope, agent_dir, home, url, delegate_scope, ttl_seconds)
    used = SystemClock() if clock is None else clock
    origin = find_origin(wanted, used)
    store = origin.instance.place.store
    try:
        if origin.instance.keeps:
            send_leftovers(store.path, used)
        with working(core_of(origin, goal, scope), origin) as session:
            yield session
    finally:
        store.close()


@contextmanager
def working(core: SessionCore, origin: Origin | None = None) -> Iterator[Session]:
    """Open a session, keep its instance up, and end both."""
    runtime = Runtime(core.instance)
    runtime.upkeep.chores += [flush_chore(core), *follow_chore(origin)]
    try:
        try:
            runtime.run(core.open_steps())
        except BaseException:
            with suppress(DragonsError):
                runtime.end()
            raise
        runtime.worker.start()
        try:
            yield Session(core, runtime)
        except BaseException as error:
            _end(core, runtime, error)
            raise
        else:
            _end(core, runtime, None)
    finally:
        runtime.close()


def _end(core: SessionCore, runtime: Runtime, error: BaseException | None) -> None:
    if not runtime.belonging.here:
        return
    try:
        core.close(error)
    finally:
        runtime.end()


def core_of(origin: Origin, goal: str | None, scope: Sequence[str] | None) -> SessionCore:
    """The launcher's session when no other goal was given, else a new one beneath it."""
    if origin.session_id and goal in {None, origin.goal} and scope is None:
        return SessionCore(origin.instance, origin.goal, shared_session_id=origin.session_id)
    goal = goal or origin.goal
    if not goal:
        raise InvalidInputError("goal_missing", "A session needs a goal.", fix="Give open_session a goal.")
    return SessionCore(origin.instance, goal, scope=scope, parent_session_id=origin.session_id)


def wanted_of(  # noqa: PLR0917 - the arguments of `open_session`
    scope: Sequence[str] | None,
    agent_dir: Path | str | None,
    home: Path | str | None,
    url: str,
    delegate_scope: Sequence[str],
    ttl_seconds: int,
) -> Wanted:
    """The arguments of `open_session` in their one form."""
    return Wanted(
        agent_dir=None if agent_dir is None else Path(agent_dir),
        home=None if home is None else Path(home),
        url=url,
        scope=tuple(scope or ()),
        delegate_scope=tuple(delegate_scope),
        ttl_seconds=ttl_seconds,
    )


def send_leftovers(path: Path, clock: Clock) -> Thread:
    """Send what ended processes left behind, without making this one wait."""

    def send() -> None:
        with suppress(DragonsError), LocalStore(path) as store:
            drain_outbox(store, clock)

    thread = Thread(target=send, name="dragons-leftovers", daemon=True)
    thread.start()
    return thread


def flush_chore(core: SessionCore) -> Chore:
    """Turns counted denials into claims when their minute is over."""

    def steps() -> Steps[None]:
        core.flush_denials()
        yield from ()

    return Chore("denials", steps, lambda: DENIALS_MS)


def follow_chore(origin: Origin | None) -> list[Chore]:
    """Takes over what the launcher renewed, where there is a launcher."""
    if origin is None or origin.follower is None:
        return []
    instance, follower = origin.instance, origin.follower

    def steps() -> Steps[None]:
        attach_again(instance, follower)
        yield from ()

    return [Chore("follow", steps, lambda: VIEW_MS)]
