"""The birth of a tenant: root, ledger, issuer and first operator, signed by the root, as receipts 0 to 2."""

from __future__ import annotations

from typing import NamedTuple

from dragons.control.keys import ROLES, key_row
from dragons.control.ports import Transaction
from dragons.control.rows import KeyRow, TenantRow
from dragons.core.clock import format_time, parse_time
from dragons.core.errors import ConflictError, ForbiddenError, InvalidInputError
from dragons.core.ids import TENANT as TENANT_PREFIX
from dragons.core.ids import new_id
from dragons.core.keys import KeyRole, PublicKey, Signer
from dragons.core.statement import Envelope, is_signed_by, sign
from dragons.core.vocabulary import Kind
from dragons.identity.records import KEY, TENANT, Key, Tenant

ISSUER_LIFE_MS = 366 * 24 * 3600 * 1000
OPERATOR_LIFE_MS = 2 * 366 * 24 * 3600 * 1000
# Keys are backdated a little, as leases are, because machines' clocks differ.
BACKDATE_MS = 60_000


class Genesis(NamedTuple):
    """The root-signed statements a tenant begins with: its own, then its first keys."""

    tenant: Envelope
    keys: tuple[Envelope, ...]


class FirstKeys(NamedTuple):
    """The keys of a new tenant. The root signs and then goes offline."""

    root: Signer
    ledger: Signer
    issuer: Signer
    operator: Signer


def prepare_genesis(name: str, operator_name: str, keys: FirstKeys, now_ms: int) -> tuple[str, Genesis]:
    """A new tenant's id and its signed statements."""
    tenant_id = new_id(TENANT_PREFIX, now_ms)
    tenant = Tenant(
        tenant_id=tenant_id,
        name=name,
        root_key=keys.root.public_key.raw,
        ledger_key=keys.ledger.public_key.raw,
        created_at=format_time(now_ms - BACKDATE_MS),
    )
    issuer = _key(
        tenant_id,
        keys.issuer,
        role="issuer",
        subject="control plane",
        roles=[],
        now_ms=now_ms,
        life_ms=ISSUER_LIFE_MS,
    )
    operator = _key(
        tenant_id,
        keys.operator,
        role="operator",
        subject=operator_name,
        roles=["admin", "operator"],
        now_ms=now_ms,
        life_ms=OPERATOR_LIFE_MS,
    )
    return tenant_id, Genesis(
        sign(TENANT, tenant, keys.root), (sign(KEY, issuer, keys.root), sign(KEY, operator, keys.root))
    )


def create_tenant(tx: Transaction, genesis: Genesis) -> str:
    """Record a tenant; returns its id. ConflictError when it exists, ForbiddenError when not root-signed."""
    body = genesis.tenant.body(TENANT, Tenant)
    root = PublicKey(body.root_key)
    root_id = root.key_id(KeyRole.ROOT)
    if tx.tenant(body.tenant_id) is not None:
        raise ConflictError("tenant_exists", f"{body.tenant_id} exists already.")
    for statement in (genesis.tenant, *genesis.keys):
        if len(statement.signatures) != 1 or not is_signed_by(statement, root_id, root):
            raise ForbiddenError("signature_invalid", "The genesis is not signed by its root key alone.")
    for statement in genesis.keys:
        key = statement.body(KEY, Key)
        expected = PublicKey(key.public_key).key_id(ROLES[key.role]) if key.role in ROLES else ""
        if (key.tenant_id, key.key_id) != (body.tenant_id, expected):
            raise InvalidInputError("genesis_malformed", "A first key is another tenant's, or misnamed.")
    created_ms = parse_time(body.created_at)
    tx.put_tenant(TenantRow(body.tenant_id, body.name, body.root_key, created_ms))
    tx.put_key(first_ledger_key(body))
    tx.append(body.tenant_id, Kind.TENANT_CREATED, genesis.tenant)
    for statement in genesis.keys:
        tx.put_key(key_row(statement.body(KEY, Key), tx.now_ms))
        tx.append(body.tenant_id, Kind.KEY_REGISTERED, statement)
    return body.tenant_id


def first_ledger_key(body: Tenant) -> KeyRow:
    """The row of the ledger key that the genesis names; nothing but a revocation ends it."""
    ledger, created_ms = PublicKey(body.ledger_key), parse_time(body.created_at)
    return KeyRow(
        body.tenant_id, ledger.key_id(KeyRole.LEDGER), "ledger", ledger.raw, "ledger", (),
        created_ms, 253_402_300_799_999, created_ms,
    )  # fmt: skip


def _key(
    tenant_id: str, signer: Signer, *, role: str, subject: str, roles: list[str], now_ms: int, life_ms: int
) -> Key:
    return Key(
        tenant_id=tenant_id,
        key_id=signer.key_id,
        role=role,
        public_key=signer.public_key.raw,
        subject=subject,
        roles=roles,
        not_before=format_time(now_ms - BACKDATE_MS),
        not_after=format_time(now_ms + life_ms),
    )
