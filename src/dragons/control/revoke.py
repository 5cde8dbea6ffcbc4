"""Revoking an id, and the feed from which enforcement points learn of it."""

from __future__ import annotations

from dragons.authority.revocation import (
    REVOCATION,
    REVOCATIONS_VIEW,
    Revocation,
    RevocationsView,
    Target,
    entry,
)
from dragons.control.caller import Caller
from dragons.control.organism import look_again
from dragons.control.ports import Appended, Reader, Transaction
from dragons.control.rows import RevocationRow
from dragons.control.statements import check_date, take_operator_statement
from dragons.core.clock import format_time, parse_time
from dragons.core.errors import ConflictError, InvalidInputError, NotFoundError
from dragons.core.ids import REVOCATION as REVOCATION_PREFIX
from dragons.core.ids import check_id
from dragons.core.keys import Signer
from dragons.core.statement import Envelope, sign
from dragons.core.vocabulary import Kind
from dragons.identity.records import parse_version_name

VIEW_MAX = 10_000
# The highest version number that a registration can carry.
VERSION_MAX = 1_000_000


def revoke(tx: Transaction, caller: Caller, statement: Envelope) -> Appended:
    """Record a revocation; it holds for every decision after this write."""
    body, _ = take_operator_statement(tx, caller, statement, REVOCATION, Revocation)
    check_id(REVOCATION_PREFIX, body.revocation_id)
    check_date("revoked_at", parse_time(body.revoked_at), tx.now_ms)
    _check_target(tx, caller.tenant_id, body)
    name = entry(body.kind, body.target)
    if tx.is_revoked(caller.tenant_id, [name]) is not None:
        raise ConflictError("revoked_already", f"{body.kind} {body.target} is revoked already.")
    ordinal = tx.revocation_count(caller.tenant_id)
    tx.put_revocation(RevocationRow(caller.tenant_id, ordinal, name, tx.now_ms))
    look_again(tx, caller.tenant_id, [name])
    return tx.append(caller.tenant_id, Kind.REVOKED, statement)


def revocations_view(reader: Reader, tenant_id: str, after: int, issuer: Signer, now_ms: int) -> Envelope:
    """The revocations from number `after` on, signed, dated now; at most `VIEW_MAX` at a time."""
    rows = reader.revocations(tenant_id, after)[:VIEW_MAX]
    body = RevocationsView(
        tenant_id=tenant_id,
        after=after,
        count=reader.revocation_count(tenant_id),
        entries=[row.entry for row in rows],
        as_of=format_time(now_ms),
    )
    return sign(REVOCATIONS_VIEW, body, issuer)


def _check_target(reader: Reader, tenant_id: str, body: Revocation) -> None:
    found: object
    if body.kind is Target.VERSION:
        try:
            agent, number = parse_version_name(body.target)
            found = None if number > VERSION_MAX else reader.version(tenant_id, agent, number)
        except ValueError as error:
            raise InvalidInputError("target_malformed", f"{error}.") from error
    elif body.kind is Target.AGENT:
        found = reader.versions(tenant_id, body.target) or None
    elif body.kind is Target.OPERATOR:
        key = reader.key(tenant_id, body.target)
        found = key if key is not None and key.role == "operator" else None
    else:
        find = {
            Target.DOCK: reader.dock,
            Target.INSTANCE: reader.instance,
            Target.LEASE: reader.lease,
        }[body.kind]
        found = find(tenant_id, body.target)
    if found is None:
        raise NotFoundError("target_missing", f"There is no {body.kind} {body.target} in this tenant.")
