"""Denials on the record: the first at once, equal ones counted together, so that a loop can't flood.

A denial's key is (subject, action, reason). Repeats are counted durably and become one receipt
when `AGGREGATE_MS` have passed.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from dragons.control.catalogue import risks
from dragons.control.ports import About, Transaction
from dragons.control.rows import DenialRow
from dragons.core.clock import format_time
from dragons.core.keys import Signer
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind, Outcome, Reason
from dragons.evidence.receipt import DENIAL, Denial

AGGREGATE_MS = 60_000
DETAIL_LENGTH_MAX = 400
# Actions that the control plane itself names; all others must be in the catalogue to be a key.
OWN_ACTIONS = frozenset({"launch", "renew", "delegate", "session", "receipt"})
UNKNOWN_ACTION = "unknown"


class Refused(NamedTuple):
    """A use case that was denied, as data. The denial is on the record."""

    reason: Reason
    detail: str


class Subject(NamedTuple):
    """Whose denial it is: `key` aggregates, `about` fills the receipt's header."""

    tenant_id: str
    key: str
    instance_id: str
    about: About


def record_denial(
    tx: Transaction, issuer: Signer, subject: Subject, action: str, refused: Refused
) -> Refused:
    """Put a denial on the record, or count it with its equals; returns `refused` again."""
    detail = refused.detail[:DETAIL_LENGTH_MAX]
    if action not in OWN_ACTIONS and action not in risks(tx, subject.tenant_id):
        # An agent could invent names without end, each with a receipt of its own.
        action, detail = UNKNOWN_ACTION, f"{action[:128]}: {detail}"[:DETAIL_LENGTH_MAX]
    known = tx.denial(subject.tenant_id, subject.key, action, refused.reason)
    if known is not None:
        tx.put_denial(replace(known, count=known.count + 1, last_ms=tx.now_ms))
        return refused
    row = DenialRow(
        subject.tenant_id, subject.key, subject.about.get("agent", ""), subject.instance_id, action,
        refused.reason.value, detail, 0, tx.now_ms, tx.now_ms,
    )  # fmt: skip
    tx.put_denial(row)
    _append(tx, issuer, replace(row, count=1), subject.about)
    return refused


def flush_denials(tx: Transaction, issuer: Signer, tenant_id: str) -> int:
    """Turn counted repeats older than `AGGREGATE_MS` into receipts; returns how many were made."""
    made = 0
    for row in tx.denials(tenant_id):
        if tx.now_ms - row.first_ms < AGGREGATE_MS:
            continue
        if row.count:
            instance = tx.instance(tenant_id, row.instance_id)
            known = About(agent=row.agent) if row.agent else About()
            if instance is not None:
                known = {
                    **known,
                    "manifest_hash": instance.manifest_hash,
                    "instance_id": instance.instance_id,
                    "lease_ref": instance.lease_id,
                    "epoch": instance.epoch,
                    "organism_state": instance.state,
                }
            _append(tx, issuer, row, known)
            made += 1
        tx.drop_denial(row)
    return made


def _append(tx: Transaction, issuer: Signer, row: DenialRow, known: About) -> None:
    body = Denial(
        tenant_id=row.tenant_id,
        instance_id=row.instance_id,
        action=row.action,
        reason=row.reason,
        detail=row.detail,
        count=row.count,
        first_at=format_time(row.first_ms),
        last_at=format_time(row.last_ms),
    )
    tx.append(row.tenant_id, Kind.DENIED, sign(DENIAL, body, issuer), {**known, "outcome": Outcome.DENIED})
