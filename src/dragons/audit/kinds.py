"""Which statement every kind of receipt carries, and whose signature it needs."""

from __future__ import annotations

from typing import NamedTuple

from dragons.authority import catalogue, dock, lease, revocation
from dragons.core.canonical import Document
from dragons.core.keys import KeyRole
from dragons.core.vocabulary import Kind
from dragons.evidence import receipt
from dragons.identity import records
from dragons.liveness import dispatch, policy


class StatementKind(NamedTuple):
    """A statement's DSSE kind, its document and the role of the key that signs it."""

    name: str
    document: type[Document]
    signer: KeyRole


_ABANDONMENT = StatementKind(receipt.ABANDONMENT, receipt.Abandonment, KeyRole.ISSUER)
_LEASE = StatementKind(lease.LEASE, lease.Lease, KeyRole.ISSUER)

STATEMENTS: dict[Kind, tuple[StatementKind, ...]] = {
    Kind.TENANT_CREATED: (StatementKind(records.TENANT, records.Tenant, KeyRole.ROOT),),
    Kind.KEY_REGISTERED: (StatementKind(records.KEY, records.Key, KeyRole.ROOT),),
    Kind.KEY_REVOKED: (StatementKind(records.KEY_REVOCATION, records.KeyRevocation, KeyRole.ROOT),),
    Kind.CATALOGUE_PUBLISHED: (StatementKind(catalogue.CATALOGUE, catalogue.Catalogue, KeyRole.OPERATOR),),
    Kind.MANIFEST_REGISTERED: (StatementKind(records.REGISTRATION, records.Registration, KeyRole.OPERATOR),),
    Kind.VERSION_ACTIVATED: (StatementKind(records.ACTIVATION, records.Activation, KeyRole.OPERATOR),),
    Kind.AGENT_DOCKED: (StatementKind(dock.DOCK, dock.Dock, KeyRole.OPERATOR),),
    Kind.REVOKED: (
        StatementKind(revocation.REVOCATION, revocation.Revocation, KeyRole.OPERATOR),
        StatementKind(revocation.WITHDRAWAL, revocation.Withdrawal, KeyRole.ISSUER),
    ),
    Kind.LEASE_ISSUED: (_LEASE,),
    Kind.LEASE_RENEWED: (_LEASE,),
    Kind.LEASE_DELEGATED: (StatementKind(lease.DELEGATION, lease.Delegation, KeyRole.INSTANCE),),
    Kind.LEASE_RELEASED: (StatementKind(lease.RELEASE, lease.Release, KeyRole.INSTANCE),),
    Kind.SESSION_OPENED: (StatementKind(receipt.SESSION, receipt.Session, KeyRole.INSTANCE),),
    Kind.ACTION_AUTHORIZED: (StatementKind(receipt.DECISION, receipt.Decision, KeyRole.ISSUER),),
    Kind.WORK: (StatementKind(receipt.CLAIM, receipt.Claim, KeyRole.INSTANCE), _ABANDONMENT),
    Kind.SESSION_CLOSED: (
        StatementKind(receipt.CLOSING, receipt.Closing, KeyRole.INSTANCE),
        _ABANDONMENT,
    ),
    Kind.DENIED: (StatementKind(receipt.DENIAL, receipt.Denial, KeyRole.ISSUER),),
    Kind.STATE_CHANGED: (StatementKind(receipt.TRANSITION, receipt.Transition, KeyRole.ISSUER),),
    Kind.INTERVENTION: (StatementKind(receipt.INTERVENTION, receipt.Intervention, KeyRole.OPERATOR),),
    Kind.ERASED: (StatementKind(receipt.ERASURE, receipt.Erasure, KeyRole.OPERATOR),),
    Kind.POLICY_PUBLISHED: (StatementKind(policy.POLICY, policy.Policy, KeyRole.OPERATOR),),
    Kind.DISPATCH_ORDERED: (StatementKind(dispatch.DISPATCH_ORDER, dispatch.Dispatch, KeyRole.OPERATOR),),
    Kind.DISPATCH_ENDED: (StatementKind(receipt.DISPATCH_END, receipt.DispatchEnd, KeyRole.ISSUER),),
    Kind.REDISPATCHED: (StatementKind(receipt.REDISPATCH, receipt.Redispatch, KeyRole.ISSUER),),
    Kind.NOTIFIED: (StatementKind(receipt.DELIVERY, receipt.Delivery, KeyRole.ISSUER),),
}
