"""`dragons keys`: who may sign for the tenant. Every change is signed by the root key.

The root key is asked for where it is needed and never sent anywhere; keep it offline and bring it
back with `--root-key`. A rotation can be repeated after a crash at any point.
"""

from __future__ import annotations

from base64 import b64decode
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dragons.cli.command import GOVERN, command, group
from dragons.cli.context import ROOT_FILE, Cli
from dragons.cli.rotation import rotate_operator, rotate_service
from dragons.cli.values import moment, parse_duration, parse_moment
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.keys import KeyRole, LocalSigner, PublicKey

RootKeyOption = Annotated[
    Path | None,
    typer.Option("--root-key", metavar="FILE", help="root.pem. [default: the home's operator folder]"),
]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file", metavar="FILE", help="The root key's passphrase; asked for when absent."
    ),
]
TtlOption = Annotated[str, typer.Option("--ttl", help="How long the new key is valid.")]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY_ID", help="The key's id, for example opk_….")]


class Rotated(StrEnum):
    """Whose key is replaced."""

    OPERATOR = "operator"
    ISSUER = "issuer"
    LEDGER = "ledger"


class OperatorRole(StrEnum):
    """What an operator may do."""

    ADMIN = "admin"
    OPERATOR = "operator"
    AUDITOR = "auditor"


def register(app: typer.Typer) -> None:
    """Add `dragons keys …`."""
    inner = group(
        app, "keys", "Keys: who may sign for the tenant, vouched for by its root key.", panel=GOVERN
    )
    command(inner, "list", example="dragons keys list")(list_keys)
    command(inner, "show", example="dragons keys show opk_5f0c9a1b2c3d4e5f60718293a4b5c6d7")(show)
    command(inner, "fingerprint", example="dragons keys fingerprint")(fingerprint)
    command(inner, "rotate", example="dragons keys rotate operator --root-key /media/usb/root.pem")(rotate)
    command(
        inner,
        "revoke",
        example='dragons keys revoke opk_5f0c9a1b2c3d4e5f60718293a4b5c6d7 --reason "laptop stolen" --compromised-since 2d',
    )(revoke)
    command(
        inner, "add-operator", example='dragons keys add-operator "Ada Li" --role operator --out ada.pem'
    )(add_operator)


def list_keys(cli: Cli) -> None:
    """List the tenant's keys, ended ones included."""
    found = cli.client.keys()
    cli.printer.rows(
        found,
        ("key", "role", "subject", "may", "status", "valid until"),
        [(k.key_id, k.role, k.subject, k.roles, k.status, moment(k.not_after)) for k in found.keys],
        empty="There is no key.",
    )


def show(cli: Cli, key: KeyArgument) -> None:
    """Show one key."""
    for view in cli.client.keys().keys:
        if view.key_id == key:
            cli.printer.facts(
                view,
                [
                    ("key", view.key_id),
                    ("role", view.role),
                    ("subject", view.subject),
                    ("may", view.roles),
                    ("status", view.status),
                    ("public key", view.public_key.hex()),
                    ("valid", f"{moment(view.not_before)} to {moment(view.not_after)}"),
                    ("revoked", moment(view.revoked_at or "")),
                    ("not trusted since", moment(view.compromised_since or "")),
                ],
            )
            return
    raise NotFoundError("key_missing", f"There is no key {key}.", fix="`dragons keys list` shows the keys.")


