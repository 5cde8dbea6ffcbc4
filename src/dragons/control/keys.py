"""Keys on the record: registration, rotation and revocation, each signed by the tenant's root."""

from __future__ import annotations

from msgspec.structs import replace

from dragons.authority.revocation import Target, entry
from dragons.control.aftermath import Compromised, follow_up
from dragons.control.caller import Caller
from dragons.control.compromise import spoiled_dispatches, spoiled_leases, spoiled_versions
from dragons.control.organism import look_again
from dragons.control.ports import Appended, Reader, Transaction
from dragons.control.rows import KeyRow, RevocationRow
from dragons.control.statements import take_body
from dragons.core.clock import parse_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from dragons.core.keys import KeyRole, PublicKey, Signer
from dragons.core.statement import Envelope, check_shape, is_signed_by
from dragons.core.vocabulary import Kind
from dragons.identity.records import KEY, KEY_REVOCATION, Key, KeyRevocation

ROLES = {"operator": KeyRole.OPERATOR, "issuer": KeyRole.ISSUER, "ledger": KeyRole.LEDGER}
OPERATOR_ROLES = frozenset({"admin", "operator", "auditor"})


def register_key(tx: Transaction, caller: Caller, statement: Envelope) -> Appended:
    """Record a key that the root signed; a rotation is signed by the replaced key as well."""
    body = take_body(caller, statement, KEY, Key)
    expected = {_root_id(tx, caller)} | ({body.replaces} if isinstance(body.replaces, str) else set())
    _check_root(tx, caller, statement, expected)
    role = ROLES.get(body.role)
    public = PublicKey(body.public_key)
    if role is None or public.key_id(role) != body.key_id:
        raise InvalidInputError(
            "key_id_mismatch", f"{body.key_id} does not follow from the key and its role."
        )
    if not set(body.roles) <= OPERATOR_ROLES or (body.roles and body.role != "operator"):
        raise InvalidInputError("key_roles", f"Roles of an operator are {sorted(OPERATOR_ROLES)}.")
    if parse_time(body.not_after) <= parse_time(body.not_before):
        raise InvalidInputError("key_validity", "The key ends before it begins.")
    if tx.key(caller.tenant_id, body.key_id) is not None:
        raise ConflictError("key_exists", f"{body.key_id} is registered already.")
    if isinstance(body.replaces, str):
        old = tx.key(caller.tenant_id, body.replaces)
        if old is None or old.role != body.role:
            raise NotFoundError("key_missing", f"{body.replaces} is no {body.role} key of this tenant.")
        if not is_signed_by(statement, body.replaces, PublicKey(old.public_key)):
            raise ForbiddenError("signature_invalid", "A rotation is signed by the key that it replaces.")
    tx.put_key(key_row(body, tx.now_ms))
    return tx.append(caller.tenant_id, Kind.KEY_REGISTERED, statement)


def revoke_key(tx: Transaction, issuer: Signer, caller: Caller, statement: Envelope) -> Appended:
    """Record the end of a key. An operator's takes the leases under its docks with it.

    What it gave since it was compromised ends too: a thief's version or dispatch runs under other docks.
    """
    body = take_body(caller, statement, KEY_REVOCATION, KeyRevocation)
    _check_root(tx, caller, statement, {_root_id(tx, caller)})
    row = tx.key(caller.tenant_id, body.key_id)
    if row is None:
        raise NotFoundError("key_missing", f"{body.key_id} is no key of this tenant.")
    if row.revoked_ms is not None:
        raise ConflictError("key_revoked", f"{body.key_id} is revoked already.")
    since_ms = parse_time(body.compromised_since)
    tx.put_key(replace(row, revoked_ms=parse_time(body.revoked_at), compromised_ms=since_ms))
    dispatches = spoiled_dispatches(tx, caller.tenant_id, body.key_id, since_ms)
    ended = [
        entry(Target.OPERATOR, body.key_id),
        *spoiled_versions(tx, caller.tenant_id, body.key_id, since_ms),
        *spoiled_leases(tx, caller.tenant_id, dispatches),
    ]
    for ordinal, name in enumerate(ended, tx.revocation_count(caller.tenant_id)):
        tx.put_revocation(RevocationRow(caller.tenant_id, ordinal, name, tx.now_ms))
    look_again(tx, caller.tenant_id, ended)
    appended = tx.append(caller.tenant_id, Kind.KEY_REVOKED, statement)
    if row.role == "operator":
        compromised = Compromised(caller.tenant_id, body.key_id, since_ms, appended.receipt_id)
        follow_up(tx, issuer, compromised, dispatches)
    return appended


def key_row(body: Key, now_ms: int) -> KeyRow:
    """The row of a registered key."""
    return KeyRow(
        tenant_id=body.tenant_id,
        key_id=body.key_id,
        role=body.role,
        public_key=body.public_key,
        subject=body.subject,
        roles=tuple(body.roles),
        not_before_ms=parse_time(body.not_before),
        not_after_ms=parse_time(body.not_after),
        registered_ms=now_ms,
    )


def _root_id(reader: Reader, caller: Caller) -> str:
    tenant = reader.tenant(caller.tenant_id)
    if tenant is None:
        raise NotFoundError("tenant_missing", "The tenant does not exist.")
    return PublicKey(tenant.root_key).key_id(KeyRole.ROOT)


def _check_root(reader: Reader, caller: Caller, statement: Envelope, expected: set[str]) -> None:
    check_shape(statement)
    tenant = reader.tenant(caller.tenant_id)
    root_id = _root_id(reader, caller)
    signers = {signature.keyid for signature in statement.signatures}
    if (
        tenant is None
        or signers != expected
        or not is_signed_by(statement, root_id, PublicKey(tenant.root_key))
    ):
        raise ForbiddenError(
            "signature_invalid",
            "The statement is not signed by the tenant's root key.",
            fix="Sign it with root.pem, which should be kept offline.",
        )
