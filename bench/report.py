"""A run as text, JSON or Markdown. Shows each comparison with the range of its rounds and its target."""

from __future__ import annotations

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.figures import Detail, Found, Line, Spread
from bench.machine import Machine
from bench.suite import MEASUREMENTS, Run

_VERDICTS = {True: "met", False: "missed", None: ""}


def to_json(run: Run) -> str:
    """The whole run, each line with its verdict."""
    plain = msgspec.to_builtins(run)
    for name, found in run.found.items():
        for shown, line in zip(plain["found"][name]["lines"], found.lines, strict=True):
            shown["met"] = line.met
    plain["met"] = run.met
    return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode()


def print_table(run: Run, console: Console) -> None:
    """The run as tables for a terminal."""
    console.print(Group(*_lines_of(run.machine, run.command)))
    for name, found in run.found.items():
        console.print(_section(name, found))


def to_markdown(run: Run) -> str:
    """The run as it stands in a document."""
    parts = [
        "Command: `" + run.command + "`",
        "\n".join(f"- {line}" for line in machine_lines(run.machine)),
        *(_markdown_section(name, found) for name, found in run.found.items()),
    ]
    return "\n\n".join(parts)


def machine_lines(machine: Machine) -> list[str]:
    """What the figures depend on, in words."""
    packages = ", ".join(f"{name} {found}" for name, found in machine.packages.items())
    return [
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gb} GB, {machine.system}",
        f"{machine.python}, SQLite {machine.sqlite}, {machine.openssl}",
        packages,
    ]


def figure(value: float) -> str:
    """Three digits that matter, and no fractions of large numbers."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


def spread_of(value: Spread | None, unit: str = "") -> str:
    """The median, and the range where rounds differ."""
    if value is None:
        return ""
    text = f"{figure(value.median)} {unit}".rstrip()
    return text if value.low == value.high else f"{text} ({figure(value.low)} to {figure(value.high)})"


def target_of(line: Line) -> str:
    """The target with its direction; empty where there is none."""
    if line.target is None:
        return ""
    unit = f" {line.unit}" if line.ratio is None else ""
    return f"{'≤' if line.at_most else '≥'} {line.target:g}{unit}"


def _lines_of(machine: Machine, command: str) -> list[RenderableType]:
    return [Text(command), *(Text(line) for line in machine_lines(machine)), Text("")]


_HEADINGS = ("figure", "ours", "against", "theirs", "ratio", "target", "")


def _row(line: Line) -> tuple[str, ...]:
    return (
        f"{line.name}: {line.of}",
        spread_of(line.ours, line.unit),
        line.against,
        spread_of(line.theirs, line.unit),
        spread_of(line.ratio),
        target_of(line),
        _VERDICTS[line.met],
    )


def _detail(detail: Detail) -> tuple[str, ...]:
    return detail.name, f"{figure(detail.value)} {detail.unit}", detail.of


def _section(name: str, found: Found) -> RenderableType:
    title = Text(MEASUREMENTS[name][1], style="bold")
    if found.missing:
        return Group(title, Text(f"not measured: {found.missing}"), Text(""))
    lines = _grid(_HEADINGS, [_row(line) for line in found.lines])
    details = _grid(("detail", "", "of"), [_detail(detail) for detail in found.details])
    return Group(title, lines, *([details] if found.details else []), Text(""))


def _grid(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _markdown_section(name: str, found: Found) -> str:
    heading = f"### {MEASUREMENTS[name][1]}"
    if found.missing:
        return f"{heading}\n\nNot measured: {found.missing}"
    parts = [heading, _markdown_table((*_HEADINGS[:-1], "verdict"), [_row(line) for line in found.lines])]
    if found.details:
        parts.append(_markdown_table(("detail", "value", "of"), [_detail(one) for one in found.details]))
    return "\n\n".join(parts)


def _markdown_table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(headings), line(("---",) * len(headings)), *(line(row) for row in rows)])
