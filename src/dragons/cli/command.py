"""How a command is made: the options every command has, its example, its errors.

`command` is used instead of typer's own decorator. A command is a function whose first argument is
the `Cli`; it returns nothing or its exit code. DragonsError and OSError become the two lines of
`dragons.cli.exits`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from dragons.cli.context import Cli, Globals
from dragons.cli.exits import failure_of, tell
from dragons.cli.output import Format
from dragons.core.errors import DragonsError

# How the program's help is divided.
START = "Start here"
GOVERN = "Govern: who is it, what may it do, is it alive"
PROVE = "Prove: what did it do"

_PANEL = "Options of every command"

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", metavar="DIR", help="Where keys and data are. [$DRAGONS_HOME]", rich_help_panel=_PANEL
    ),
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The control plane. [$DRAGONS_URL]", rich_help_panel=_PANEL),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="The API token's file. [$DRAGONS_TOKEN_FILE]",
        rich_help_panel=_PANEL,
    ),
]
OutputOption = Annotated[
    Format,
    typer.Option("-o", "--output", help="A table for people or JSON for machines.", rich_help_panel=_PANEL),
]

# Their parameter names, for the reference.
COMMON_OPTIONS = ("home", "url", "token_file", "output")

_Command = TypeVar("_Command", bound=Callable[..., int | None])
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def command(
    app: typer.Typer,
    name: str,
    *,
    example: str,
    data: bool = True,
    trailing: bool = False,
    panel: str | None = None,
) -> Callable[[_Command], _Command]:
    """Add the decorated function to `app` as `name`.

    `data` gives it `-o`; `trailing` leaves everything after the first argument to the command.
    """

    def register(function: _Command) -> _Command:
        settings = {"ignore_unknown_options": True, "allow_interspersed_args": False} if trailing else None
        wrapped = with_common_options(function, data=data)
        # A literal bracket would be read as markup.
        epilog = f"Example:  {example}".replace("[", r"\[")
        app.command(name, epilog=epilog, context_settings=settings, rich_help_panel=panel)(wrapped)
        return function

    return register


def group(app: typer.Typer, name: str, help_text: str, *, panel: str) -> typer.Typer:
    """A new group of commands below `app`, shown under `panel` in its help."""
    inner = typer.Typer(help=help_text, no_args_is_help=True, add_completion=False)
    app.add_typer(inner, name=name, rich_help_panel=panel)
    return inner


def with_common_options(function: Callable[..., int | None], *, data: bool) -> Callable[..., None]:
    """`function` as typer shall see it: without its `Cli`, with the options that every command has."""

    def call(ctx: typer.Context, **given: Any) -> None:  # noqa: ANN401 - the command's own options
        shared = ctx.obj if isinstance(ctx.obj, Globals) else Globals()
        wanted = given.pop("output", Format.TABLE)
        cli = Cli(shared.overridden(given.pop("home"), given.pop("url"), given.pop("token_file")), wanted)
        try:
            code = function(cli, **given)
        except (DragonsError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            code = tell(failure_of(error), as_json=wanted is Format.JSON)
        raise typer.Exit(int(code or 0))

    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [context, *(p.replace(kind=_KEYWORD) for p in own), *_common(data=data)]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # read by inspect
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    call.__doc__ = function.__doc__
    call.__name__ = function.__name__
    return call


def _common(*, data: bool) -> list[inspect.Parameter]:
    options: list[tuple[str, object, object]] = [
        ("home", HomeOption, None),
        ("url", UrlOption, None),
        ("token_file", TokenFileOption, None),
    ]
    if data:
        options.append(("output", OutputOption, Format.TABLE))
    return [inspect.Parameter(n, _KEYWORD, annotation=kind, default=default) for n, kind, default in options]
