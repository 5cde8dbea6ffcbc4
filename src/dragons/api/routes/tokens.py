"""API tokens: made here, shown once, kept as a hash."""

from __future__ import annotations

from dragons.api import views
from dragons.api.authentication import new_api_token
from dragons.api.operation import Call, Nothing, Operation
from dragons.control.tokens import TokenWish, hash_token, issue_api_token, revoke_api_token
from dragons.core.vocabulary import Role
from dragons.wire.base import Empty
from dragons.wire.identity import TokenIssued, TokenRequest, Tokens


async def list_tokens(call: Call[Empty]) -> Tokens:
    """The tenant's API tokens without their secrets, ended ones included."""
    return await call.read(
        lambda reader: views.tokens(reader, call.caller.tenant_id, call.backend.clock.now_ms())
    )


async def issue(call: Call[TokenRequest]) -> TokenIssued:
    """Make a token for the caller's own operator key, no mightier than the caller.

    Who has the key but no token proves its possession instead: after a rotation, or as a new operator.
    """
    token = new_api_token()
    wish = TokenWish(Role(call.input.role), call.input.label, call.input.ttl_seconds, hash_token(token))
    row = await call.write(lambda tx: issue_api_token(tx, call.caller, wish))
    return TokenIssued(token=token, view=views.token(row, "valid"))


async def revoke(call: Call[Empty]) -> Nothing:
    """End a token at once."""
    token_id = call.path["token_id"]
    await call.write(lambda tx: revoke_api_token(tx, call.caller, token_id))
    return Nothing()


OPERATIONS = (
    Operation("tokens.list", "GET", "/v1/tokens", list_tokens, answer=Tokens),
    Operation("tokens.issue", "POST", "/v1/tokens", issue, TokenRequest, TokenIssued),
    Operation("tokens.revoke", "DELETE", "/v1/tokens/{token_id}", revoke),
)
