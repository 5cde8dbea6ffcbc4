"""`dragons playbook`: run a plain service so that it resolves its own incidents, on the record.

The service's standard output stays its own; everything that Dragons says goes to standard error. Never starts
a service whose playbook is not on the record.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from dragons.cli.command import GOVERN, command, group
from dragons.cli.context import Cli
from dragons.cli.output import safe
from dragons.cli.run import RegisterOption, StrictOption, TtlOption, operator_at_hand
from dragons.cli.values import parse_duration

if TYPE_CHECKING:
    from dragons.node.playbook.book import Book
    from dragons.node.playbook.notifying import NotifierProgram
    from dragons.node.playbook.run import PlaybookResult

PlaceArgument = Annotated[
    Path, typer.Argument(metavar="PLAYBOOK", help="A folder with agent.yaml and playbook.yaml, or that file.")
]
GoalOption = Annotated[
    str,
    typer.Option("--goal", help="What the run is for; recorded before it begins. [default: keep it running]"),
]
NotifiersOption = Annotated[
    Path | None,
    typer.Option(
        "--notifiers", metavar="FILE", help="The channels. [default: control/notifiers.yaml in the home]"
    ),
]


def register(app: typer.Typer) -> None:
    """Add `dragons playbook …`."""
    inner = group(app, "playbook", "Playbooks: services that resolve their own incidents.", panel=GOVERN)
    command(inner, "run", example="dragons playbook run examples/crashing-service")(run)
    command(inner, "validate", example="dragons playbook validate examples/crashing-service")(validate)
    command(inner, "show", example="dragons playbook show examples/crashing-service")(show)


def run(
    cli: Cli,
    *,
    place: PlaceArgument,
    goal: GoalOption = "",
    ttl: TtlOption = "15m",
    notifiers: NotifiersOption = None,
    register_changed: RegisterOption = False,
    strict: StrictOption = False,
) -> int:
    """Run a service: diagnose and restart it when it crashes; when that does not help, report and tell people.

    Ends with 0 when the service ended by itself or was told to end, else with its exit status.
    """
    from dragons.node.launcher import Launcher
    from dragons.node.playbook.book import open_book
    from dragons.node.playbook.prepare import Allowed
    from dragons.node.playbook.run import PlaybookOptions, run_playbook
    from dragons.sdk.home import Home

    launcher = Launcher(
        home=Home(cli.home),
        client=cli.client,
        clock=cli.clock,
        tell=cli.printer.note,
        operator=operator_at_hand(cli, needed=register_changed),
        pin=cli.config.root_fingerprint,
    )
    options = PlaybookOptions(
        place=place,
        goal=goal,
        ttl_seconds=parse_duration(ttl),
        allowed=Allowed(new=not strict, changed=register_changed),
        notifier=_notifier(cli, open_book(place), notifiers),
    )
    result = run_playbook(launcher, options)
    _show_result(cli, result)
    return result.exit_code


def validate(cli: Cli, *, place: PlaceArgument) -> None:
    """Check a playbook and its agent; needs neither a home nor a control plane."""
    from dragons.node.playbook.book import open_book

    book = open_book(place)
    cli.printer.facts(
        {"agent": book.manifest.agent, "manifest_hash": book.manifest.hash(), "valid": True},
        [("agent", book.manifest.agent), ("manifest_hash", book.manifest.hash()), ("playbook", "valid")],
    )


def show(cli: Cli, *, place: PlaceArgument) -> None:
    """Show what a playbook does, what it may do, and what it only hands on."""
    from dragons.node.playbook.book import open_book

    book = open_book(place)
    cli.printer.facts(
        {
            "agent": book.manifest.agent,
            "manifest_hash": book.manifest.hash(),
            "scope": book.scope,
            "delegate_scope": book.handed_on,
            "playbook": msgspec.to_builtins(book.playbook),
        },
        _facts(book),
    )


def _facts(book: Book) -> list[tuple[str, object]]:
    playbook, restart = book.playbook, book.playbook.restart
    model = playbook.on_crash.model
    pauses = f"{restart.backoff_first_seconds:g} to {restart.backoff_longest_seconds:g} s"
    own = [rule.name for rule in playbook.on_crash.diagnose.rules]
    return [
        ("agent", book.manifest.agent),
        ("manifest_hash", book.manifest.hash()),
        ("service", " ".join(playbook.service.command)),
        ("on a crash", f"the last {playbook.on_crash.collect.lines} lines of output and of each named file"),
        ("rules", [*own, *(["built-in"] if playbook.on_crash.diagnose.builtin else [])]),
        ("model", "none" if model is None else f"{model.model} at {model.url}"),
        ("restarts", f"{restart.attempts}, after pauses of {pauses}"),
        ("forgotten", f"after running well for {restart.reset_after_seconds:g} s"),
        ("postmortem", playbook.postmortem.path),
        ("tells", [f"{one.channel}/{one.name or one.channel}" for one in playbook.notify]),
        ("may", book.scope),
        ("only hands on", book.handed_on),
    ]


def _notifier(cli: Cli, book: Book, given: Path | None) -> NotifierProgram | None:
    """The notifier, where the playbook tells somebody; its channels are checked before anything runs."""
    from dragons.cli.notifier import check_channels, notifier_program

    if not book.handed_on:
        return None
    path = given or cli.home / "control" / "notifiers.yaml"
    check_channels(path, book.playbook.notify)
    return notifier_program(path)


def _show_result(cli: Cli, result: PlaybookResult) -> None:
    if cli.printer.as_json:
        sys.stderr.write(msgspec.json.encode(result).decode() + "\n")
        return
    told = (
        []
        if result.report is None
        else [f"{one.kind}/{one.name} {one.outcome}" for one in result.report.told]
    )
    facts: list[tuple[str, str]] = [
        ("ending", f"{result.ending.value}: {result.why}" if result.why else result.ending.value),
        ("starts", str(result.starts)),
        ("agent", result.agent),
        ("session", result.session_id),
        ("receipt", result.receipt_id),
        ("chain_root", result.chain_root),
        ("postmortem", result.postmortem),
        ("told", ", ".join(told)),
    ]
    for name, value in facts:
        if value:
            cli.printer.note(f"{name:<12}{safe(value)}")
    if result.waiting:
        cli.printer.note(f"{result.waiting} receipts wait on this machine; they are sent by the next run.")
