"""Replacing a key by a new one: on the record, then on this machine. Used by `dragons keys rotate`.

Every step may be the last before a crash: repeating the command goes on from there, and no key that
is on the record is lost.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from dragons.cli.context import OPERATOR_FILE, TOKEN_FILE, Cli
from dragons.core.errors import ConflictError, NotFoundError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Role

_NEXT_FILE = "operator-next.pem"
_SHORT_ID = 12
# The mightiest role that a token of a key can have comes first.
_BY_MIGHT = (Role.ADMIN, Role.OPERATOR, Role.AUDITOR)


def rotate_operator(cli: Cli, root: LocalSigner, ttl_ms: int) -> tuple[str, str]:
    """The ids of the old operator key and of the new one, which is the home's from now on, as is its token.

    The new key's file is encrypted when the old one's is, with the same passphrase.
    """
    from dragons.adapters.keyfiles import read_key, write_key
    from dragons.sdk.home import write_secret
    from dragons.sdk.operator import RootHolder

    current, waiting = cli.people / OPERATOR_FILE, cli.people / _NEXT_FILE
    passphrase = cli.passphrase(current, KeyRole.OPERATOR)
    old = read_key(current, KeyRole.OPERATOR, passphrase)
    if waiting.exists():
        # An earlier rotation stopped half-way: its key may be registered already.
        new = read_key(waiting, KeyRole.OPERATOR, passphrase)
    else:
        new = LocalSigner.generate(KeyRole.OPERATOR)
        write_key(waiting, new, passphrase)
    subject, roles = _subject(cli, old.key_id)
    try:
        RootHolder(cli.client, root).register_key(
            new.public_key, KeyRole.OPERATOR, subject=subject, roles=roles, ttl_ms=ttl_ms, replaces=old
        )
    except ConflictError as error:
        if error.code != "key_exists":
            raise
    # Before the files change: what a refused token leaves behind is a rotation to repeat.
    token = _first_token(cli, new, subject, roles)
    retired = cli.people / f"operator-retired-{old.key_id[4 : 4 + _SHORT_ID]}.pem"
    if not retired.exists():
        retired.hardlink_to(current)
    waiting.replace(current)
    if token:
        write_secret(cli.people / TOKEN_FILE, token.encode() + b"\n")
    return old.key_id, new.key_id


def rotate_service(cli: Cli, root: LocalSigner, role: KeyRole, ttl_ms: int) -> tuple[str, str]:
    """The ids of the old and the new key of the control plane on this machine."""
    from dragons.adapters.keyfiles import FileKeyring
    from dragons.sdk.operator import RootHolder

    keyring = FileKeyring(cli.home, os.environ.get("DRAGONS_KEY_PASSPHRASE"))
    old = keyring.issuer(cli.tenant_id) if role is KeyRole.ISSUER else keyring.ledger(cli.tenant_id)
    new = LocalSigner.generate(role)
    subject, _ = _subject(cli, old.key_id)
    RootHolder(cli.client, root).register_key(
        new.public_key, role, subject=subject, ttl_ms=ttl_ms, replaces=old
    )
    keyring.add(cli.tenant_id, new)
    return old.key_id, new.key_id


def _first_token(cli: Cli, key: LocalSigner, subject: str, roles: Sequence[str]) -> str:
    """The mightiest token that a key of these roles can have; empty when it can have none."""
    from dragons.sdk.transport import OperatorKey
    from dragons.wire.identity import LABEL_LENGTH_MAX, TokenRequest

    role = next((role for role in _BY_MIGHT if role.value in roles), None)
    if role is None:
        return ""
    request = TokenRequest(role=role.value, label=(subject or role.value)[:LABEL_LENGTH_MAX])
    return cli.guest.issue_token(request, OperatorKey(cli.tenant_id, key)).token


def _subject(cli: Cli, key_id: str) -> tuple[str, list[str]]:
    for view in cli.client.keys().keys:
        if view.key_id == key_id:
            return view.subject, view.roles
    raise NotFoundError(
        "key_missing", f"{key_id} is not on the record.", fix="`dragons keys list` shows the keys."
    )
