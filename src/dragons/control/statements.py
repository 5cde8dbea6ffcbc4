"""Taking in a signed statement: right kind, right tenant, signed by a key that may, now."""

from __future__ import annotations

from typing import TypeVar

from dragons.authority.revocation import Target, entry
from dragons.control.caller import Caller
from dragons.control.ports import Reader, Transaction
from dragons.control.rows import KeyRow
from dragons.core.canonical import Document
from dragons.core.errors import ForbiddenError, InvalidInputError
from dragons.core.keys import PublicKey
from dragons.core.statement import Envelope, check_shape, is_signed_by

SIGNING_ROLES = frozenset({"admin", "operator"})
# How far a signed date may be from the control plane's time.
DATE_SKEW_MS = 10 * 60 * 1000

B = TypeVar("B", bound=Document)


def take_operator_statement(
    tx: Transaction, caller: Caller, envelope: Envelope, kind: str, document: type[B]
) -> tuple[B, KeyRow]:
    """The body of a statement signed by exactly one valid operator key of the caller's tenant.

    InvalidInputError when it is malformed, ForbiddenError when the key may not sign it.
    """
    check_shape(envelope)
    if len(envelope.signatures) != 1:
        raise InvalidInputError(
            "statement_signatures", f"A {kind} statement carries one operator's signature."
        )
    signature = envelope.signatures[0]
    row = tx.key(caller.tenant_id, signature.keyid)
    if row is None or row.role != "operator":
        raise ForbiddenError(
            "signer_unknown",
            f"{signature.keyid} is no operator key of this tenant.",
            fix="Sign with a key that `dragons keys list` shows.",
        )
    if not operator_holds(tx, row, tx.now_ms) or not SIGNING_ROLES & set(row.roles):
        raise ForbiddenError("signer_not_valid", f"{signature.keyid} is revoked, expired or may not sign.")
    if not PublicKey(row.public_key).verify(signature.sig, envelope.pae()):
        raise ForbiddenError("signature_invalid", f"The signature of {signature.keyid} does not hold.")
    return take_body(caller, envelope, kind, document), row


def take_instance_statement(
    caller: Caller, envelope: Envelope, kind: str, document: type[B], key: PublicKey
) -> B:
    """The body of a statement signed by the caller's own instance key."""
    check_shape(envelope)
    if len(envelope.signatures) != 1 or not is_signed_by(envelope, envelope.signatures[0].keyid, key):
        raise ForbiddenError(
            "signature_invalid", f"The {kind} statement is not signed by the instance's key."
        )
    body = take_body(caller, envelope, kind, document)
    if getattr(body, "instance_id", caller.instance_id) != caller.instance_id:
        raise ForbiddenError("instance_mismatch", f"The {kind} statement is about another instance.")
    return body


def take_body(caller: Caller, envelope: Envelope, kind: str, document: type[B]) -> B:
    """The body when it belongs to the caller's tenant; ForbiddenError otherwise."""
    body = envelope.body(kind, document)
    if getattr(body, "tenant_id", None) != caller.tenant_id:
        raise ForbiddenError("tenant_mismatch", "The statement belongs to another tenant.")
    return body


def check_date(what: str, stated_ms: int, now_ms: int) -> None:
    """InvalidInputError when a signed date is not about now, so that old statements can't be replayed late."""
    if abs(stated_ms - now_ms) > DATE_SKEW_MS:
        raise InvalidInputError(
            "date_implausible",
            f"{what} is more than {DATE_SKEW_MS // 60_000} minutes from the control plane's time.",
            fix="Set the clock of the signing machine.",
        )


def operator_holds(reader: Reader, row: KeyRow, now_ms: int) -> bool:
    """True when an operator may act with this key now: it holds, and the operator is not revoked."""
    name = entry(Target.OPERATOR, row.key_id)
    return key_holds(row, now_ms) and reader.is_revoked(row.tenant_id, [name]) is None


def key_holds(row: KeyRow, now_ms: int) -> bool:
    """True when a key's signature of this moment counts."""
    return row.revoked_ms is None and row.not_before_ms <= now_ms < row.not_after_ms
