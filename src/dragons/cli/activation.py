"""The activation receipt: what `dragons run` shows when its program has ended.

Shows only what was measured or is on the record; what is not known is a dash, and a replay that was
not made is never called a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dragons.cli.output import console, plain
from dragons.cli.values import age

if TYPE_CHECKING:
    from rich.console import RenderableType

TITLE = "Dragons · Activation Receipt"
NOT_MADE = "not made"
_NAME_WIDTH = 16
_WIDTH = 78


class Activation(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One activation: its proof loop, its identity and its life.

    `replay` is pass, fail, or why no replay was made. `exit_status` is the program's own. `progress` names
    the sources that progress was seen by: output, files, receipts.
    """

    goal: str
    scope: list[str]
    operations: int
    denied: dict[str, str] = {}
    session_id: str = ""
    sessions: list[str] = []
    receipt_id: str = ""
    chain_root: str = ""
    replay: str = NOT_MADE
    agent: str
    manifest_hash: str
    instance_id: str
    lease_id: str
    states: list[str]
    heartbeat_age_ms: int = -1
    progress: str = ""
    outcome: str = ""
    exit_status: int = 0


def lines_of(activation: Activation) -> list[tuple[str, str]]:
    """Name and value of each line; a name without value is a heading, a value without name goes on."""
    a = activation
    denied = [f"{action} ({reason})" for action, reason in a.denied.items()]
    return [
        ("goal", plain(a.goal)),
        ("action", plain([*a.scope, f"{a.operations} ops"])),
        *([("denied", plain(denied))] if denied else []),
        ("outcome", plain(f"{a.outcome or '-'} (program's exit status {a.exit_status})")),
        ("session", plain(a.session_id)),
        *(("", plain(f"{other}, opened by the program")) for other in a.sessions if other != a.session_id),
        ("receipt", plain(a.receipt_id)),
        ("chain_root", plain(a.chain_root)),
        ("replay", f"{a.replay} · third-party verifiable" if a.replay == "pass" else plain(a.replay)),
        ("Identity + Liveness", ""),
        ("agent", plain(a.agent)),
        ("manifest_hash", plain(a.manifest_hash)),
        ("instance_id", plain(a.instance_id)),
        ("lease_id", plain(a.lease_id)),
        ("organism_state", " → ".join(plain(state) for state in a.states) or "-"),
        ("last_heartbeat", age(a.heartbeat_age_ms)),
        ("progress", plain(a.progress) if a.progress else "-"),
    ]


def as_text(activation: Activation) -> str:
    """The receipt as plain lines, the same in every terminal and log."""
    verdict = f"replay: {activation.replay if activation.replay in {'pass', 'fail'} else '-'}"
    out = [f"{TITLE}{verdict:>{_WIDTH - len(TITLE)}}"]
    for name, value in lines_of(activation):
        out.append(f"  {name:<{_NAME_WIDTH}}{value}" if value else name)
    return "\n".join(out)


def show(activation: Activation) -> None:
    """The receipt on standard error: a panel on a terminal, plain lines elsewhere."""
    target = console(stderr=True)
    if target.is_terminal:
        target.print(_panel(activation))
    else:
        target.print(as_text(activation), markup=False, highlight=False, soft_wrap=True)


def _panel(activation: Activation) -> RenderableType:

    colour = {"pass": "green", "fail": "red"}.get(activation.replay, "yellow")
    return Panel(
        Group(*_rows(lines_of(activation), colour)),
        title=Text(TITLE, style="bold"),
        title_align="left",
        subtitle=Text(f"replay: {plain(activation.replay)}", style=f"bold {colour}"),
        subtitle_align="right",
        border_style=colour,
        expand=False,
    )


def _rows(lines: Sequence[tuple[str, str]], colour: str) -> list[RenderableType]:

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, show_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        if not value:
            table.add_row("", "")
            table.add_row(Text(name, style="bold"), "")
        else:
            style = {"replay": colour, "denied": "yellow"}.get(name, "")
            table.add_row(name, Text(value, style=style))
    return [table]
