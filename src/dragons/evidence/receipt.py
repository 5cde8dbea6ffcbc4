"""The receipt: a header that the ledger signs over a statement that somebody else signed.

`chain_root` is SHA-256 of the canonical header; the next header's `parent_root` is this one's
`chain_root`. The Merkle leaf is the canonical record, signatures included, so none can be stripped.
Never holds a payload: only its salted hash.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from dragons.core.canonical import Count, Document, encode
from dragons.core.capability import Scope
from dragons.core.clock import Timestamp
from dragons.core.hashing import Digest, sha256_hex
from dragons.core.ids import Id, InstanceId
from dragons.core.statement import Envelope
from dragons.core.vocabulary import Kind, OrganismState, Outcome

RECEIPT = "receipt"
EVIDENCE_MAX = 64
RECORD_BYTES_MAX = 2_000_000

Unset = msgspec.UnsetType
_UNSET = msgspec.UNSET
Evidence = Annotated[list[Digest], msgspec.Meta(max_length=EVIDENCE_MAX)]
# By length only: a capability counts where it is a member of a checked scope.
Capability = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Header(Document):
    """What the ledger says of a receipt. `seq` is its place in the tenant's WorkLedger, from 0.

    `agent_seq` counts the receipts about one agent, `session_position` those of one session and
    `revocation_seq` revocations of leases, docks and keys, each from 0 without gaps, so that a
    selection proves itself whole. `late` marks work that was reported after its lease had ended.
    """

    receipt_id: Id
    tenant_id: Id
    seq: Count
    kind: Kind
    parent_root: Digest
    statement_hash: Digest
    issued_at: Timestamp
    agent: str | Unset = _UNSET
    agent_seq: Count | Unset = _UNSET
    manifest_hash: Digest | Unset = _UNSET
    instance_id: InstanceId | Unset = _UNSET
    lease_ref: Id | Unset = _UNSET
    epoch: Count | Unset = _UNSET
    session_id: Id | Unset = _UNSET
    session_position: Count | Unset = _UNSET
    session_parent: Digest | Unset = _UNSET
    action: Capability | Unset = _UNSET
    payload_hash: Digest | Unset = _UNSET
    evidence: Evidence | Unset = _UNSET
    organism_state: OrganismState | Unset = _UNSET
    mtboi_seconds: Count | Unset = _UNSET
    outcome: Outcome | Unset = _UNSET
    late: bool | Unset = _UNSET
    corrects: Id | Unset = _UNSET
    revocation_seq: Count | Unset = _UNSET

    def chain_root(self) -> str:
        """SHA-256 of the canonical header, 64 hex digits."""
        return sha256_hex(encode(self))


class Record(Document):
    """A receipt as it is stored, exported and hashed into the log."""

    header: Envelope
    statement: Envelope

    def leaf(self) -> bytes:
        """The canonical bytes that are the leaf of the Merkle log."""
        return encode(self)


CLAIM = "claim"
SESSION = "session"
CLOSING = "closing"
DENIAL = "denial"
DECISION = "decision"
ABANDONMENT = "abandonment"
TRANSITION = "transition"
INTERVENTION = "intervention"
REDISPATCH = "redispatch"
DISPATCH_END = "dispatch-end"
DELIVERY = "delivery"
ERASURE = "erasure"

Text = Annotated[str, msgspec.Meta(max_length=500)]


class Claim(Document):
    """What an instance says it did, signed by its key. `claim_id` makes appending idempotent.

    `count` is how many equal denials one claim stands for; `decision_id` cites the control plane's
    authorization where there was one; `elapsed_ms` is measured on a clock that doesn't jump.
    `likeness` is equal for equal action, arguments and result of one instance, and says no more of
    them: HMAC-SHA256 under a secret of the instance. `step_key` names a step that happens once.
    """

    claim_id: Id
    tenant_id: Id
    instance_id: InstanceId
    lease_id: Id
    epoch: Count
    session_id: Id
    action: Capability
    started_at: Timestamp
    ended_at: Timestamp
    elapsed_ms: Count
    payload_hash: Digest
    evidence: Evidence
    outcome: Outcome
    reason: Text | Unset = _UNSET
    count: Count | Unset = _UNSET
    decision_id: Id | Unset = _UNSET
    corrects: Id | Unset = _UNSET
    likeness: Digest | Unset = _UNSET
    step_key: Digest | Unset = _UNSET


class Session(Document):
    """A goal, committed before execution begins, signed by the instance."""

    session_id: Id
    tenant_id: Id
    instance_id: InstanceId
    lease_id: Id
    epoch: Count
    scope: Scope
    payload_hash: Digest
    opened_at: Timestamp
    parent_session_id: Id | Unset = _UNSET


class Closing(Document):
    """The end of a session, signed by the instance."""

    session_id: Id
    tenant_id: Id
    instance_id: InstanceId
    lease_id: Id
    outcome: Outcome
    payload_hash: Digest
    evidence: Evidence
    closed_at: Timestamp


class Denial(Document):
    """Actions that the control plane refused, signed by the issuer; equal ones are counted together."""

    tenant_id: Id
    instance_id: InstanceId
    action: str
    reason: str
    detail: Text
    count: Count
    first_at: Timestamp
    last_at: Timestamp


class Decision(Document):
    """An action that the control plane authorized before it began, signed by the issuer."""

    decision_id: Id
    tenant_id: Id
    instance_id: InstanceId
    lease_id: Id
    epoch: Count
    session_id: Id
    action: Capability
    decided_at: Timestamp
    step_key: Digest | Unset = _UNSET


class Abandonment(Document):
    """A cycle that its instance never ended, closed by the control plane, signed by the issuer.

    `decision_id` names the abandoned action; without it the session itself is meant.
    """

    tenant_id: Id
    instance_id: InstanceId
    session_id: Id
    why: Text
    abandoned_at: Timestamp
    decision_id: Id | Unset = _UNSET


class Axes(Document):
    """What was known of an instance when its state changed: authority, pulse and progress.

    `heartbeat_hash` is SHA-256 of the last signed heartbeat; what never happened is absent.
    """

    lease_expires_at: Timestamp
    policy_version: Count
    pulse_at: Timestamp | Unset = _UNSET
    beat_sequence: Count | Unset = _UNSET
    heartbeat_hash: Digest | Unset = _UNSET
    progress_at: Timestamp | Unset = _UNSET
    progress_sequence: Count | Unset = _UNSET
    progress_digest: Digest | Unset = _UNSET
    progress_source: Text | Unset = _UNSET
    waiting_for: Text | Unset = _UNSET


class Transition(Document):
    """A change of organism state with its reason, signed by the issuer. `trigger` is the reason's code."""

    tenant_id: Id
    instance_id: InstanceId
    before: OrganismState
    after: OrganismState
    trigger: Text
    reason: Text
    at: Timestamp
    axes: Axes
    dispatch_id: Id
    incident_id: Id | Unset = _UNSET


