"""The program `dragons`: its groups of commands, its exit codes, its way of failing.

Starts fast: nothing here imports a server, a database or the HTTP client.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import dragons
from dragons.cli import (
    agents,
    bench,
    capabilities,
    demo,
    dispatch,
    docks,
    doctor,
    fleet,
    incidents,
    init,
    keys,
    leases,
    ledger,
    manifests,
    mtboi,
    node,
    notifiers,
    packs,
    playbook,
    policies,
    receipts,
    sessions,
    tokens,
    up,
    verify,
)
from dragons.cli import run as run_command
from dragons.cli.context import DEFAULT_HOME, DEFAULT_URL, Globals
from dragons.cli.exits import SHORT_MEANINGS, Exit, Failure, tell

_EPILOG = (
    "Exit codes: "
    + " · ".join(f"{int(code)} {word}" for code, word in SHORT_MEANINGS.items())
    + ". `dragons run` ends with its program's own status. An error is told in two lines: what happened, "
    "and what to do about it.\n\nExample:  dragons demo"
)

app = typer.Typer(
    name="dragons",
    help="Dragons governs autonomous agents and proves what they did.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

# typer carries its own click, so its errors are found by their place above the public one.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dragons {dragons.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    ctx: typer.Context,
    home: Annotated[
        Path,
        typer.Option("--home", metavar="DIR", envvar="DRAGONS_HOME", help="Where keys and data are."),
    ] = DEFAULT_HOME,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            envvar="DRAGONS_URL",
            help=f"The control plane. \\[default: the home's, else {DEFAULT_URL}]",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            envvar="DRAGONS_TOKEN_FILE",
            help="The API token's file. \\[default: the home's]",
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    ctx.obj = Globals(home, url, token_file)


for _module in (
    demo, init, up, run_command, dispatch, node, doctor, bench,
    fleet, incidents, mtboi, capabilities, manifests, agents, docks, policies, playbook, leases, keys, tokens, notifiers,
    verify, packs, sessions, receipts, ledger,
):  # fmt: skip
    _module.register(app)


def main() -> None:
    """The entry point of the `dragons` program."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    try:
        result = app(list(arguments), prog_name="dragons", standalone_mode=False)
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        sys.stderr.write("stopped\n")
        return 130
    except BrokenPipeError:
        # The reader went away; the interpreter would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except _UsageError as error:
        return _usage(error, arguments)
    return result if isinstance(result, int) else 0


def _usage(error: Exception, arguments: Sequence[str]) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        # The help went out when typer made the error.
        return int(Exit.OK)
    path = context.command_path if context is not None else "dragons"
    message = getattr(error, "format_message", lambda: str(error))().strip()
    failure = Failure("usage", message, f"See `{path} --help`.", Exit.USAGE)
    return tell(failure, as_json=_asks_json(arguments))


def _asks_json(arguments: Sequence[str]) -> bool:
    """True when the command line asks for JSON; it could not be parsed, so its words are looked at."""
    words = [*arguments[: list(arguments).index("--")]] if "--" in arguments else list(arguments)
    pairs = zip(words, [*words[1:], ""], strict=True)
    return any(
        word in {"-ojson", "--output=json", "-o=json"} or (word in {"-o", "--output"} and following == "json")
        for word, following in pairs
    )
