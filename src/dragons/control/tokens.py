"""API tokens: bearer secrets bound to an operator key. Only their SHA-256 is kept.

A token opens the API's doors; it can't sign, so it creates no authority by itself.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from dragons.control.caller import Caller
from dragons.control.ports import Reader, Transaction
from dragons.control.rows import TokenRow
from dragons.control.statements import operator_holds
from dragons.core.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from dragons.core.hashing import sha256_hex
from dragons.core.ids import TOKEN, new_id
from dragons.core.vocabulary import Role

PREFIX = "dgt_"

_FIX = "Get a new one with a valid operator key: dragons tokens issue --key FILE --role ROLE --label NAME."

# A keyholder has the key itself, which bounds its tokens by `_CEILING` alone.
_RANK = {Role.KEYHOLDER: 4, Role.ADMIN: 3, Role.OPERATOR: 2, Role.LAUNCHER: 1, Role.AUDITOR: 0}
# What an operator key's roles let its tokens be.
_CEILING = {
    "admin": frozenset({Role.ADMIN, Role.OPERATOR, Role.LAUNCHER, Role.AUDITOR}),
    "operator": frozenset({Role.OPERATOR, Role.LAUNCHER, Role.AUDITOR}),
    "auditor": frozenset({Role.AUDITOR}),
}


class TokenWish(NamedTuple):
    """What kind of token to make; `secret_hash` is SHA-256 of the whole token text."""

    role: Role
    label: str
    ttl_seconds: int
    secret_hash: str


def hash_token(token: str) -> str:
    """How a token is looked up."""
    return sha256_hex(token.encode())


def issue_api_token(tx: Transaction, caller: Caller, wish: TokenWish) -> TokenRow:
    """Record a token for the caller's operator key, no mightier than that key and the caller's own token."""
    key = tx.key(caller.tenant_id, caller.key_id)
    if key is None or not operator_holds(tx, key, tx.now_ms):
        raise ForbiddenError(
            "signer_not_valid",
            f"{caller.key_id} is no valid operator key.",
            fix="Use a key that `dragons keys list` shows as valid.",
        )
    allowed = {role for name in key.roles for role in _CEILING.get(name, frozenset())}
    if wish.role not in allowed or _RANK[wish.role] > _RANK[caller.role]:
        raise ForbiddenError(
            "role_exceeded",
            f"{caller.key_id}, asked for by the role {caller.role}, can't have a token of the role {wish.role}.",
            fix="Ask for a lesser role; `dragons keys list` shows what the key may.",
        )
    row = TokenRow(
        token_id=new_id(TOKEN, tx.now_ms),
        tenant_id=caller.tenant_id,
        token_hash=wish.secret_hash,
        key_id=caller.key_id,
        role=wish.role.value,
        label=wish.label,
        created_ms=tx.now_ms,
        expires_ms=tx.now_ms + wish.ttl_seconds * 1000,
    )
    tx.put_token(row)
    return row


def revoke_api_token(tx: Transaction, caller: Caller, token_id: str) -> None:
    """End a token; NotFoundError when the tenant has no such token."""
    for row in tx.tokens(caller.tenant_id):
        if row.token_id == token_id:
            if row.revoked_ms is None:
                tx.put_token(replace(row, revoked_ms=tx.now_ms))
            return
    raise NotFoundError(
        "token_missing", f"There is no token {token_id}.", fix="`dragons tokens list` shows the tokens."
    )


def authenticate_token(reader: Reader, token: str, now_ms: int) -> Caller:
    """The caller behind an API token; UnauthenticatedError when it, or its operator key, has ended."""
    row = reader.token(hash_token(token))
    if row is None or row.revoked_ms is not None:
        raise UnauthenticatedError("token_invalid", "The API token is unknown or revoked.", fix=_FIX)
    if now_ms >= row.expires_ms:
        raise UnauthenticatedError("token_expired", "The API token has expired.", fix=_FIX)
    key = reader.key(row.tenant_id, row.key_id)
    if key is None or not operator_holds(reader, key, now_ms):
        raise UnauthenticatedError(
            "token_key_ended", f"The operator key {row.key_id} behind the API token has ended.", fix=_FIX
        )
    return Caller(row.tenant_id, Role(row.role), key_id=row.key_id, token_id=row.token_id)