class Intervention(Document):
    """A person's hand on an instance, a dispatch or all of an agent, signed by the operator: what MTBOI counts.

    `action` is stop, quarantine, release or redispatch; of a dispatch it is stop. Exactly one of
    `instance_id`, `agent` and `dispatch_id` is there.
    """

    tenant_id: Id
    action: Text
    reason: Text
    at: Timestamp
    instance_id: InstanceId | Unset = _UNSET
    agent: Text | Unset = _UNSET
    dispatch_id: Id | Unset = _UNSET


class Handover(Document):
    """Where the work of the instance before had got to, as far as it was verified."""

    instance_id: InstanceId
    epoch: Count
    progress_sequence: Count
    progress_digest: Digest | Unset = _UNSET
    progress_source: Text | Unset = _UNSET
    progress_at: Timestamp | Unset = _UNSET
    session_id: Id | Unset = _UNSET
    receipt_id: Id | Unset = _UNSET


class Redispatch(Document):
    """The control plane orders the next instance of a dispatch, signed by the issuer.

    `fenced_by` says why the one before can't act: its death, the age at which its view denies, its lease's
    end, or `none` for the first. `epoch` is the new instance's.
    """

    tenant_id: Id
    order_id: Id
    dispatch_id: Id
    agent: str
    epoch: Count
    reason: Text
    fenced_by: Text
    not_before: Timestamp
    at: Timestamp
    handover: Handover | Unset = _UNSET


class DispatchEnd(Document):
    """A dispatch is over, signed by the issuer; `outcome` is completed, failed or cancelled."""

    tenant_id: Id
    dispatch_id: Id
    agent: str
    outcome: Text
    reason: Text
    at: Timestamp


class Delivery(Document):
    """A message to a person was delivered or given up, signed by the issuer.

    `message_hash` is SHA-256 of what was sent; `outcome` is delivered or failed.
    """

    tenant_id: Id
    message_id: Id
    channel: Text
    topic: Text
    message_hash: Digest
    outcome: Text
    attempts: Count
    detail: Text
    at: Timestamp
    incident_id: Id | Unset = _UNSET


class Erasure(Document):
    """Payload and salt of these receipts were destroyed, signed by an operator; the receipts stay."""

    tenant_id: Id
    receipts: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=1_000)]
    reason: Text
    erased_at: Timestamp
