"""Governance statements in ledger order: whose signature each needs, and what it changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dragons.audit.mandate import Mandate
from dragons.audit.trust import Trust
from dragons.audit.verdicts import Fault, Question
from dragons.authority.catalogue import Catalogue
from dragons.authority.dock import Dock
from dragons.authority.lease import Delegation, Lease, Release
from dragons.authority.revocation import Revocation
from dragons.core.canonical import Document
from dragons.core.keys import KeyRole
from dragons.core.statement import Envelope, is_signed_by
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import Claim, Closing, Decision, Header, Session
from dragons.identity.records import Registration


@dataclass(slots=True)
class Governance:
    """Trust and mandate together, fed receipt by receipt."""

    pinned: str
    trust: Trust = field(init=False)
    mandate: Mandate = field(default_factory=Mandate)

    def __post_init__(self) -> None:
        self.trust = Trust(self.pinned)

    def admit(
        self, envelope: Envelope, header: Header, body: Document, signer: KeyRole
    ) -> list[tuple[Question, Fault]]:
        """Check who signed a governance statement and let it take effect; returns what is wrong."""
        if header.kind is Kind.TENANT_CREATED:
            return []
        if signer is KeyRole.ROOT:
            admit = self.trust.admit_key if header.kind is Kind.KEY_REGISTERED else self.trust.admit_revocation
            wrong = admit(envelope)
            return [] if wrong is None else [(Question.SIGNER, Fault("key_untrusted", wrong))]
        entry = self.trust.signer(envelope, signer, header.issued_at)
        if isinstance(entry, str):
            return [(Question.SIGNER, Fault("statement_signer", entry))]
        if not is_signed_by(envelope, envelope.signatures[0].keyid, entry.key):
            return [(Question.SIGNER, Fault("signature_invalid", "the statement's signature does not hold"))]
        wrong = self._take_effect(body, envelope, header)
        if wrong is None:
            return []
        code, separator, detail = wrong.partition(": ")
        fault = Fault(code, detail) if separator else Fault("statement_refused", wrong)
        return [(Question.AUTHORITY, fault)]

    def judge(self, header: Header, body: Document, envelope: Envelope) -> str | None:
        """What an instance's statement lacks in authority, None when nothing."""
        if isinstance(body, Claim):
            return self.mandate.judge_work(header, body)
        if isinstance(body, Session | Closing):
            return self.mandate.judge_session(header, body)
        if isinstance(body, Delegation):
            return self.mandate.admit_delegation(body, envelope)
        if isinstance(body, Release):
            lease = self.mandate.leases[body.lease_id]
            lease.released_at = lease.released_at or header.issued_at
        return None

    def lease_of(self, body: Any) -> str:  # noqa: ANN401 - one of the instance's statements
        """The lease under which an instance's statement was made."""
        lease_id: str = body.parent_lease_id if isinstance(body, Delegation) else body.lease_id
        return lease_id

    def _take_effect(self, body: Document, envelope: Envelope, header: Header) -> str | None:
        mandate = self.mandate
        if isinstance(body, Lease):
            return mandate.admit_lease(body, envelope, header.issued_at)
        if isinstance(body, Dock):
            return mandate.admit_dock(body, envelope)
        if isinstance(body, Revocation):
            return mandate.admit_revocation(body, header.issued_at)
        if isinstance(body, Catalogue):
            return mandate.admit_catalogue(body)
        if isinstance(body, Registration):
            return mandate.admit_registration(body)
        if isinstance(body, Decision):
            mandate.decisions[body.decision_id] = (body, header.seq)
        return None
