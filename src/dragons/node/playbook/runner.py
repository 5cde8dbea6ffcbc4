"""`dragons playbook run`: carries out what the machine says, and tells the machine what happened.

Every step is an action of the run's session; the service runs only inside one that was allowed, and is
held or ended when the runner's authority is. Never decides anything itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime

from dragons.core.errors import DragonsError, ForbiddenError, InvalidInputError, StorageError
from dragons.core.vocabulary import Reason
from dragons.node.child import signal_name
from dragons.node.lines import Lines
from dragons.node.playbook import machine
from dragons.node.playbook.book import RESTART, RUN, Book
from dragons.node.playbook.diagnosis import Crash
from dragons.node.playbook.machine import Command, Event, Phase, RunState, step
from dragons.node.playbook.service import Ended, Running, probe
from dragons.node.playbook.steps import PASSING, Helper, Office
from dragons.node.pump import FORWARDED, forwarding
from dragons.sdk.action import Action
from dragons.sdk.errors import ActionDenied, ControlPlaneUnreachable, LimitedError
from dragons.sdk.session import Session
from dragons.sdk.statements import Evidence

TICK_SECONDS = 0.2
PROBE_EVERY_MS = 500
_NOT_STARTED = Crash(127, "", 0)


class ServiceError(DragonsError):
    """The service ended otherwise than it should; the message says how."""

    def __init__(self, how: str) -> None:
        super().__init__("service_failed", f"The service ended with {how}.")


class Runner:
    """One run of a playbook in one session. Used in the main thread, whose end is the service's."""

    def __init__(self, office: Office, session: Session, lines: Lines) -> None:
        self._book: Book = office.book
        self._clock = office.clock
        self._tell = office.tell
        self._session = session
        self._lines = lines
        self.helper = Helper(office, session)
        self._events: deque[Event] = deque([machine.Begin()])
        self._signals: deque[int] = deque()
        self._running: Running | None = None
        self._act: Action | None = None
        self._acting: AbstractContextManager[Action] | None = None
        self._waiting: ExitStack | None = None
        self._crash, self._output = _NOT_STARTED, b""
        self._ready = False
        self._probe_due_ms = 0
        self._frozen = False
        self._lost = False
        self.state = RunState()
        self.last: Ended | None = None

    def run(self) -> RunState:
        """Go on until the run is over; the service never outlives this."""
        with forwarding(self._take_signal):
            try:
                while self.state.phase is not Phase.ENDED:
                    event = self._events.popleft() if self._events else self._wait()
                    self.state, commands = step(self.state, event, self._book.playbook, self._clock.boot_ms())
                    for command in commands:
                        self._carry_out(command)
            except BaseException as error:
                self._abandon(error)
                raise
            finally:
                self._end_waiting()
        return self.state

    def _take_signal(self, number: int) -> None:
        if number in FORWARDED:
            self._signals.append(number)

    # --- what happens ---------------------------------------------------------------------------

    def _wait(self) -> Event:
        """The next thing that happens, at the latest after a tick."""
        if self._signals:
            return machine.StopAsked(signal_name(self._signals.popleft()))
        lost = self._check_authority()
        if lost is not None:
            return lost
        if self._running is None:
            time.sleep(TICK_SECONDS)
            return machine.Tick()
        ended = self._running.serve(TICK_SECONDS)
        if ended is not None:
            return self._settle(ended)
        found = self._probe(self._running)
        # An event without fields is an empty tuple: false, and yet an event.
        return machine.Tick() if found is None else found

    def _check_authority(self) -> Event | None:
        instance = self._session.instance
        denied = instance.authority.over()
        lapsed = denied is not None and denied.reason is Reason.LEASE_EXPIRED and instance.renewing
        if self._running is not None:
            self._hold(self._running, lapsed=lapsed)
        if denied is None or lapsed or self._lost:
            return None
        self._lost = True
        self._tell(f"the run has no authority any more: {denied.reason}")
        return machine.AuthorityLost(denied.reason.value)

    def _hold(self, running: Running, *, lapsed: bool) -> None:
        """Nothing runs under a lease that lapsed, until it is renewed."""
        if lapsed and not running.is_stopping:
            # Every time: somebody else could let it go on.
            running.freeze()
        elif self._frozen:
            running.thaw()
        if lapsed != self._frozen:
            self._tell("the lease lapsed: the service is held" if lapsed else "the lease was renewed")
        self._frozen = lapsed

    def _probe(self, running: Running) -> Event | None:
        ready = self._book.playbook.service.ready
        now_ms = self._clock.boot_ms()
        if self._ready or self._frozen or now_ms < self._probe_due_ms:
            return None
        if ready is None or probe(ready) is not None:
            self._ready = True
            return machine.BecameReady()
        self._probe_due_ms = now_ms + PROBE_EVERY_MS
        if now_ms - running.started_boot_ms < int(ready.timeout_seconds * 1000):
            return None
        self._ready = True
        self._crash = self._crash._replace(was_ready=False)
        self._tell(f"it did not become ready in {ready.timeout_seconds:g} s")
        return machine.NotReady()

    def _settle(self, ended: Ended) -> Event:
        """The service has ended: its action has, too."""
        running, act, acting = self._running, self._act, self._acting
        assert running is not None  # noqa: S101 - it has just ended
        assert act is not None  # noqa: S101 - as above
        assert acting is not None  # noqa: S101 - as above
        self._running = self._act = self._acting = None
        self._frozen = False
        self.last, self._output = ended, running.tail.data
        self._crash = Crash(ended.exit_status, ended.signal, ended.duration_ms, self._crash.was_ready)
        good = not ended.signal and ended.exit_status == 0
        told = self.state.phase is Phase.STOPPING
        result: dict[str, object] = {
            "duration_ms": ended.duration_ms,
            "stdout": {"sha256": ended.stdout_sha256, "bytes": ended.stdout_bytes},
            "stderr": {"sha256": ended.stderr_sha256, "bytes": ended.stderr_bytes},
        }
        result |= {"signal": ended.signal} if ended.signal else {"exit_status": ended.exit_status}
        if told:
            result["stopped_because"] = self.state.why
        act.set_result(result)
        act.evidence += [
            Evidence("stdout", ended.stdout_sha256, ended.stdout_bytes),
            Evidence("stderr", ended.stderr_sha256, ended.stderr_bytes),
        ]
        failed = None if told or (good and self._crash.was_ready) else ServiceError(ended.how)
        _leave(acting, failed)
        self._tell(f"the service ended with {ended.how} after {ended.duration_ms} ms")
        return machine.ServiceEnded(is_success=good)

    # --- what is done ---------------------------------------------------------------------------

    def _carry_out(self, command: Command) -> None:
        if isinstance(command, machine.StartService):
            self._start(command)
        elif isinstance(command, machine.StopService):
            if self._running is not None:
                self._running.stop()
        elif isinstance(command, machine.Diagnose):
            self._try(self._diagnose)
        elif isinstance(command, machine.Wait):
            self._begin_waiting(command.until_ms)
        elif isinstance(command, machine.RecordRecovery):
            self.helper.note_recovery(command.attempts)
        elif isinstance(command, machine.WritePostmortem):
            self._try(self._report)
        elif isinstance(command, machine.Notify):
            self._try(self._notify)

    def _try(self, work: Callable[[], Event]) -> None:
        self._end_waiting()
        try:
            self._events.append(work())
        except ActionDenied as denied:
            self._denied(denied)
        except (ControlPlaneUnreachable, LimitedError) as error:
            self._tell(str(error))
            self._events.append(machine.Denied(error.code, passes=True))

    def _diagnose(self) -> Event:
        found = self.helper.diagnose(self._crash, self._output)
        self._tell(f"diagnosis: {found.rule}: {found.cause}")
        return machine.Diagnosed(found.retry)

    def _report(self) -> Event:
        try:
            self.helper.write_postmortem(self.state.why)
        except StorageError as error:
            # Its receipt says that it failed; whoever is on call is told all the same.
            self._tell(str(error))
        return machine.Reported()

    def _notify(self) -> Event:
        self.helper.notify(self.state.why)
        return machine.Notified()

    def _start(self, command: machine.StartService) -> None:
        self._end_waiting()
        attempts = self._book.playbook.restart.attempts
        try:
            if not command.attempt:
                self._begin(0)
                return
            arguments = {"attempt": command.attempt, "of": attempts, "waited_ms": command.waited_ms}
            with self._session.action(RESTART, resource="service", arguments=arguments):
                self._tell(f"restart {command.attempt} of {attempts}")
                self._begin(command.attempt)
        except ActionDenied as denied:
            self._denied(denied)
        except ForbiddenError as error:
            self._tell(str(error))
            self._events.append(machine.Denied(str(error.code), passes=False))

    def _begin(self, attempt: int) -> None:
        """Start the service inside an action that lasts as long as it runs; ForbiddenError when it changed."""
        service = self._book.playbook.service
        arguments = {"command": list(service.command), "attempt": attempt}
        self._ready, self._probe_due_ms = False, 0
        self._crash, self._output = _NOT_STARTED, b""
        acting = self._session.action(RUN, resource="service", arguments=arguments)
        act = acting.__enter__()
        try:
            self._book.check_unchanged()
            model = self._book.playbook.on_crash.model
            hidden = () if model is None or model.key_env is None else (model.key_env,)
            running = Running(
                service, self._book.service_folder, self._clock, self._lines.take, hidden=hidden
            )
        except InvalidInputError as error:
            _leave(acting, error)
            self._tell(str(error))
            self._output = error.message.encode()
            self._events.append(machine.ServiceEnded(is_success=False))
        except BaseException as error:
            _leave(acting, error)
            raise
        else:
            self._running, self._act, self._acting = running, act, acting

    def _denied(self, denied: ActionDenied) -> None:
        self._tell(str(denied))
        self._events.append(machine.Denied(denied.reason, denied.reason in PASSING))

    def _begin_waiting(self, until_ms: int) -> None:
        self._end_waiting()
        left_ms = until_ms - self._clock.boot_ms()
        if left_ms <= 0:
            return
        self._tell(f"waiting {left_ms / 1000:.1f} s")
        until = datetime.fromtimestamp(
            (self._session.instance.authority.plane_ms() + left_ms + 1000) / 1000, UTC
        )
        self._waiting = ExitStack()
        self._waiting.enter_context(self._session.waiting("schedule", until=until))

    def _end_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.close()

    def _abandon(self, error: BaseException) -> None:
        """Something broke in the runner itself: the service ends, and its action says why."""
        running, acting = self._running, self._acting
        self._running = self._act = self._acting = None
        if running is not None:
            running.close()
        if acting is not None:
            _leave(acting, error)


def _leave(acting: AbstractContextManager[Action], error: BaseException | None) -> None:
    """End an action that was held open; its own exception does not come back."""
    if error is None:
        acting.__exit__(None, None, None)
    else:
        acting.__exit__(type(error), error, error.__traceback__)
