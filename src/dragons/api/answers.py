"""What the use cases return, as the wire's responses. A refusal becomes a 403 with its reason code."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import msgspec

from dragons.authority.revocation import Target, entry
from dragons.control.catalogue import risks
from dragons.control.denials import Refused
from dragons.control.issue import Grant
from dragons.control.ports import Appended, Transaction
from dragons.control.revoke import revocations_view
from dragons.core.clock import format_time
from dragons.core.errors import ForbiddenError
from dragons.core.keys import Signer
from dragons.core.statement import Envelope
from dragons.wire.authority import Granted
from dragons.wire.base import Recorded

T = TypeVar("T")


def granted_or_raise(outcome: T | Refused) -> T:
    """The outcome of a use case; ForbiddenError when it refused, which is on the record already."""
    if isinstance(outcome, Refused):
        raise ForbiddenError(outcome.reason.value, f"Denied: {outcome.detail}.")
    return outcome


def recorded(appended: Appended) -> Recorded:
    """The receipt of a statement."""
    return Recorded(
        receipt_id=appended.receipt_id,
        seq=appended.seq,
        chain_root=appended.chain_root,
        issued_at=appended.issued_at,
    )


class Around(NamedTuple):
    """What the holder of a lease needs beside it, read in the transaction that issued it."""

    risks: dict[str, str]
    revocations: Envelope
    now_ms: int


def around(tx: Transaction, tenant_id: str, issuer: Signer) -> Around:
    """The tenant's catalogue risks and signed revocations as of this transaction."""
    return Around(
        {name: risk.value for name, risk in risks(tx, tenant_id).items()},
        revocations_view(tx, tenant_id, 0, issuer, tx.now_ms),
        tx.now_ms,
    )


def granted(grant: Grant, near: Around, issuer: Signer, interval_seconds: int) -> Granted:
    """A lease on the wire. `above` is what ends it besides what the lease itself names."""
    path = list(grant.lease.path)
    return Granted(
        lease=grant.statement,
        token=grant.token,
        dock=grant.dock,
        issuer_key=issuer.public_key.raw,
        issuer_key_id=issuer.key_id,
        risks=near.risks,
        revocations=near.revocations,
        interval_seconds=interval_seconds,
        now=format_time(near.now_ms),
        above=path[path.index(entry(Target.LEASE, grant.lease.lease_id)) + 1 :],
    )


def text_of(value: str | msgspec.UnsetType) -> str:
    """An optional field of a document as the wire shows it."""
    return "" if isinstance(value, msgspec.UnsetType) else value
