"""`dragons fleet`: every live instance at a glance, the worst first; refreshed on a terminal."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dragons.cli.command import GOVERN, command
from dragons.cli.context import Cli
from dragons.cli.output import console, plain, safe, show
from dragons.cli.values import brief, brief_age, counted, duration, moment
from dragons.core.errors import DragonsError
from dragons.core.vocabulary import OrganismState

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

    from dragons.wire.fleet import Fleet, FleetMember

PAGE_MAX = 500
# What makes room for the rest on a narrow terminal; a reason then stands below the table.
_DROPPED_FIRST = ("reason", "dispatch", "epoch", "node", "waiting", "mtboi", "restarts")
_REASON_MIN = 26
_GAP = 2
# The header, the totals, and a line that says how many more there are.
_AROUND = 6
_COLOURS = {
    "running": "green",
    "degraded": "yellow",
    "autohealing": "magenta",
    "quarantined": "bold red",
    "stopped": "dim",
}
_HEALTHY = OrganismState.RUNNING.value


def register(app: typer.Typer) -> None:
    """Add `dragons fleet`."""
    command(app, "fleet", example="dragons fleet --state quarantined", panel=GOVERN)(fleet)


def fleet(
    cli: Cli,
    *,
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Only this agent's.")] = "",
    state: Annotated[
        OrganismState | None, typer.Option("--state", help="Only those in this state; stopped ones too.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print once, also on a terminal.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", min=0.5, max=3600, help="Seconds between two looks.")
    ] = 2.0,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, max=PAGE_MAX, help="At most this many. [default: what fits, else 500]"
        ),
    ] = None,
) -> None:
    """Show what runs: state and reason, heartbeat, progress, lease, restarts, node, MTBOI.

    On a terminal it is refreshed until Ctrl-C.
    """

    def look(most: int) -> Fleet:
        return cli.client.fleet(agent, state=state.value if state else "", limit=limit or most)

    if once or cli.printer.as_json or not sys.stdout.isatty():
        found = look(PAGE_MAX)
        cli.printer.data(found, lambda: screen(found, width=console().width))
        return
    _follow(look, interval)


def screen(found: Fleet, *, width: int, trouble: str = "") -> RenderableType:
    """The table, what is not in it, and the totals."""
    parts: list[RenderableType] = []
    if found.members:
        cells = [_cells(member) for member in found.members]
        names = fitting(cells, width)
        parts.append(members_table(found.members, cells, names))
        if "reason" not in names:
            parts += details(found.members, cells, names)
    else:
        parts.append(Text("No instance is running.", style="dim"))
    more = found.total - len(found.members)
    if more > 0:
        parts.append(Text(f"… and {more:,} more", style="dim"))
    parts += [Text(""), totals(found)]
    if trouble:
        parts.append(Text(safe(trouble), style="bold red"))
    return Group(*parts)


def fitting(cells: list[dict[str, str]], width: int) -> list[str]:
    """The columns to show: those in which something stands, without what `width` has no room for."""
    names = [name for name in cells[0] if any(row[name] for row in cells)]
    widths = {name: max(len(name), *(len(row[name]) for row in cells)) + _GAP for name in names}
    if "reason" in widths:
        widths["reason"] = min(widths["reason"], _REASON_MIN)
    for name in _DROPPED_FIRST:
        if sum(widths[one] for one in names) - _GAP <= width:
            break
        if name in names:
            names.remove(name)
    return names


def members_table(
    members: list[FleetMember], cells: list[dict[str, str]], names: list[str]
) -> RenderableType:
    """One line an instance."""
    result = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", show_edge=False)
    for name in names:
        result.add_column(
            name.upper(), no_wrap=True, overflow="ellipsis", ratio=1 if name == "reason" else None
        )
    for member, row in zip(members, cells, strict=True):
        style = _COLOURS.get(member.state, "")
        result.add_row(*(Text(plain(row[name]), style=style if name == "state" else "") for name in names))
    return result


def details(
    members: list[FleetMember], cells: list[dict[str, str]], names: list[str]
) -> list[RenderableType]:
    """Why what is not well is so, a line each, with what the table had no room for."""
    left_out = [name for name in cells[0] if name not in {*names, "reason"}]
    return [
        Text(
            safe(
                " · ".join(
                    [
                        f"{row['instance']} {member.state}: {member.state_reason}",
                        *(f"{name} {row[name]}" for name in left_out if row[name]),
                    ]
                )
            ),
            style=_COLOURS.get(member.state, ""),
            no_wrap=True,
            overflow="ellipsis",
        )
        for member, row in zip(members, cells, strict=True)
        if member.state != _HEALTHY
    ]


def totals(found: Fleet) -> Text:
    """The last line: how many are in which state, what is held, the fleet's MTBOI, open incidents."""
    counts = [f"{count} {state}" for state, count in found.states.items() if count]
    held = []
    if found.held_agents:
        held.append(f"quarantined by an operator: {', '.join(found.held_agents[:5])}")
    if found.held_dispatches:
        held.append(counted(found.held_dispatches, "dispatch held", "dispatches held"))
    least = "" if found.interventions else "at least "
    acts = counted(found.interventions, "intervention")
    parts = [
        f"{counted(sum(found.states.values()), 'instance')}: {', '.join(counts) or 'none'}",
        *held,
        counted(found.incidents_open, "open incident"),
        f"fleet MTBOI {least}{duration(found.mtboi_seconds)} ({acts} in 30 days)",
        moment(found.as_of),
    ]
    return Text(safe(" · ".join(parts)), style="bold")


