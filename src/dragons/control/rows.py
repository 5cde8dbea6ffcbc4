"""What the store keeps beside the ledger: current state by noun, each row derived from receipts.

Times are epoch milliseconds. Envelopes are kept as canonical JSON bytes.
"""

from __future__ import annotations

import msgspec

from dragons.core.vocabulary import OrganismState


class Row(msgspec.Struct, frozen=True, gc=False):
    """Made, copied and compared in C: a heartbeat does each of these several times.

    The garbage collector needn't look into rows, because nothing in them can form a cycle.
    """


class TenantRow(Row, frozen=True):
    tenant_id: str
    name: str
    root_key: bytes
    created_ms: int


class KeyRow(Row, frozen=True):
    """`role` is operator, issuer or ledger; a revoked key has `revoked_ms` and `compromised_ms`."""

    tenant_id: str
    key_id: str
    role: str
    public_key: bytes
    subject: str
    roles: tuple[str, ...]
    not_before_ms: int
    not_after_ms: int
    registered_ms: int
    revoked_ms: int | None = None
    compromised_ms: int | None = None


class TokenRow(Row, frozen=True):
    """An API token; only its SHA-256 is kept. It acts for the operator key `key_id`."""

    token_id: str
    tenant_id: str
    token_hash: str
    key_id: str
    role: str
    label: str
    created_ms: int
    expires_ms: int
    revoked_ms: int | None = None


class CatalogueRow(Row, frozen=True):
    tenant_id: str
    version: int
    statement: bytes
    published_ms: int


class VersionRow(Row, frozen=True):
    """A manifest on the record as `agent@v<version>`."""

    tenant_id: str
    agent: str
    version: int
    manifest_hash: str
    statement: bytes
    registered_ms: int
    registered_by: str


class ActivationRow(Row, frozen=True):
    tenant_id: str
    agent: str
    ordinal: int
    version: int
    manifest_hash: str
    activated_ms: int
    activated_by: str
    reason: str


class DockRow(Row, frozen=True):
    tenant_id: str
    dock_id: str
    agent: str
    statement: bytes
    created_ms: int


class InstanceRow(Row, frozen=True):
    """One running copy. Its scope and times come from its current lease.

    `owed_ms`, `dead`, `fenced` and `fence_ms` are as in `dragons.liveness.organism.Organism`; `seen_work`
    is the memory of `dragons.liveness.progress`, `repeats` how often work was repeated since progress.
    `halted_ms` is when it first lost its authority for good, `last_work` its newest receipt of progress.
    `begun_seq` and `halted_seq` are the places of the receipts that say when it began and when it was halted.
    """

    tenant_id: str
    instance_id: str
    agent: str
    version: int
    manifest_hash: str
    public_key: bytes
    dock_id: str
    dispatch_id: str
    epoch: int
    lease_id: str
    state: OrganismState
    state_reason: str
    state_since_ms: int
    started_ms: int
    stopped_ms: int | None = None
    pulse_ms: int | None = None
    beat_sequence: int = 0
    beats: int = 0
    progress_sequence: int = 0
    progress_ms: int | None = None
    progress_source: str = ""
    last_beat: bytes = b""
    progress_digest: str = ""
    owed_ms: int = 0
    waiting_for: str = ""
    seen_work: bytes = b""
    repeats: int = 0
    dead: int = 0
    fenced: int = 0
    fence_ms: int = 0
    node: str = ""
    incident_id: str = ""
    halted_ms: int | None = None
    last_work: str = ""
    begun_seq: int | None = None
    halted_seq: int | None = None


class LeaseRow(Row, frozen=True):
    """The newest statement of a lease; `path` are the entries whose revocation ends it.

    `not_after_ms` is the end that a delegating parent wished for; no renewal goes beyond it. `gaps` are
    pairs: from its end to a late renewal, in [from, until), the lease gave no authority.
    """

    tenant_id: str
    lease_id: str
    instance_id: str
    agent: str
    dock_id: str
    serial: int
    epoch: int
    depth: int
    statement: bytes
    scope: tuple[str, ...]
    delegate_scope: tuple[str, ...]
    path: tuple[str, ...]
    issued_ms: int
    not_before_ms: int
    expires_ms: int
    parent_lease_id: str | None = None
    released_ms: int | None = None
    not_after_ms: int | None = None
    gaps: tuple[int, ...] = ()


class SessionRow(Row, frozen=True):
    tenant_id: str
    session_id: str
    instance_id: str
    agent: str
    lease_id: str
    opened_ms: int
    closed_ms: int | None = None
    outcome: str = ""


class RevocationRow(Row, frozen=True):
    """`entry` is `kind:target` as in `dragons.authority.revocation`."""

    tenant_id: str
    ordinal: int
    entry: str
    revoked_ms: int


