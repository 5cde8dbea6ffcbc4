"""`dragons verify`: judge an evidence pack against a fingerprint that the verifier pinned.

Works with the base install, without a network and without a control plane. Never takes the pin from
the pack, from the home or from a control plane: a pin that somebody hands over with the evidence
proves nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from dragons.cli.command import PROVE, command
from dragons.cli.context import Cli
from dragons.cli.exits import Exit
from dragons.cli.output import fact_list, safe
from dragons.cli.values import moment
from dragons.core.errors import InvalidInputError
from dragons.evidence.checkpoint import parse_witness

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dragons.audit.verdicts import Report, Verdict

PackArgument = Annotated[Path, typer.Argument(metavar="PACK", help="The evidence pack.")]
RootOption = Annotated[
    str | None,
    typer.Option("--root", metavar="FINGERPRINT", help="The pinned root fingerprint, 64 hexadecimal digits."),
]
WitnessOption = Annotated[
    list[str] | None,
    typer.Option("--witness", metavar="VKEY", help="A witness you trust: name+hash+key. Repeatable."),
]
WitnessesOption = Annotated[
    int, typer.Option("--witnesses", min=0, help="How many distinct witnesses must have cosigned.")
]
PayloadsOption = Annotated[
    bool,
    typer.Option("--require-payloads", help="Fail when a payload is withheld and not on record as erased."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Processes that check signatures. [default: as many as help]"),
]


def register(app: typer.Typer) -> None:
    """Add `dragons verify`."""
    command(app, "verify", example="dragons verify evidence.zip --root 5f0c…e1", panel=PROVE)(verify)


def verify(
    cli: Cli,
    *,
    pack: PackArgument,
    root: RootOption = None,
    witness: WitnessOption = None,
    witnesses: WitnessesOption = 0,
    require_payloads: PayloadsOption = False,
    workers: WorkersOption = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Then tell what happened: goal → action → evidence → outcome.")
    ] = False,
) -> int:
    """Verify an evidence pack offline, against the root fingerprint you pinned.

    Seven separate verdicts, each with the first receipt that spoils it. The exit code is 0 only
    when all that was asked for holds.
    """
    report = judge(
        cli,
        pack,
        root,
        witness=witness or [],
        witnesses=witnesses,
        require_payloads=require_payloads,
        workers=workers,
    )
    value = report.to_json()
    if replay:
        # `replay` itself verifies first, with the functions below.
        from dragons.cli.replay import events_of, tell_replay

        if cli.printer.as_json:
            value["replay"] = list(events_of(pack))
        else:
            tell_replay(pack)
    cli.printer.data(value, lambda: report_view(report))
    return Exit.OK if report.valid else Exit.NO


def judge(
    cli: Cli,
    pack: Path,
    root: str | None,
    *,
    witness: list[str],
    witnesses: int,
    require_payloads: bool,
    workers: int | None,
) -> Report:
    """The verifier's report, with progress on standard error."""
    pin = pinned(root)
    from dragons.audit.verify import verify_file

    trusted = [parse_witness(vkey) for vkey in witness]
    with cli.printer.progress("receipts verified") as progress:
        return verify_file(
            pack,
            pin,
            witnesses=trusted,
            witnesses_required=witnesses,
            require_payloads=require_payloads,
            workers=workers,
            progress=progress,
        )


def pinned(root: str | None) -> str:
    """The pin; InvalidInputError that says where to get one when there is none."""
    if root is None:
        raise InvalidInputError(
            "root_missing",
            "Verification needs the root fingerprint you trust, and a pack never brings its own.",
            fix="Get it from the tenant's owner by another way than the pack "
            "(they run `dragons keys fingerprint`), then give --root FINGERPRINT.",
        )
    return root


def report_view(report: Report) -> RenderableType:
    """The verdicts for a person."""
    colour, word = ("green", "VALID") if report.valid else ("red", "NOT VALID")
    head = Text.assemble(
        (word, f"bold {colour}"), f"  {report.selected} selected of {report.receipts} receipts shown"
    )
    facts = [
        ("tenant", report.tenant_id),
        ("pinned root", report.pinned),
        ("log", f"{report.tree_size} receipts, root {report.root}"),
        ("exported", moment(report.exported_at)),
    ]
    return Group(head, fact_list(facts), Text(""), _verdicts(report))


def _verdicts(report: Report) -> RenderableType:

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, header_style="bold")
    for column in ("VERDICT", "", "FIRST OFFENDING", "DETAIL"):
        table.add_column(column, overflow="fold")
    for question, verdict in report.verdicts.items():
        table.add_row(question.value, *_row(verdict))
    return table


def _row(verdict: Verdict) -> tuple[RenderableType, str, RenderableType]:

    colours = {"pass": "green", "fail": "bold red", "not_asked": "dim"}
    status = Text(verdict.status.value.replace("_", " "), style=colours[verdict.status.value])
    facts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in verdict.facts.items())
    fault = verdict.fault
    if fault is None:
        return status, "", Text(facts)
    place = "" if fault.index is None else f"index {fault.index}"
    if fault.seq is not None:
        place += f", seq {fault.seq}"
    return status, place, Text(safe(f"{fault.code}: {fault.detail}") + (f" ({facts})" if facts else ""))
