"""Publishing a capability catalogue: signed by an operator, versioned in the ledger."""

from __future__ import annotations

from functools import lru_cache

from dragons.authority.catalogue import CATALOGUE, Catalogue
from dragons.control.caller import Caller
from dragons.control.compromise import is_spoiled
from dragons.control.ports import Appended, Reader, Transaction
from dragons.control.rows import CatalogueRow
from dragons.control.statements import check_date, take_operator_statement
from dragons.core.canonical import encode
from dragons.core.clock import parse_time
from dragons.core.errors import ConflictError
from dragons.core.statement import Envelope, parse_envelope
from dragons.core.vocabulary import Kind, Risk


def publish_catalogue(tx: Transaction, caller: Caller, statement: Envelope) -> Appended:
    """Make `statement` the tenant's catalogue; ConflictError unless it is the next version."""
    body, _ = take_operator_statement(tx, caller, statement, CATALOGUE, Catalogue)
    check_date("published_at", parse_time(body.published_at), tx.now_ms)
    current = tx.catalogue(caller.tenant_id)
    following = 1 if current is None else current.version + 1
    if body.version != following:
        raise ConflictError(
            "version_conflict",
            f"The next catalogue is version {following}, not {body.version}.",
            fix="Somebody published meanwhile; look at it and publish again.",
        )
    tx.put_catalogue(CatalogueRow(caller.tenant_id, body.version, encode(statement), tx.now_ms))
    return tx.append(caller.tenant_id, Kind.CATALOGUE_PUBLISHED, statement)


def current_catalogue(reader: Reader, tenant_id: str) -> Catalogue | None:
    """The catalogue in force, None before the first was published or when its signer was compromised."""
    row = reader.catalogue(tenant_id)
    if row is None or _is_spoiled(reader, row):
        return None
    return parse_envelope(row.statement).body(CATALOGUE, Catalogue)


def risks(reader: Reader, tenant_id: str) -> dict[str, Risk]:
    """The risk of every capability in force; not to be changed by the caller."""
    row = reader.catalogue(tenant_id)
    return {} if row is None or _is_spoiled(reader, row) else _parsed(row.statement)[1]


def _is_spoiled(reader: Reader, row: CatalogueRow) -> bool:
    return is_spoiled(reader, row.tenant_id, _parsed(row.statement)[0], row.published_ms)


@lru_cache(maxsize=256)
def _parsed(statement: bytes) -> tuple[str, dict[str, Risk]]:
    """The signer's key id and the risks."""
    envelope = parse_envelope(statement)
    body = envelope.body(CATALOGUE, Catalogue)
    return envelope.signatures[0].keyid, {name: one.risk for name, one in body.capabilities.items()}
