"""`dragons init`: the home of a tenant: its keys, its first operator, its first API token.

Never overwrites anything: what is there already is shown as it is.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dragons.cli.command import START, command
from dragons.cli.context import OPERATOR_FILE, ROOT_FILE, Cli, ask_passphrase
from dragons.core.errors import InvalidInputError

if TYPE_CHECKING:
    from dragons.compose import Tenancy
    from dragons.settings import Settings

DEFAULT_TENANT = "default"

NameOption = Annotated[str, typer.Option("--name", help="What the tenant is called.")]
OperatorOption = Annotated[
    str | None, typer.Option("--operator", help="The first operator's name. [default: your user name]")
]


def register(app: typer.Typer) -> None:
    """Add `dragons init`."""
    command(app, "init", example='dragons init --name "Acme Payments" --operator "Ada Li"', panel=START)(init)


def init(
    cli: Cli,
    *,
    name: NameOption = DEFAULT_TENANT,
    operator: OperatorOption = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--passphrase-file",
            metavar="FILE",
            help="Encrypt the root and operator keys with what is in this file.",
        ),
    ] = None,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Ask for a passphrase and encrypt the two keys with it.")
    ] = False,
) -> None:
    """Make a home: a tenant with its root key, its first operator and an API token.

    Running it again changes nothing and shows what is there.
    """
    passphrase = None
    if passphrase_file is not None or encrypt:
        passphrase = ask_passphrase(
            "Passphrase for the root and operator keys", passphrase_file, confirm=True
        )
    made = make_home(settings_of(cli), name, operator, passphrase)
    root = made.folder / ROOT_FILE
    value = {
        "created": made.created,
        "home": str(cli.home),
        "tenant_id": made.tenant_id,
        "root_fingerprint": made.root_fingerprint,
        "root_key": str(root) if root.exists() else "",
        "operator_key": str(made.folder / OPERATOR_FILE),
        "token_file": str(made.token_path),
    }
    cli.printer.note("The home is made." if made.created else "The home was made before; nothing is changed.")
    cli.printer.facts(
        value,
        [
            ("home", cli.home),
            ("tenant", made.tenant_id),
            ("root fingerprint", made.root_fingerprint),
            ("root key", root if root.exists() else "not on this machine"),
            ("operator key", made.folder / OPERATOR_FILE),
            ("API token", made.token_path),
        ],
    )
    if made.created:
        tell_keys(cli, made)
        cli.printer.note("Next: dragons up")


def make_home(settings: Settings, name: str, operator: str | None, passphrase: str | None) -> Tenancy:
    """The home as `create_home` makes or finds it."""
    try:
        from dragons.compose import create_home
    except ModuleNotFoundError as error:
        raise missing_packages(error) from error
    return create_home(settings, name, operator or _user(), passphrase)


def settings_of(cli: Cli, *, host: str | None = None, port: int | None = None) -> Settings:
    """The control plane's settings for this home; InvalidInputError where its packages are not installed."""
    try:
        from dragons.settings import load_settings
    except ModuleNotFoundError as error:
        raise missing_packages(error) from error
    wanted = "console" if sys.stderr.isatty() else None
    return load_settings(home=cli.home, host=host, port=port, log_format=wanted)


def missing_packages(error: ModuleNotFoundError) -> Exception:
    """The base install has no servers: what to install. A module of our own that is missing is no such case."""
    if (error.name or "").partition(".")[0] == "dragons":
        return error
    return InvalidInputError(
        "packages_missing",
        f"This installation has no control plane ({error.name} is not installed).",
        fix="pip install 'dragons-control-plane[control]'",
    )


def tell_keys(cli: Cli, made: Tenancy) -> None:
    """What a person should do with the keys of a new home."""
    cli.printer.note(
        "\nPin the root fingerprint: whoever verifies your evidence needs it, by another way than the evidence."
        f"\nTake {made.folder / ROOT_FILE} offline now (an encrypted stick, a safe). Only key changes need it;"
        "\nwith it anybody can speak for this tenant, without it nobody can replace a lost key."
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"
