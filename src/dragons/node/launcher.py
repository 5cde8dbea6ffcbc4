"""`dragons run`: a program becomes a governed instance, from its measurement to its closing receipt.

The program itself is not changed and need not know. It runs only under a lease: it stands still while that
has lapsed and may be renewed late, and is stopped when it is over for good. Its end is on the record
whatever it was; when the launcher is killed the kernel kills the program and the control plane ends the
session. Never gives the program an operator's token or key.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from dragons.core.clock import Clock
from dragons.core.errors import DragonsError, ForbiddenError
from dragons.core.vocabulary import Outcome
from dragons.identity.records import version_name
from dragons.node.child import Child, environment_of
from dragons.node.judge import Judge
from dragons.node.lines import Lines
from dragons.node.options import Ended, RunOptions, RunResult
from dragons.node.prepare import Tell, explain_refusal, prepare
from dragons.node.program import Measured, measure
from dragons.node.progress import Meter, ReceiptProgress
from dragons.node.pump import Pump, forwarding
from dragons.node.replay import replay
from dragons.node.streams import Sink
from dragons.node.watching import Files
from dragons.sdk.attachment import (
    HANDOVER_VARIABLE,
    INSTANCE_VARIABLE,
    Attachment,
    remove_attachment,
    sweep_attachments,
    write_attachment,
    write_handover,
)
from dragons.sdk.client import OperatorClient
from dragons.sdk.core import SessionCore
from dragons.sdk.home import Home
from dragons.sdk.instance import Instance, Place
from dragons.sdk.launch import launch
from dragons.sdk.localstore import LocalStore, closing_name
from dragons.sdk.operator import Operator
from dragons.sdk.session import Runtime, send_leftovers
from dragons.sdk.statements import Ending, Evidence
from dragons.sdk.steps import Steps
from dragons.sdk.upkeep import BEAT, RENEW, VIEW_MS, Chore
from dragons.sdk.waiting import announced

RUN_FOLDER = "run"


@dataclass(frozen=True, slots=True)
class Launcher:
    """Who runs programs: a client with a launcher's token, and the operator's key where it is at hand.

    When `stop` is set, by any thread, the program is stopped as if it had lost its authority. `node` is
    its name where a node launches, `launched` hears the instance's id before its program begins, and
    `sink` takes the program's output instead of our own streams.
    """

    home: Home
    client: OperatorClient
    clock: Clock
    tell: Tell
    operator: Operator | None = None
    pin: str = ""
    stop: Event | None = None
    node: str = ""
    launched: Callable[[str], None] = lambda _: None
    sink: Sink | None = None


def run_governed(launcher: Launcher, options: RunOptions) -> RunResult:
    """Run one program under governance; a DragonsError means that it was never started.

    May be called in any thread; signals are passed on where that is the main one.
    """
    measured = measure(options)
    lines = Lines()
    watched = (*options.watch, *measured.watch)
    files = [Files(watched, [launcher.home.folder])] if watched else []
    prepare(launcher.client, launcher.operator, measured.manifest, options, launcher.tell)
    config = launcher.home.config()
    url = launcher.client.transport.exchange.url
    with LocalStore(launcher.home.store_path(config.tenant_id)) as store:
        instance = _launch(launcher, options, measured, Place(url, store, launcher.clock))
        launcher.launched(instance.instance_id)
        meter = Meter([lines, *files, ReceiptProgress(instance)])
        instance.observe = meter.now
        run = _Run(launcher, options, SessionCore(instance, options.goal), measured, lines)
        ended, waiting = run.carry_out()
        # Once more, for what the last heartbeat came too early for.
        meter.now()
        result = _result(run.core, measured, ended, waiting, meter.seen)
        return replay(launcher.client, store, result, launcher.pin) if options.replay else result


def _launch(launcher: Launcher, options: RunOptions, measured: Measured, place: Place) -> Instance:
    try:
        return launch(
            launcher.client,
            measured.manifest,
            place,
            scope=options.scope,
            delegate_scope=options.delegate_scope,
            ttl_seconds=options.ttl_seconds,
            dispatch_id=options.dispatch_id,
            epoch=options.epoch,
            node=launcher.node,
        )
    except ForbiddenError as error:
        raise explain_refusal(error, measured.manifest, has_key=launcher.operator is not None) from error


class _Run:
    """One program under its instance: whatever happens, its end is recorded."""

    def __init__(
        self, launcher: Launcher, options: RunOptions, core: SessionCore, measured: Measured, lines: Lines
    ) -> None:
        self.core = core
        self._launcher = launcher
        self._options = options
        self._measured = measured
        self._lines = lines
        self._runtime = Runtime(core.instance)
        self._judge = Judge(core.instance, launcher.stop)
        folder = core.instance.place.store.path.parent / RUN_FOLDER
        self._path = folder / f"{core.instance.instance_id}.json"

    def carry_out(self) -> tuple[Ended, int]:
        """Open the session, run the program, close; returns also how many receipts still wait."""
        core, runtime, path = self.core, self._runtime, self._path
        try:
            try:
                runtime.run(core.open_steps())
                runtime.run(core.instance.beat_steps())
                sweep_attachments(path.parent, self._launcher.clock.now_ms())
            except BaseException as error:
                self._give_up(error)
                raise
            early: list[int] = []
            # From here to its last receipt nothing but SIGKILL cuts a run short: what comes before the program
            # has begun is kept for it, what comes after its end changes nothing any more.
            with forwarding(early.append):
                try:
                    ended = self._start().run(early)
                except BaseException as error:
                    self._give_up(error)
                    raise
                finally:
                    remove_attachment(path)
                _close(core, self._measured, ended)
                return ended, runtime.end().waiting
        finally:
            runtime.close()

    def _give_up(self, error: BaseException) -> None:
        why = error.code if isinstance(error, DragonsError) else type(error).__name__
        self.core.instance.ending = Ending(Outcome.FAILED, f"the program could not be run: {why}")
        self.core.close(error)
        with suppress(DragonsError):
            self._runtime.end()

    def _start(self) -> Pump:
        launcher, core, runtime, options = self._launcher, self.core, self._runtime, self._options
        self._hand_on()
        _after_renewal(runtime, self._hand_on)
        runtime.upkeep.add(_waiting_chore(runtime, self._path), VIEW_MS)
        given = {
            INSTANCE_VARIABLE: str(self._path),
            "DRAGONS_AGENT": core.instance.stating.lease.agent,
            "DRAGONS_SESSION": core.session_id,
        }
        if options.handover is not None:
            given[HANDOVER_VARIABLE] = str(write_handover(self._path, options.handover))
        # Before any thread of ours: the kernel binds the program to the thread that started it.
        child = Child(
            self._measured.command,
            environment_of(os.environ if options.environment is None else options.environment, given),
            self._measured.folder or options.folder,
            attended=not options.supervised,
            sink=launcher.sink,
        )
        runtime.worker.start()
        send_leftovers(core.instance.place.store.path, launcher.clock)
        return Pump(child, self._lines.take, self._judge, launcher.clock, tell=launcher.tell)

    def _hand_on(self) -> None:
        write_attachment(self._path, _attachment(self._launcher, self.core))
        self._judge.handed_on()


def _after_renewal(runtime: Runtime, then: Callable[[], None]) -> None:
    """Hand every renewal on to the program."""
    instance = runtime.instance

    def steps() -> Steps[None]:
        yield from instance.renew_steps()
        then()

    for chore in runtime.upkeep.chores:
        if chore.name == RENEW:
            chore.steps = steps


def _waiting_chore(runtime: Runtime, path: Path) -> Chore:
    """Lets the launcher's heartbeats say what its programs wait for, the next one as soon as that changes."""
    instance = runtime.instance
    instance.declared = lambda at_ms: announced(path, at_ms)
    known = None

    def steps() -> Steps[None]:
        nonlocal known
        before, known = known, instance.declared(instance.authority.plane_ms())
        if known != before:
            runtime.upkeep.hasten(BEAT)
        yield from ()

    return Chore("waiting", steps, lambda: VIEW_MS)


