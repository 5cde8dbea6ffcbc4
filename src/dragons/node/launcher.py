"""`dragons run`: a program becomes a governed instance, from its measurement to its closing receipt.

The program itself is not changed and need not know. It runs only under a lease, is stopped when that
ends, and its end is on the record whatever it was; when the launcher is killed the kernel kills the
program and the control plane ends the session. Never gives the program an operator's token or key.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dragons.core.clock import Clock
from dragons.core.errors import DragonsError, ForbiddenError
from dragons.identity.records import version_name
from dragons.node.child import Child, environment_of
from dragons.node.options import Ended, RunOptions, RunResult
from dragons.node.prepare import Tell, explain_refusal, prepare
from dragons.node.program import Measured, measure
from dragons.node.pump import Pump, forwarding
from dragons.node.replay import replay
from dragons.node.streams import OutputProgress
from dragons.sdk.attachment import INSTANCE_VARIABLE, Attachment, sweep_attachments, write_attachment
from dragons.sdk.client import OperatorClient
from dragons.sdk.core import SessionCore
from dragons.sdk.home import Home
from dragons.sdk.instance import Instance, Place
from dragons.sdk.launch import launch
from dragons.sdk.localstore import LocalStore, closing_name
from dragons.sdk.operator import Operator
from dragons.sdk.session import Runtime, send_leftovers
from dragons.sdk.statements import Evidence
from dragons.sdk.steps import Steps
from dragons.sdk.upkeep import RENEW

RUN_FOLDER = "run"


@dataclass(frozen=True, slots=True)
class Launcher:
    """Who runs programs: a client with a launcher's token, and the operator's key where it is at hand."""

    home: Home
    client: OperatorClient
    clock: Clock
    tell: Tell
    operator: Operator | None = None
    pin: str = ""


def run_governed(launcher: Launcher, options: RunOptions) -> RunResult:
    """Run one program under governance; a DragonsError means that it was never started."""
    measured = measure(options)
    prepare(launcher.client, launcher.operator, measured.manifest, options, launcher.tell)
    config = launcher.home.config()
    url = launcher.client.transport.exchange.url
    with LocalStore(launcher.home.store_path(config.tenant_id)) as store:
        core = SessionCore(
            _launch(launcher, options, measured, Place(url, store, launcher.clock)), options.goal
        )
        ended, waiting = _work(launcher, core, measured)
        result = _result(core, measured, ended, waiting)
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
        )
    except ForbiddenError as error:
        raise explain_refusal(error, measured.manifest, has_key=launcher.operator is not None) from error


def _work(launcher: Launcher, core: SessionCore, measured: Measured) -> tuple[Ended, int]:
    """Open the session, run the program, close: whatever happens, the end is recorded."""
    instance, store = core.instance, core.instance.place.store
    runtime = Runtime(instance)
    progress = OutputProgress()
    path = store.path.parent / RUN_FOLDER / f"{instance.instance_id}.json"
    instance.observe = lambda: progress.now(instance.observe_receipts())
    try:
        try:
            runtime.run(core.open_steps())
            runtime.run(instance.beat_steps())
            sweep_attachments(path.parent, launcher.clock.now_ms())
        except BaseException as error:
            _give_up(core, runtime, error)
            raise
        early: list[int] = []
        # From here to its last receipt nothing but SIGKILL cuts a run short: what comes before the program
        # has begun is kept for it, what comes after its end changes nothing any more.
        with forwarding(early.append):
            try:
                ended = _run(launcher, core, runtime, measured, path, progress, early)
            except BaseException as error:
                _give_up(core, runtime, error)
                raise
            finally:
                path.unlink(missing_ok=True)
            _close(core, measured, ended)
            return ended, runtime.end().waiting
    finally:
        runtime.close()


def _give_up(core: SessionCore, runtime: Runtime, error: BaseException) -> None:
    core.close(error)
    with suppress(DragonsError):
        runtime.end()


def _run(  # noqa: PLR0917 - what one run consists of
    launcher: Launcher,
    core: SessionCore,
    runtime: Runtime,
    measured: Measured,
    path: Path,
    progress: OutputProgress,
    early: list[int],
) -> Ended:
    def hand_on() -> None:
        write_attachment(path, _attachment(launcher, core))

    hand_on()
    _after_renewal(runtime, hand_on)
    given = {
        INSTANCE_VARIABLE: str(path),
        "DRAGONS_AGENT": core.instance.stating.lease.agent,
        "DRAGONS_SESSION": core.session_id,
    }
    # Before any thread of ours: the kernel binds the program to the thread that started it.
    child = Child(measured.command, environment_of(os.environ, given), measured.folder)
    pump = Pump(child, progress, lambda: _why_over(core.instance), launcher.clock)
    runtime.worker.start()
    send_leftovers(core.instance.place.store.path, launcher.clock)
    return pump.run(early)


def _after_renewal(runtime: Runtime, then: Callable[[], None]) -> None:
    """Hand every renewal on to the program."""
    instance = runtime.instance

    def steps() -> Steps[None]:
        yield from instance.renew_steps()
        then()

    for chore in runtime.upkeep.chores:
        if chore.name == RENEW:
            chore.steps = steps


def _why_over(instance: Instance) -> str:
    denied = instance.authority.over()
    return "" if denied is None else denied.reason.value


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
    core.close(None, outcome=ended.outcome, summary=summary, evidence=evidence)


def _result(core: SessionCore, measured: Measured, ended: Ended, waiting: int) -> RunResult:
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
    )
