"""`dragons mtboi`: mean time between operator interventions, and the receipts that it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Group
from rich.text import Text

from dragons.cli.command import GOVERN, command
from dragons.cli.context import Cli
from dragons.cli.output import fact_list, table
from dragons.cli.values import duration, moment
from dragons.core.clock import parse_time

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dragons.wire.fleet import MtboiView

_PAGE = 500
_PAGES_MAX = 20


def register(app: typer.Typer) -> None:
    """Add `dragons mtboi`."""
    command(app, "mtboi", example="dragons mtboi reconciler --expand", panel=GOVERN)(mtboi)


def mtboi(
    cli: Cli,
    *,
    agent: Annotated[
        str, typer.Argument(metavar="[AGENT]", help="The agent; the whole fleet when absent.")
    ] = "",
    expand: Annotated[
        bool, typer.Option("--expand", help="List every span and intervention with its receipts.")
    ] = False,
) -> None:
    """Show the mean time between operator interventions over the last 30 days."""
    found = collect(cli, agent) if expand else cli.client.mtboi(agent, limit=1)
    if not expand:
        found = msgspec.structs.replace(found, spans=[], hands=[], next_page=-1)
    cli.printer.data(found, lambda: view(found, expand=expand))


def collect(cli: Cli, agent: str) -> MtboiView:
    """The figure with all its pages, as of one moment; `next_page` says where the limit cut it off."""
    first = last = cli.client.mtboi(agent, limit=_PAGE)
    spans, hands, until_ms = list(first.spans), list(first.hands), parse_time(first.until)
    while 0 <= last.next_page < _PAGES_MAX:
        last = cli.client.mtboi(agent, until_ms=until_ms, page=last.next_page, limit=_PAGE)
        spans += last.spans
        hands += last.hands
    return msgspec.structs.replace(first, spans=spans, hands=hands, next_page=last.next_page)


def view(found: MtboiView, *, expand: bool) -> RenderableType:
    """The figure as a division that a reader can repeat, then what both numbers are made of."""
    least = "" if found.interventions else "at least "
    facts = fact_list(
        [
            ("of", found.agent or "the fleet"),
            ("mtboi", f"{least}{duration(found.mtboi_seconds)}"),
            ("running", f"{duration(found.running_ms // 1000)} ({found.running_ms // 1000} s)"),
            ("interventions", found.interventions),
            ("window", f"{moment(found.since)} to {moment(found.until)}"),
        ]
    )
    if not expand:
        return facts
    parts: list[RenderableType] = [facts, Text(""), _spans(found), Text(""), _hands(found)]
    if found.next_page >= 0:
        parts += [
            Text(""),
            Text(f"The first {_PAGE * _PAGES_MAX:,} of each are shown; the API has the rest."),
        ]
    return Group(*parts)


def _spans(found: MtboiView) -> RenderableType:
    if not found.spans:
        return Text("Nothing ran in the window.", style="dim")
    return table(
        ("instance", "agent", "began", "ended", "counted", "began by", "ended by"),
        [
            (
                one.instance_id,
                f"{one.agent}@v{one.version}",
                moment(one.began_at),
                moment(one.ended_at) if one.ended_at else "runs",
                f"{one.counted_ms / 1000:.3f} s",
                one.began_by,
                one.ended_by,
            )
            for one in found.spans
        ],
    )


def _hands(found: MtboiView) -> RenderableType:
    if not found.hands:
        return Text("No operator intervened in the window.", style="dim")
    return table(
        ("at", "agent", "on", "action", "by", "reason", "receipt"),
        [
            (
                moment(one.at),
                one.agent,
                one.instance_id or one.dispatch_id or "all of it",
                one.action,
                one.operator,
                one.reason,
                one.receipt_id,
            )
            for one in found.hands
        ],
    )
