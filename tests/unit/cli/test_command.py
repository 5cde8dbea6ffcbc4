from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import pytest
import typer

from dragons.cli.command import command, group
from dragons.cli.context import Cli, Globals
from dragons.cli.output import Format
from dragons.core.errors import InvalidInputError, NotFoundError


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer(rich_markup_mode="rich")
    inner = group(made, "things", "Things.", panel="P")

    def show(
        cli: Cli,
        *,
        name: Annotated[str, typer.Argument()],
        count: Annotated[int, typer.Option("--count")] = 1,
    ) -> int:
        """Show a thing."""
        if name == "missing":
            raise NotFoundError("thing_missing", "There is no such thing.", fix="Make one.")
        if name == "disk":
            raise OSError(28, "No space left on device", "file")
        cli.printer.data({"name": name, "count": count, "home": str(cli.home)}, lambda: f"{name} {count}")
        return 1 if name == "no" else 0

    def quiet(cli: Cli, *, words: Annotated[list[str], typer.Argument()]) -> None:
        """Take words."""
        typer.echo(" ".join(words))
        assert cli.printer.format is Format.TABLE

    command(inner, "show", example="dragons things show [a]")(show)
    command(inner, "quiet", example="dragons things quiet", data=False, trailing=True)(quiet)
    return made


def call(app: typer.Typer, *words: str) -> int:
    result = app(list(words), prog_name="dragons", standalone_mode=False)
    return result if isinstance(result, int) else 0


def test_a_command_gets_its_own_and_the_common_options(
    app: typer.Typer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(app, "things", "show", "a", "--count", "3", "--home", str(tmp_path), "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == {"name": "a", "count": 3, "home": str(tmp_path)}


def test_what_a_command_returns_is_its_exit_code(app: typer.Typer) -> None:
    assert call(app, "things", "show", "no") == 1
    assert call(app, "things", "show", "yes") == 0


def test_errors_are_told(app: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(app, "things", "show", "missing") == 3
    assert capsys.readouterr().err == "error: There is no such thing. [thing_missing]\nfix: Make one.\n"
    assert call(app, "things", "show", "missing", "-o", "json") == 3
    assert json.loads(capsys.readouterr().err)["error"]["exit"] == 3
    assert call(app, "things", "show", "disk") == 6


def test_the_example_is_in_the_help(app: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    call(app, "things", "show", "--help")
    out = capsys.readouterr().out
    assert "Example:  dragons things show [a]" in out
    assert "Options of every command" in out
    assert "--output" in out


def test_a_command_without_data_has_no_format(app: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    call(app, "things", "quiet", "--help")
    assert "--output" not in capsys.readouterr().out


def test_trailing_words_belong_to_the_program(app: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(app, "things", "quiet", "--", "ls", "--home", "-o", "json") == 0
    assert capsys.readouterr().out == "ls --home -o json\n"


def test_a_commands_option_wins_over_the_programs() -> None:
    shared = Globals(Path("/a"), "http://a", Path("/ta"))
    assert shared.overridden(None, None, None) == shared
    assert shared.overridden(Path("/b"), "http://b", Path("/tb")) == (Path("/b"), "http://b", Path("/tb"))


def test_malformed_input_is_usage(app: typer.Typer) -> None:
    inner = typer.Typer()
    app.add_typer(inner, name="more")

    def fails(_cli: Cli) -> None:
        raise InvalidInputError("x", "m")

    command(inner, "fail", example="e")(fails)
    command(inner, "other", example="e")(lambda _cli: None)
    assert call(app, "more", "fail") == 2
    assert call(app, "more", "other") == 0