def _cells(member: FleetMember) -> dict[str, str]:
    """The columns in their order. Authority, pulse and progress are apart: the state follows from them."""
    lease = brief(member.lease_left_seconds) if member.lease_status == "valid" else member.lease_status
    progress = f"{member.progress_sequence} {member.progress_source} {brief_age(member.progress_age_ms)}"
    held = "held" if member.dispatch_state == "held" else ""
    return {
        "agent": f"{member.agent}@v{member.version}",
        "instance": member.instance_id[-12:],
        "state": member.state,
        "heartbeat": brief_age(member.pulse_age_ms),
        "progress": progress if member.progress_age_ms >= 0 else "-",
        "waiting": member.waiting_for,
        "lease": lease,
        "epoch": str(member.epoch),
        "restarts": str(member.restarts) if member.restarts else "",
        "dispatch": held,
        "node": member.node,
        "mtboi": brief(member.mtboi_seconds),
        "reason": member.state_reason,
    }


def _follow(look: Callable[[int], Fleet], interval: float) -> None:
    """Refresh until Ctrl-C. While the control plane can't be asked, the last table says how old it is."""
    target, waiting = console(), threading.Event()
    found = look(_most(target.height))
    view = within(found, target)
    try:
        with Live(view, console=target, screen=True, auto_refresh=False) as live:
            while not waiting.wait(interval):
                trouble = ""
                try:
                    found = look(_most(target.height))
                except DragonsError as error:
                    trouble = f"not current since {moment(found.as_of)}: {error.message}"
                view = within(found, target, trouble)
                live.update(view, refresh=True)
    except KeyboardInterrupt:
        # The terminal gets its own screen back; what was seen last stays on it.
        show(view)


def within(found: Fleet, target: Console, trouble: str = "") -> RenderableType:
    """The screen with as many instances as the terminal has lines for; the totals are always on it."""
    while True:
        view = screen(found, width=target.width, trouble=trouble)
        over = len(target.render_lines(view, pad=False)) - target.height
        if over <= 0 or len(found.members) <= 1:
            return view
        # An instance that is not well may have two lines.
        kept = found.members[: -max(1, over // 2)]
        found = msgspec.structs.replace(found, members=kept)


def _most(height: int) -> int:
    return max(1, min(PAGE_MAX, height - _AROUND))
