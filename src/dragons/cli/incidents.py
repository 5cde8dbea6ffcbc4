"""`dragons incidents`: what went wrong, told from the ledger, and the pack that proves it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Group
from rich.text import Text

from dragons.cli.command import GOVERN, command, group
from dragons.cli.context import Cli
from dragons.cli.output import fact_list, safe
from dragons.cli.packs import described, write_pack
from dragons.cli.values import counted, moment, short, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

    from dragons.sdk.packs import Exported
    from dragons.wire.incidents import IncidentDetail, IncidentLine, IncidentView

_PAGE = 500
_PHASES = {
    "identity": "Who it was",
    "before": "What led to it",
    "incident": "What happened",
    "after": "What came next",
}
_STATES = {"degraded": "yellow", "autohealing": "magenta", "quarantined": "bold red"}
_INDENT = " " * 30
# Longer texts of a payload are cut; `-o json` has all of them.
_PAYLOAD_MAX = 2_000
IncidentArgument = Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident's id, inc_….")]


def register(app: typer.Typer) -> None:
    """Add `dragons incidents …`."""
    inner = group(app, "incidents", "Incidents: what went wrong, and how it ended.", panel=GOVERN)
    command(inner, "list", example="dragons incidents list --open")(list_incidents)
    command(inner, "show", example="dragons incidents show inc_019e5f80a1f37cc28d0000000000000a")(show)


def list_incidents(
    cli: Cli,
    *,
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Only this agent's.")] = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=_PAGE, help="At most this many.")] = 50,
) -> None:
    """List incidents, the newest first."""
    found = cli.client.incidents(agent, open_only=open_only, limit=limit)
    cli.printer.rows(
        found,
        ("incident", "agent", "came to", "opened", "closed", "resolution", "reason"),
        [
            (
                one.incident_id,
                one.agent,
                one.state,
                moment(one.opened_at),
                moment(one.closed_at) if one.closed_at else "open",
                one.resolution,
                one.reason,
            )
            for one in found.incidents
        ],
        empty="There is no such incident.",
    )


def show(
    cli: Cli,
    *,
    incident: IncidentArgument,
    pack: Annotated[
        Path | None,
        typer.Option("--pack", metavar="FILE", help="Also write the evidence pack of its time window."),
    ] = None,
    redacted: Annotated[bool, typer.Option("--redacted", help="Leave payloads out of the pack.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    payloads: Annotated[
        bool, typer.Option("--payloads", help="Show goals and arguments that lie in this home's store.")
    ] = False,
) -> None:
    """Show what happened, receipt by receipt: identity, actions, states, interventions, resolution."""
    from dragons.wire.evidence import PackRequest

    found = cli.client.incident(incident)
    kept = dict(_payloads(cli, found.lines)) if payloads else {}
    exported = None
    if pack is not None:
        request = PackRequest(since=found.since, until=found.until)
        exported = write_pack(cli, request, pack, redacted=redacted, force=force)
    value: dict[str, Any] = msgspec.to_builtins(found)
    if payloads:
        value["payloads"] = kept
    if exported is not None:
        value["pack"] = described(exported, redacted=redacted)
    cli.printer.data(value, lambda: told(found, kept))
    if exported is not None:
        _tell_pack(cli, exported)


def told(found: IncidentDetail, kept: dict[str, Any]) -> RenderableType:
    """The story: the incident at a glance, then its receipts in order, then what is not shown."""
    parts: list[RenderableType] = [_glance(found.view), Text("")]
    phase = ""
    for line in found.lines:
        if line.phase != phase:
            phase = line.phase
            parts.append(Text(_PHASES.get(phase, phase), style="bold"))
        parts += _line(line, kept)
    parts.append(Text(""))
    if found.unrelated:
        others = counted(found.unrelated, "receipt")
        parts.append(Text(f"{others} in between: of other instances and incidents.", style="dim"))
    if found.limits:
        names = ", ".join(found.limits)
        parts.append(
            Text(f"There is more than is shown of: {names}. `dragons receipts list` has all.", style="yellow")
        )
    return Group(*parts)


def _glance(view: IncidentView) -> RenderableType:
    ended = f"{moment(view.closed_at)}: {view.resolution}" if view.closed_at else "open"
    return fact_list(
        [
            ("incident", view.incident_id),
            ("agent", view.agent),
            ("instance", view.instance_id),
            ("dispatch", view.dispatch_id),
            ("opened", f"{moment(view.opened_at)} at seq {view.opened_seq}"),
            ("came to", f"{view.state}: {view.reason}"),
            ("ended", ended),
        ]
    )


def _line(line: IncidentLine, kept: dict[str, Any]) -> Iterator[RenderableType]:
    """A receipt as two lines: time, place, what it says and its id; then the facts of its statement."""
    state = line.what.partition(" → ")[2].partition(":")[0]
    head = Text(f"  {line.at[5:10]} {line.at[11:23]}  {line.seq:>6}  ", style="dim")
    head.append(safe(line.what), style=_STATES.get(state, "default") if line.kind == "state.changed" else "")
    head.append(f"  {line.receipt_id}", style="dim")
    yield head
    facts = [f"{name} {_fact(value)}" for name, value in line.facts.items() if value != ""]
    yield Text(f"{_INDENT}{safe(' · '.join([*facts, f'signed by {line.signed_by}']))}", style="dim")
    payload = kept.get(line.receipt_id)
    if payload is not None:
        text = msgspec.json.encode(payload).decode()
        cut = "" if len(text) <= _PAYLOAD_MAX else f" … {len(text) - _PAYLOAD_MAX} more characters"
        yield Text(f"{_INDENT}{safe(text[:_PAYLOAD_MAX])}{cut}", style="cyan")


def _fact(value: object) -> str:
    return short(value) if isinstance(value, str) and len(value) == 64 else str(value)  # noqa: PLR2004 - a digest


def _payloads(cli: Cli, lines: Iterable[IncidentLine]) -> Iterator[tuple[str, Any]]:
    """The payloads of these receipts that this home has, each checked against the hash on the ledger."""
    from dragons.evidence.payload import opens
    from dragons.sdk.home import Home
    from dragons.sdk.localstore import LocalStore

    with LocalStore(Home(cli.home).store_path(cli.tenant_id)) as store:
        for line in lines:
            payload = store.payload(line.payload_hash) if line.payload_hash else None
            if payload is not None and opens(payload, line.payload_hash):
                yield line.receipt_id, msgspec.json.decode(payload.body)


def _tell_pack(cli: Cli, exported: Exported) -> None:
    cli.printer.note(
        f"\n{exported.path} ({size(exported.bytes)}, {exported.payloads} payloads, {exported.withheld} withheld) "
        "holds every receipt of the tenant in that time, and proves that none is missing."
        f"\nVerify it: dragons verify {exported.path} --root {cli.config.root_fingerprint}"
    )
