"""A playbook as a governed run: measured, made ready, launched, carried out, and its end on the record.

The runner is the instance: its key is made here and no other process gets it. Never starts the service of a
playbook whose manifest is not on the record.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from dragons.authority.lease import TTL_SECONDS_DEFAULT
from dragons.core.errors import ForbiddenError, InvalidInputError
from dragons.core.vocabulary import Outcome
from dragons.identity.records import version_name
from dragons.node.launcher import Launcher
from dragons.node.lines import Lines
from dragons.node.playbook.book import Book, open_book
from dragons.node.playbook.channel import Report
from dragons.node.playbook.machine import Ending, RunState
from dragons.node.playbook.model import key_of
from dragons.node.playbook.notifying import NotifierProgram
from dragons.node.playbook.prepare import Allowed, prepare_playbook
from dragons.node.playbook.runner import Runner
from dragons.node.playbook.steps import Office
from dragons.node.prepare import explain_refusal
from dragons.node.progress import Meter, ReceiptProgress
from dragons.sdk.core import SessionCore
from dragons.sdk.instance import Instance, Place
from dragons.sdk.launch import launch
from dragons.sdk.localstore import LocalStore, closing_name
from dragons.sdk.session import send_leftovers, working
from dragons.sdk.statements import Ending as InstanceEnding

SERVICE_FAILED_EXIT = 1


@dataclass(frozen=True, slots=True)
class PlaybookOptions:
    """One run. `notifier` tells people where the playbook asks for it; without it nobody is told."""

    place: Path
    goal: str = ""
    ttl_seconds: int = TTL_SECONDS_DEFAULT
    allowed: Allowed = field(default_factory=Allowed)
    notifier: NotifierProgram | None = None


@dataclass(frozen=True, slots=True)
class PlaybookResult:
    """What a run has to show for itself; what is not on the record is empty."""

    agent: str
    manifest_hash: str
    instance_id: str
    lease_id: str
    session_id: str
    receipt_id: str
    chain_root: str
    ending: Ending
    why: str
    starts: int
    exit_status: int
    postmortem: str
    report: Report | None
    waiting: int

    @property
    def exit_code(self) -> int:
        """0 when the service ended by itself, or somebody ended the run."""
        return (
            0
            if self.ending in {Ending.COMPLETED, Ending.STOPPED}
            else self.exit_status or SERVICE_FAILED_EXIT
        )


def run_playbook(launcher: Launcher, options: PlaybookOptions) -> PlaybookResult:
    """Run one playbook; a DragonsError means that its service was never started."""
    book = open_book(options.place)
    _check_surroundings(book, options)
    prepare_playbook(
        launcher.client, launcher.operator, book, options.notifier, launcher.tell,
        allowed=options.allowed, ttl_seconds=options.ttl_seconds,
    )  # fmt: skip
    config = launcher.home.config()
    url = launcher.client.transport.exchange.url
    with LocalStore(launcher.home.store_path(config.tenant_id)) as store:
        send_leftovers(store.path, launcher.clock)
        instance = _launch(launcher, book, options, Place(url, store, launcher.clock))
        lines = Lines()
        instance.observe = Meter([lines, ReceiptProgress(instance)]).now
        goal = options.goal or f"keep {book.manifest.agent} running"
        core = SessionCore(instance, goal)
        with working(core) as session:
            office = Office(book, launcher.client, launcher.clock, launcher.tell, options.notifier)
            runner = Runner(office, session, lines)
            state = runner.run()
            _close(core, runner, state)
        return _result(core, runner, state)


def _check_surroundings(book: Book, options: PlaybookOptions) -> None:
    """What would be missed only when the service has crashed is missed now."""
    model = book.playbook.on_crash.model
    if model is not None:
        key_of(model, os.environ)
    if book.handed_on and options.notifier is None:
        raise InvalidInputError(
            "notifiers_missing",
            f"The playbook tells {', '.join(book.handed_on)}, and no channels are configured.",
            fix="Write control/notifiers.yaml in the home, or name its file with --notifiers.",
        )


def _launch(launcher: Launcher, book: Book, options: PlaybookOptions, place: Place) -> Instance:
    try:
        return launch(
            launcher.client,
            book.manifest,
            place,
            # Named one by one: the notifications are never among them, whatever a dock allows.
            scope=book.scope,
            delegate_scope=book.handed_on,
            ttl_seconds=options.ttl_seconds,
        )
    except ForbiddenError as error:
        raise explain_refusal(error, book.manifest, has_key=launcher.operator is not None) from error


def _close(core: SessionCore, runner: Runner, state: RunState) -> None:
    """The session's last receipt says how the run ended."""
    good = state.ending in {Ending.COMPLETED, Ending.STOPPED}
    outcome = Outcome.COMPLETED if good else Outcome.FAILED
    summary: dict[str, object] = {
        "ending": "" if state.ending is None else state.ending.value,
        "starts": state.starts,
        "why": state.why,
    }
    if runner.last is not None:
        summary["last_end"] = runner.last.how
    core.instance.ending = InstanceEnding(outcome, state.why or "the service ended by itself")
    core.close(None, outcome=outcome, summary=summary)


def _result(core: SessionCore, runner: Runner, state: RunState) -> PlaybookResult:
    lease, store = core.instance.authority.lease, core.instance.place.store
    closing = store.receipt(closing_name(core.session_id))
    return PlaybookResult(
        agent=version_name(lease.agent, lease.version),
        manifest_hash=lease.manifest_hash,
        instance_id=lease.instance_id,
        lease_id=lease.lease_id,
        session_id=core.session_id,
        receipt_id="" if closing is None else closing.receipt_id,
        chain_root="" if closing is None else closing.chain_root,
        ending=state.ending or Ending.FAILED,
        why=state.why,
        starts=state.starts,
        exit_status=0 if runner.last is None else runner.last.exit_status,
        postmortem="" if runner.helper.written is None else str(runner.helper.written),
        report=runner.helper.report,
        waiting=store.waiting(core.instance.instance_id),
    )
