"""What every command is given: where the home and the control plane are, and how to print.

Opens nothing before a command asks for it: `dragons verify` needs neither a home nor a network.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dragons.cli.output import Format, Printer
from dragons.cli.values import moment
from dragons.core.clock import SystemClock
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.keys import KeyRole, LocalSigner

if TYPE_CHECKING:
    from dragons.sdk.client import OperatorClient
    from dragons.sdk.home import Config
    from dragons.sdk.operator import Operator
    from dragons.wire.base import Recorded

DEFAULT_HOME = Path("~/.dragons")
DEFAULT_URL = "http://127.0.0.1:7420"
OPERATOR_FILE = "operator.pem"
ROOT_FILE = "root.pem"
TOKEN_FILE = "token"  # noqa: S105 - a file name
PASSPHRASE_VARIABLE = "DRAGONS_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable


class Globals(NamedTuple):
    """The options that may stand before the command; a command's own win."""

    home: Path = DEFAULT_HOME
    url: str | None = None
    token_file: Path | None = None

    def overridden(self, home: Path | None, url: str | None, token_file: Path | None) -> Globals:
        """These options with what was given after the command."""
        return Globals(home or self.home, url or self.url, token_file or self.token_file)


class Cli:
    """The context of one command."""

    def __init__(self, options: Globals, wanted: Format) -> None:
        self.options = options
        self.home = options.home.expanduser().absolute()
        self.printer = Printer(wanted)
        self.clock = SystemClock()

    @cached_property
    def config(self) -> Config:
        """The home's `config.json`; NotFoundError when the home was never made."""
        from dragons.sdk.home import Home

        return Home(self.home).config()

    @property
    def tenant_id(self) -> str:
        """The tenant that this home works for."""
        return self.config.tenant_id

    @cached_property
    def url(self) -> str:
        """The control plane: as given, else the home's, else the usual place on this machine."""
        if self.options.url is not None:
            return self.options.url
        try:
            return self.config.url
        except NotFoundError:
            return DEFAULT_URL

    @property
    def people(self) -> Path:
        """The folder with the operator's key and token."""
        return self.home / "operator" / self.tenant_id

    @property
    def token_file(self) -> Path:
        """The file of the API token."""
        return self.options.token_file or self.people / TOKEN_FILE

    @cached_property
    def client(self) -> OperatorClient:
        """The control plane, as the holder of the API token sees it."""
        from dragons.adapters.keyfiles import read_secret
        from dragons.sdk.client import OperatorClient

        token = read_secret(self.token_file).decode("ascii", "replace").strip()
        return OperatorClient(self.url, token, clock=self.clock)

    @cached_property
    def guest(self) -> OperatorClient:
        """The control plane without a token: for who has an operator key only."""
        from dragons.sdk.client import OperatorClient

        return OperatorClient(self.url, "", clock=self.clock)

    @cached_property
    def operator(self) -> Operator:
        """The operator at work: whose statements count."""
        from dragons.sdk.operator import Operator

        return Operator(self.client, self.signer)

    @cached_property
    def signer(self) -> LocalSigner:
        """The operator's key, which makes statements count."""
        return self.key(self.people / OPERATOR_FILE, KeyRole.OPERATOR)

    def key(self, path: Path, role: KeyRole, passphrase_file: Path | None = None) -> LocalSigner:
        """The private key at `path`; asks for its passphrase where it is encrypted."""
        from dragons.adapters.keyfiles import read_key

        return read_key(path, role, self.passphrase(path, role, passphrase_file))

    def passphrase(self, path: Path, role: KeyRole, file: Path | None = None) -> str | None:
        """What opens the private key at `path`, asked for as `ask_passphrase` does; None where it is open."""
        from dragons.adapters.keyfiles import read_key

        try:
            read_key(path, role)
        except InvalidInputError as error:
            if error.code != "passphrase_missing":
                raise
            return ask_passphrase(f"Passphrase of {path.name}", file)
        return None

    def recorded(self, recorded: Recorded, sentence: str) -> None:
        """Print the receipt that a change left."""
        self.printer.note(sentence)
        self.printer.facts(
            recorded,
            [
                ("receipt", recorded.receipt_id),
                ("seq", recorded.seq),
                ("chain_root", recorded.chain_root),
                ("issued", moment(recorded.issued_at)),
            ],
        )


def ask_passphrase(question: str, file: Path | None, *, confirm: bool = False) -> str:
    """A passphrase from `file`, from $DRAGONS_PASSPHRASE_FILE, or asked for at a terminal."""
    named = os.environ.get(PASSPHRASE_VARIABLE, "")
    path = file or (Path(named) if named else None)
    if path is not None:
        from dragons.adapters.keyfiles import read_secret

        return read_secret(path).decode("utf-8", "replace").rstrip("\r\n")
    if not sys.stdin.isatty():
        raise InvalidInputError(
            "passphrase_missing",
            "A passphrase is needed and there is no terminal to ask at.",
            fix=f"Give --passphrase-file FILE or set {PASSPHRASE_VARIABLE}.",
        )
    import typer

    answer: str = typer.prompt(question, hide_input=True, confirmation_prompt=confirm, err=True)
    return answer