class DecisionRow(Row, frozen=True):
    """An action that the control plane authorized and that awaits its receipt; `step_key` or empty."""

    tenant_id: str
    decision_id: str
    session_id: str
    instance_id: str
    action: str
    decided_ms: int
    step_key: str = ""


class DenialRow(Row, frozen=True):
    """Equal denials of one subject (an instance, or an agent whose launch was refused) since its last receipt."""

    tenant_id: str
    subject: str
    agent: str
    instance_id: str
    action: str
    reason: str
    detail: str
    count: int
    first_ms: int
    last_ms: int


class ReceiptRow(Row, frozen=True):
    """A receipt as stored: everything a record is made of, and what it is found by."""

    tenant_id: str
    seq: int
    receipt_id: str
    kind: str
    issued_ms: int
    header: bytes
    header_signature: bytes
    ledger_key_id: str
    statement_type: str
    statement: bytes
    statement_signatures: bytes
    leaf_hash: bytes
    agent: str | None = None
    agent_seq: int | None = None
    session_id: str | None = None
    session_position: int | None = None
    claim_id: str | None = None


class PolicyRow(Row, frozen=True):
    """A version of an agent's liveness policy; `agent` is `*` for those without one of their own."""

    tenant_id: str
    agent: str
    version: int
    statement: bytes
    published_ms: int


class DispatchRow(Row, frozen=True):
    """A dispatch that the control plane supervises. `state` is open, held, completed, failed or cancelled.

    `restarts` are the times (epoch milliseconds) of starts ordered by healing since an operator last
    released it.
    """

    tenant_id: str
    dispatch_id: str
    agent: str
    dispatcher: str
    target: str
    statement: bytes
    state: str
    state_reason: str
    created_ms: int
    restarts: tuple[int, ...] = ()
    ended_ms: int | None = None


class OrderRow(Row, frozen=True):
    """An order to a dispatcher: `kind` is start or stop; it may be taken from `due_ms` on.

    `instance_id` is whom a stop is for, `outcome` done, failed or superseded once it is over, `handover`
    the canonical JSON of `dragons.evidence.receipt.Handover` or empty.
    """

    tenant_id: str
    order_id: str
    dispatch_id: str
    agent: str
    kind: str
    epoch: int
    dispatcher: str
    target: str
    instance_id: str
    due_ms: int
    created_ms: int
    handover: bytes = b""
    taken_ms: int | None = None
    done_ms: int | None = None
    outcome: str = ""
    detail: str = ""


class NodeRow(Row, frozen=True):
    """A node as it last reported; `number` is that of its newest whole report."""

    tenant_id: str
    node: str
    first_ms: int
    seen_ms: int
    running: int
    version: str
    number: int = 0


class HoldRow(Row, frozen=True):
    """An agent that an operator quarantined: nothing of it is launched. `receipt_id` says who and why."""

    tenant_id: str
    agent: str
    since_ms: int
    reason: str
    receipt_id: str


class IncidentRow(Row, frozen=True):
    """A dispatch's time away from `running`: the seqs of its first and last receipts."""

    tenant_id: str
    incident_id: str
    agent: str
    dispatch_id: str
    instance_id: str
    opened_ms: int
    opened_seq: int
    state: str
    reason: str
    closed_ms: int | None = None
    closed_seq: int | None = None
    resolution: str = ""


class TimerRow(Row, frozen=True):
    """Something to look at when `due_ms` has come: `kind` is organism or order, `key` its name."""

    tenant_id: str
    kind: str
    key: str
    due_ms: int


class MessageRow(Row, frozen=True):
    """A message in the outbox: `facts` (canonical JSON) go through a template to `channel`.

    It is due at `due_ms`; once it is over `outcome` is delivered or failed.
    """

    tenant_id: str
    message_id: str
    channel: str
    topic: str
    facts: bytes
    created_ms: int
    due_ms: int
    attempts: int = 0
    incident_id: str = ""
    done_ms: int | None = None
    outcome: str = ""
    detail: str = ""


class StepRow(Row, frozen=True):
    """A step that happens once, as it was last begun; completed by a receipt.

    `attempt` tells a repeated question from a second beginning. `decision_id` is empty after the agent
    said that the step did not happen: it may begin again.
    """

    tenant_id: str
    step_key: str
    agent: str
    instance_id: str
    epoch: int
    session_id: str
    action: str
    decision_id: str
    attempt: str
    begun_ms: int
    completed_ms: int | None = None
    receipt_id: str = ""


class PresenceRow(Row, frozen=True):
    """When the control plane last swept this tenant, and after which pause it counts as having been away."""

    tenant_id: str
    seen_ms: int
    outage_after_ms: int = 30_000


class OutageRow(Row, frozen=True):
    """A time in which the control plane did not sweep, and so could not be reached."""

    tenant_id: str
    from_ms: int
    until_ms: int
