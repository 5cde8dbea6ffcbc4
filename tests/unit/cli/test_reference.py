from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from dragons.cli.exits import MEANINGS
from dragons.cli.main import app, run
from dragons.cli.reference import MARKER, example_of, reference, updated, walk
from tests.tidy.command_line import problem

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "cli.md"
ROOT = typer.main.get_command(app)
COMMANDS = {path: node for path, node in walk(ROOT, "dragons") if not getattr(node, "commands", None)}

every_command = pytest.mark.parametrize(("path", "node"), COMMANDS.items(), ids=COMMANDS)


def test_the_document_is_fresh() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert updated(text) == text, "run: python -m dragons.cli.reference docs/cli.md"


@every_command
def test_every_command_and_option_is_documented(path: str, node: Any) -> None:
    text = reference()
    assert f"### {path}\n" in text
    section = text.partition(f"### {path}\n")[2].partition("\n### ")[0]
    for parameter in node.params:
        if parameter.name not in {"home", "url", "token_file", "output", "help"}:
            assert any(f"`{name}`" in section for name in (*parameter.opts, parameter.metavar)), (
                parameter.name
            )
            assert parameter.help, f"{path}: {parameter.name} has no help"


@every_command
def test_every_command_has_help_and_an_example_that_parses(path: str, node: Any) -> None:
    example = example_of(node)
    assert node.help, path
    assert example.startswith(path), example
    assert problem(ROOT, shlex.split(example)[1:]) == ""


@every_command
def test_every_commands_help_shows_its_example(
    path: str, node: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path.split()[1:], "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert " ".join(example_of(node).split()) in shown


def test_every_exit_code_is_documented() -> None:
    text = reference()
    for code, meaning in MEANINGS.items():
        assert f"| {int(code)} | {meaning} |" in text


def test_a_document_without_the_marker_is_refused() -> None:
    with pytest.raises(ValueError, match="Below this line"):
        updated("# Title\n")
    assert updated(f"# Title\n\n{MARKER}\nold").startswith(f"# Title\n\n{MARKER}\n\n## Exit codes")
