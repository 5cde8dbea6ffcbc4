"""The reference in docs/cli.md, written from the commands themselves so that it can't differ from them.

`python -m dragons.cli.reference docs/cli.md` replaces everything below the marker; a test fails when
the file is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from dragons.cli.command import COMMON_OPTIONS
from dragons.cli.exits import MEANINGS
from dragons.cli.main import app

MARKER = "<!-- Below this line: python -m dragons.cli.reference docs/cli.md -->"


def reference() -> str:
    """Every command with its arguments, options and example, and the exit codes."""
    root = typer.main.get_command(app)
    sections = ["## Exit codes", _exit_codes(), "## Options of every command", _common(root)]
    for path, node in walk(root, "dragons"):
        sections += [_head(path, node), *_command(node)]
    return "\n\n".join(sections) + "\n"


def walk(node: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer carries its own click
    """Each group and command below `node` with the words that call it."""
    for name, child in getattr(node, "commands", {}).items():
        yield f"{path} {name}", child
        yield from walk(child, f"{path} {name}")


def updated(document: str) -> str:
    """`document` with a fresh reference below its marker; ValueError when it has none."""
    written, found, _ = document.partition(MARKER)
    if not found:
        msg = f"the document has no line {MARKER}"
        raise ValueError(msg)
    return f"{written}{MARKER}\n\n{reference()}"


def example_of(node: Any) -> str:  # noqa: ANN401
    """The example that a command's help ends with."""
    return str(node.epilog or "").removeprefix("Example:  ").replace(r"\[", "[")


def _head(path: str, node: Any) -> str:  # noqa: ANN401
    return f"## {path}" if getattr(node, "commands", None) else f"### {path}"


def _command(node: Any) -> Iterator[str]:  # noqa: ANN401
    yield " ".join((node.help or "").split())
    if getattr(node, "commands", None):
        return
    rows = [row for parameter in node.params if (row := _row(parameter))]
    if rows:
        yield "\n".join(["| argument or option | meaning |", "| --- | --- |", *rows])
    yield f"```sh\n{example_of(node)}\n```"


def _row(parameter: Any) -> str:  # noqa: ANN401
    if parameter.name in {*COMMON_OPTIONS, "help", "ctx"}:
        return ""
    meaning = (parameter.help or "").replace(r"\[", "[").replace("|", r"\|")
    if parameter.param_type_name == "argument":
        return f"| `{parameter.metavar or parameter.name.upper()}` | {meaning} |"
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    shown = (
        "" if default in (None, False, "", [], ()) or callable(default) else f" Default: `{_plain(default)}`."
    )
    required = " Required." if parameter.required else ""
    return f"| {names} | {meaning}{required}{shown} |"


def _plain(default: object) -> str:
    return str(getattr(default, "value", default)).replace(str(Path.home()), "~")


def _common(root: Any) -> str:  # noqa: ANN401
    node = next(child for _, child in walk(root, "") if any(p.name == "output" for p in child.params))
    rows = []
    for parameter in node.params:
        if parameter.name in COMMON_OPTIONS:
            names = ", ".join(f"`{name}`" for name in parameter.opts)
            rows.append(f"| {names} | {(parameter.help or '').replace('|', chr(92) + '|')} |")
    return "\n".join(["| option | meaning |", "| --- | --- |", *rows])


def _exit_codes() -> str:
    rows = [f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| code | meaning |", "| --- | --- |", *rows])


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(updated(place.read_text(encoding="utf-8")), encoding="utf-8")
