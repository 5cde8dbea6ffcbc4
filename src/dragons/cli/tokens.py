"""`dragons tokens`: API tokens. A token opens the API's doors; only an operator's key signs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dragons.cli.command import GOVERN, command, group
from dragons.cli.context import Cli
from dragons.cli.values import moment, parse_duration
from dragons.core.errors import ConflictError
from dragons.core.keys import KeyRole


class TokenRole(StrEnum):
    """What a token may ask for."""

    ADMIN = "admin"
    OPERATOR = "operator"
    LAUNCHER = "launcher"
    AUDITOR = "auditor"


def register(app: typer.Typer) -> None:
    """Add `dragons tokens …`."""
    inner = group(app, "tokens", "API tokens for people, launchers and auditors.", panel=GOVERN)
    command(inner, "list", example="dragons tokens list")(list_tokens)
    command(inner, "issue", example="dragons tokens issue --role auditor --label audit-2026 --ttl 30d")(issue)
    command(inner, "revoke", example="dragons tokens revoke tok_019e5f80a1f37cc28d0000000000000a")(revoke)


def list_tokens(cli: Cli) -> None:
    """List the tenant's API tokens; the secrets are never shown again."""
    found = cli.client.tokens()
    cli.printer.rows(
        found,
        ("token", "role", "label", "status", "expires", "operator key"),
        [(t.token_id, t.role, t.label, t.status, moment(t.expires_at), t.key_id) for t in found.tokens],
        empty="There is no token.",
    )


def issue(
    cli: Cli,
    *,
    role: Annotated[TokenRole, typer.Option("--role", help="What it may ask for.")],
    label: Annotated[str, typer.Option("--label", help="Whose it is, for the listing.")],
    ttl: Annotated[str, typer.Option("--ttl", help="How long it lives: 12h, 90d.")] = "90d",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write the token to a new file of mode 0600 instead of showing it."
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="Ask with this operator key instead of a token: a new operator's first one.",
        ),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--passphrase-file", metavar="FILE", help="The key's passphrase; asked for when absent."
        ),
    ] = None,
) -> None:
    """Make a token for your operator key, no mightier than that key."""
    from dragons.adapters.keyfiles import write_secret
    from dragons.sdk.transport import OperatorKey
    from dragons.wire.identity import TokenRequest

    if out is not None and out.exists():
        # Found out before a token is made that nobody would ever see.
        raise ConflictError("file_exists", f"{out} exists already.", fix="Choose another --out.")
    request = TokenRequest(role=role.value, label=label, ttl_seconds=parse_duration(ttl))
    if key is None:
        issued = cli.client.issue_token(request)
    else:
        signer = cli.key(key, KeyRole.OPERATOR, passphrase_file)
        issued = cli.guest.issue_token(request, OperatorKey(cli.tenant_id, signer))
    if out is not None:
        write_secret(out, issued.token.encode() + b"\n")
        cli.printer.note(f"The token is in {out}.")
    else:
        cli.printer.note("The token is shown this once; only its hash is kept.")
    shown = f"in {out}" if out is not None else issued.token
    value = issued.view if out is not None else issued
    cli.printer.facts(
        value,
        [
            ("token", shown),
            ("id", issued.view.token_id),
            ("role", issued.view.role),
            ("label", issued.view.label),
            ("expires", moment(issued.view.expires_at)),
        ],
    )


def revoke(
    cli: Cli, token: Annotated[str, typer.Argument(metavar="TOKEN_ID", help="The token's id, tok_….")]
) -> None:
    """End a token at once."""
    cli.client.revoke_token(token)
    cli.printer.facts({"token_id": token, "status": "revoked"}, [("token", token), ("status", "revoked")])