def fingerprint(
    cli: Cli,
    root_key: Annotated[
        Path | None, typer.Option("--root-key", metavar="FILE", help="Compute it from this root key instead.")
    ] = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Show the tenant's root fingerprint: what auditors pin. Hand it over apart from any pack."""
    if root_key is not None:
        value = cli.key(root_key, KeyRole.ROOT, passphrase_file).public_key.fingerprint
        source = str(root_key)
    else:
        value, source = cli.config.root_fingerprint, str(cli.home / "config.json")
        if not value:
            raise NotFoundError("root_unknown", f"{source} names no root.", fix="Give --root-key FILE.")
    if cli.printer.as_json:
        cli.printer.facts({"root_fingerprint": value, "source": source}, [])
    else:
        typer.echo(value)


def rotate(
    cli: Cli,
    *,
    role: Annotated[Rotated, typer.Argument(metavar="ROLE", help="operator, issuer or ledger.")],
    root_key: RootKeyOption = None,
    passphrase_file: PassphraseOption = None,
    ttl: TtlOption = "365d",
) -> None:
    """Replace a key by a new one, signed by the root key and by the old one.

    A new operator key gets an API token of its own, which replaces the home's. Issuer and ledger keys
    are replaced on the control plane's own machine, which takes the new one up without a restart.
    """
    root = _root(cli, root_key, passphrase_file)
    ttl_ms = parse_duration(ttl) * 1000
    if role is Rotated.OPERATOR:
        old, new = rotate_operator(cli, root, ttl_ms)
        cli.printer.note(
            "The home's API token is of the new key now. Docks and other API tokens of the old key go on. "
            f'Make them anew, then end the old key: dragons keys revoke {old} --reason "rotated"'
        )
    else:
        key_role = KeyRole.ISSUER if role is Rotated.ISSUER else KeyRole.LEDGER
        old, new = rotate_service(cli, root, key_role, ttl_ms)
    cli.printer.facts(
        {"role": role.value, "old": old, "new": new},
        [("role", role.value), ("old", old), ("new", new)],
    )


def revoke(
    cli: Cli,
    *,
    key: KeyArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it goes on the record.")],
    compromised_since: Annotated[
        str | None,
        typer.Option(
            "--compromised-since",
            metavar="TIME",
            help="Signatures since then don't count: a time, or 2d for two days ago.",
        ),
    ] = None,
    root_key: RootKeyOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """End a key. An operator key takes its docks, their leases and its tokens with it."""
    from dragons.sdk.operator import RootHolder

    since = "" if compromised_since is None else parse_moment(compromised_since, cli.clock.now_ms())
    holder = RootHolder(cli.client, _root(cli, root_key, passphrase_file))
    recorded = holder.revoke_key(key, reason=reason, compromised_since=since)
    cli.recorded(recorded, f"{key} is revoked.")


def add_operator(
    cli: Cli,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The person.")],
    role: Annotated[
        list[OperatorRole] | None,
        typer.Option("--role", help="What the person may do. Repeatable. [default: operator]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Make the key here and write it to a new file."),
    ] = None,
    public_key: Annotated[
        str | None,
        typer.Option(
            "--public-key", metavar="KEY", help="The person made the key: its 32 public bytes, hex or base64."
        ),
    ] = None,
    ttl: TtlOption = "365d",
    root_key: RootKeyOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Vouch for a person's operator key with the root key."""
    from dragons.adapters.keyfiles import write_key
    from dragons.sdk.operator import RootHolder

    if (out is None) == (public_key is None):
        raise InvalidInputError(
            "usage",
            "Either the key is made here or the person made it.",
            fix="Give --out FILE or --public-key KEY.",
        )
    root = _root(cli, root_key, passphrase_file)
    if out is not None:
        made = LocalSigner.generate(KeyRole.OPERATOR)
        write_key(out, made)
        public = made.public_key
    else:
        public = parse_public_key(public_key or "")
    roles = [one.value for one in role or [OperatorRole.OPERATOR]]
    holder = RootHolder(cli.client, root)
    recorded = holder.register_key(
        public, KeyRole.OPERATOR, subject=name, roles=roles, ttl_ms=parse_duration(ttl) * 1000
    )
    cli.recorded(recorded, f"{public.key_id(KeyRole.OPERATOR)} of {name} may sign: {', '.join(roles)}.")
    place = out or "FILE"
    cli.printer.note(
        f'Next, an API token for it: dragons tokens issue --key {place} --role {roles[0]} --label "{name}"'
    )


def parse_public_key(text: str) -> PublicKey:
    """A public key written in hex or base64; InvalidInputError when it is none."""
    try:
        raw = bytes.fromhex(text) if len(text) == 64 else b64decode(text, validate=True)  # noqa: PLR2004 - 32 bytes in hex
    except ValueError as error:
        raise InvalidInputError(
            "key_malformed",
            "The public key is neither hex nor base64.",
            fix="Give its 32 bytes in one of the two.",
        ) from error
    return PublicKey(raw)


def _root(cli: Cli, path: Path | None, passphrase_file: Path | None) -> LocalSigner:
    place = path or cli.people / ROOT_FILE
    if not place.is_file():
        raise NotFoundError(
            "root_key_missing",
            f"The root key is not at {place}.",
            fix="Bring it from where it is kept: --root-key FILE.",
        )
    return cli.key(place, KeyRole.ROOT, passphrase_file)
