"""Governance statements in ledger order: whose signature each needs, and what it changes."""

from __future__ import annotations

from dragons.audit.claims import judge_closing, judge_session
from dragons.audit.leases import HeldLease
from dragons.audit.mandate import Mandate
from dragons.audit.origins import Origins
from dragons.audit.trust import Trust
from dragons.audit.verdicts import Question
from dragons.authority.catalogue import Catalogue
from dragons.authority.dock import Dock
from dragons.authority.lease import Delegation, Lease, Release
from dragons.authority.revocation import Revocation, Target, Withdrawal
from dragons.core.canonical import Document
from dragons.core.keys import KeyRole, PublicKey
from dragons.core.statement import Envelope, is_signed_by
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import (
    Abandonment,
    Closing,
    Decision,
    DispatchEnd,
    Header,
    Intervention,
    Redispatch,
    Session,
    Transition,
)
from dragons.identity.records import KEY_REVOCATION, Activation, KeyRevocation, Registration
from dragons.liveness.dispatch import Dispatch
from dragons.liveness.policy import Policy

# The verdict, the code and the detail of something wrong.
Wrong = tuple[Question, str, str]


class Governance:
    """Trust and mandate together, fed receipt by receipt; `whole` when it is fed with the whole ledger."""

    def __init__(self, pinned: str, *, whole: bool = True) -> None:
        self.trust = Trust(pinned)
        self.mandate = Mandate(whole=whole)
        self._origins = Origins()

    def admit(self, envelope: Envelope, header: Header, body: Document, signer: KeyRole) -> Wrong | None:
        """Check who signed a governance statement and let it take effect; returns what is wrong.

        The genesis is not for here: `Trust.admit_tenant` takes it in before its own header.
        """
        if signer is KeyRole.ROOT:
            return self._by_root(envelope, header)
        entry = self._revoked_signer(envelope, signer) or self.trust.signer(
            envelope, signer, header.issued_at
        )
        if isinstance(entry, str):
            return Question.SIGNER, "statement_signer", entry
        key_id = envelope.signatures[0].keyid
        if not is_signed_by(envelope, key_id, entry.key):
            return Question.SIGNER, "signature_invalid", "the statement's signature does not hold"
        wrong = self._authority(self._take_effect(body, envelope, header))
        if wrong is None and signer is KeyRole.OPERATOR:
            self._origins.note(body, key_id, header.issued_at)
        return wrong

    def judge(self, lease: HeldLease, header: Header, body: Document, envelope: Envelope) -> Wrong | None:
        """What an instance's statement under `lease` lacks in authority, None when nothing.

        The caller has seen to it that the lease's key is the one named, and judges claims itself.
        Sessions and closings leave their signature to the caller; what changes the mandate is
        checked here.
        """
        if isinstance(body, Session):
            return self._authority(judge_session(self.mandate, lease, header, body))
        if isinstance(body, Closing):
            return self._authority(judge_closing(self.mandate, lease, header, body))
        if not is_signed_by(envelope, lease.key_id, PublicKey(lease.body.instance_key)):
            return Question.SIGNER, "signature_invalid", "the instance's signature does not hold"
        if isinstance(body, Delegation):
            return self._authority(self.mandate.admit_delegation(body, envelope, header))
        if isinstance(body, Release):
            if body.instance_id != lease.body.instance_id:
                return Question.AUTHORITY, "instance_mismatch", "the release names another instance"
            lease.released_at = lease.released_at or header.issued_at
        return None

    def _revoked_signer(self, envelope: Envelope, role: KeyRole) -> str | None:
        # An operator may be revoked by another one while the key itself still holds.
        for signature in envelope.signatures if role is KeyRole.OPERATOR else ():
            if self.mandate.is_revoked(Target.OPERATOR, signature.keyid):
                return f"{signature.keyid} was revoked before"
        return None

    def _by_root(self, envelope: Envelope, header: Header) -> Wrong | None:
        if header.kind is Kind.KEY_REGISTERED:
            wrong = self.trust.admit_key(envelope)
        else:
            wrong = self.trust.admit_revocation(envelope, header.issued_at)
            if wrong is None:
                body = envelope.body(KEY_REVOCATION, KeyRevocation)
                self._origins.end(self.mandate, body.key_id, body.compromised_since, header.issued_at)
        return None if wrong is None else (Question.SIGNER, "key_untrusted", wrong)

    def _authority(self, wrong: str | None) -> Wrong | None:
        if wrong is None:
            return None
        code, _, detail = wrong.partition(": ")
        return Question.AUTHORITY, code, detail

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
        if isinstance(body, Activation):
            return mandate.admit_activation(body)
        if isinstance(body, Transition):
            return mandate.organisms.admit_transition(body, header.issued_at)
        if isinstance(body, Decision):
            return mandate.admit_decision(body, header)
        if isinstance(body, Abandonment) and isinstance(body.decision_id, str):
            mandate.decisions.pop(body.decision_id, None)
        return self._of_liveness(body, header)

    def _of_liveness(self, body: Document, header: Header) -> str | None:
        mandate = self.mandate
        if isinstance(body, Withdrawal):
            return mandate.admit_withdrawal(body, header.issued_at)
        if isinstance(body, Intervention):
            return mandate.organisms.admit_intervention(body)
        if isinstance(body, Policy):
            return mandate.admit_policy(body)
        if isinstance(body, Dispatch):
            return mandate.admit_dispatch(body)
        if isinstance(body, Redispatch):
            return mandate.admit_redispatch(body)
        if isinstance(body, DispatchEnd):
            return mandate.dispatches.admit_end(body)
        return None