def _attachment(launcher: Launcher, core: SessionCore) -> Attachment:
    instance = core.instance
    granted, span = instance.granted, instance.span
    assert granted is not None  # noqa: S101 - launched above
    assert span is not None  # noqa: S101 - as above
    return Attachment(
        url=instance.place.url,
        tenant_id=instance.authority.lease.tenant_id,
        instance_id=instance.instance_id,
        seed=instance.signer.seed(),
        granted=granted,
        sent_wall_ms=span.sent.wall_ms,
        sent_boot_ms=span.sent.boot_ms,
        received_boot_ms=span.received_boot_ms,
        session_id=core.session_id,
        goal=core.goal,
        store=str(instance.place.store.path),
        home=str(launcher.home.folder),
    )


def _close(core: SessionCore, measured: Measured, ended: Ended) -> None:
    summary: dict[str, object] = {
        "command": list(measured.command),
        "duration_ms": ended.duration_ms,
        "stdout": {"sha256": ended.stdout_sha256, "bytes": ended.stdout_bytes},
        "stderr": {"sha256": ended.stderr_sha256, "bytes": ended.stderr_bytes},
    }
    if ended.signal:
        summary["signal"] = ended.signal
    else:
        summary["exit_status"] = ended.exit_status
    if ended.stopped_because:
        summary["stopped_because"] = ended.stopped_because
    evidence = [
        Evidence("stdout", ended.stdout_sha256, ended.stdout_bytes),
        Evidence("stderr", ended.stderr_sha256, ended.stderr_bytes),
    ]
    core.instance.ending = Ending(ended.outcome, ended.describe())
    core.close(None, outcome=ended.outcome, summary=summary, evidence=evidence)


def _result(
    core: SessionCore, measured: Measured, ended: Ended, waiting: int, progress: tuple[str, ...]
) -> RunResult:
    instance, store = core.instance, core.instance.place.store
    lease = instance.authority.lease
    actions: dict[str, int] = {}
    denied: dict[str, str] = {}
    sessions = [core.session_id]
    for done in store.tally(instance.instance_id):
        if done.session_id not in sessions:
            sessions.append(done.session_id)
        if done.outcome == "denied":
            denied.setdefault(done.action, done.reason)
        elif done.action:
            actions[done.action] = actions.get(done.action, 0) + done.receipts
    closing = store.receipt(closing_name(core.session_id))
    beat_ms = instance.last_beat_boot_ms
    return RunResult(
        goal=core.goal,
        command=measured.command,
        ended=ended,
        agent=lease.agent,
        version=version_name(lease.agent, lease.version),
        manifest_hash=lease.manifest_hash,
        instance_id=lease.instance_id,
        lease_id=lease.lease_id,
        scope=tuple(lease.scope),
        session_id=core.session_id,
        receipt_id="" if closing is None else closing.receipt_id,
        chain_root="" if closing is None else closing.chain_root,
        replay="not made",
        states=tuple(instance.states),
        heartbeat_age_ms=-1 if beat_ms < 0 else instance.place.clock.boot_ms() - beat_ms,
        waiting=waiting,
        actions=actions,
        denied=denied,
        sessions=tuple(sessions),
        progress=progress,
    )
