"""The statements of an instance: made from facts, signed with its key. Pure.

Never holds a payload: a statement commits to one by its salted hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from dragons.authority.lease import DELEGATION, RELEASE, Delegation, Lease, Release
from dragons.core.capability import scope_of
from dragons.core.clock import format_time, parse_time
from dragons.core.ids import CLAIM as CLAIM_PREFIX
from dragons.core.ids import SESSION as SESSION_PREFIX
from dragons.core.ids import new_id
from dragons.core.keys import LocalSigner, PublicKey
from dragons.core.statement import Envelope, sign
from dragons.core.vocabulary import Outcome
from dragons.evidence.payload import Payload, commit
from dragons.evidence.receipt import CLAIM, CLOSING, SESSION, Claim, Closing, Session
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat, Progress, Waiting
from dragons.sdk.likeness import likeness_of
from dragons.sdk.localstore import Entry, closing_name

DETAIL_LENGTH_MAX = 500


class StepName(NamedTuple):
    """What happens once: a step of a task. `key` is what the control plane gets to know of it."""

    task: str
    step: str
    key: str


class Evidence(NamedTuple):
    """Something that an action read or wrote, by name, digest and size."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Cycle:
    """One action from start to end; times are the control plane's, in milliseconds."""

    capability: str
    resource: str
    arguments: dict[str, Any]
    started_ms: int
    ended_ms: int
    elapsed_ms: int
    outcome: Outcome
    ending: dict[str, Any]
    evidence: list[Evidence] = field(default_factory=list)
    reason: str = ""
    count: int = 1
    decision_id: str = ""
    name: StepName | None = None


class Made(NamedTuple):
    """A statement with the payload that it commits to, ready to be kept together."""

    payload: Payload
    entry: Entry


class Child(NamedTuple):
    """Who is to hold a delegated lease: the key's private half stays with the child."""

    agent: str
    instance_id: str
    key: PublicKey


class Ending(NamedTuple):
    """How a program ended: completed or failed, and how, such as `exit status 3`."""

    outcome: Outcome
    detail: str


class Opening(NamedTuple):
    """A new session's id and its first statement."""

    session_id: str
    made: Made


@dataclass(frozen=True, slots=True)
class Stating:
    """Who states: the lease's holder and its key."""

    lease: Lease
    signer: LocalSigner

    def session(self, goal: str, scope: list[str], at_ms: int, *, parent_session_id: str = "") -> Opening:
        """A goal, before work on it begins."""
        lease = self.lease
        session_id = new_id(SESSION_PREFIX, at_ms)
        payload = commit({"goal": goal, "scope": scope})
        body = Session(
            session_id=session_id,
            tenant_id=lease.tenant_id,
            instance_id=lease.instance_id,
            lease_id=lease.lease_id,
            epoch=lease.epoch,
            scope=scope,
            payload_hash=payload.payload_hash,
            opened_at=format_time(at_ms),
            parent_session_id=parent_session_id or msgspec.UNSET,
        )
        entry = self._entry(session_id, session_id, SESSION, sign(SESSION, body, self.signer))
        return Opening(session_id, Made(payload, entry))

    def claim(self, session_id: str, goal: str, cycle: Cycle) -> Made:
        """What was done, or what was denied."""
        lease = self.lease
        action = {"capability": cycle.capability, "resource": cycle.resource, "arguments": cycle.arguments}
        if cycle.name is not None:
            action |= {"task": cycle.name.task, "step": cycle.name.step}
        status = {"status": cycle.outcome.value, **cycle.ending}
        payload = commit(
            {
                "goal": goal,
                "action": action,
                "outcome": status,
                "evidence": [one._asdict() for one in cycle.evidence],
            }
        )
        body = Claim(
            claim_id=new_id(CLAIM_PREFIX, cycle.ended_ms),
            tenant_id=lease.tenant_id,
            instance_id=lease.instance_id,
            lease_id=lease.lease_id,
            epoch=lease.epoch,
            session_id=session_id,
            action=cycle.capability,
            started_at=format_time(cycle.started_ms),
            ended_at=format_time(cycle.ended_ms),
            elapsed_ms=cycle.elapsed_ms,
            payload_hash=payload.payload_hash,
            evidence=[one.sha256 for one in cycle.evidence],
            outcome=cycle.outcome,
            reason=cycle.reason or msgspec.UNSET,
            count=cycle.count if cycle.count > 1 else msgspec.UNSET,
            decision_id=cycle.decision_id or msgspec.UNSET,
            step_key=msgspec.UNSET if cycle.name is None else cycle.name.key,
            likeness=msgspec.UNSET
            if cycle.outcome is Outcome.DENIED
            else likeness_of(self.signer, {"action": action, "outcome": status}),
        )
        return Made(payload, self._entry(body.claim_id, session_id, CLAIM, sign(CLAIM, body, self.signer)))

    def closing(
        self, session_id: str, content: dict[str, Any], outcome: Outcome, evidence: list[Evidence], at_ms: int
    ) -> Made:
        """How a session ended."""
        lease = self.lease
        payload = commit({**content, "evidence": [one._asdict() for one in evidence]})
        body = Closing(
            session_id=session_id,
            tenant_id=lease.tenant_id,
            instance_id=lease.instance_id,
            lease_id=lease.lease_id,
            outcome=outcome,
            payload_hash=payload.payload_hash,
            evidence=[one.sha256 for one in evidence],
            closed_at=format_time(at_ms),
        )
        entry = self._entry(closing_name(session_id), session_id, CLOSING, sign(CLOSING, body, self.signer))
        return Made(payload, entry)

    def release(self, at_ms: int, ending: Ending | None = None) -> Envelope:
        """The lease is given back; `ending` says how the program ended, where that was watched."""
        lease = self.lease
        body = Release(
            tenant_id=lease.tenant_id,
            lease_id=lease.lease_id,
            instance_id=lease.instance_id,
            released_at=format_time(at_ms),
            outcome=msgspec.UNSET if ending is None else ending.outcome,
            detail=msgspec.UNSET if ending is None else ending.detail[:DETAIL_LENGTH_MAX],
        )
        return sign(RELEASE, body, self.signer)

    def delegation(self, child: Child, scope: list[str], at_ms: int, ttl_seconds: int) -> Envelope:
        """A child may hold part of this lease, for `ttl_seconds` at most."""
        lease = self.lease
        ends_ms = min(parse_time(lease.expires_at), at_ms + ttl_seconds * 1000)
        body = Delegation(
            tenant_id=lease.tenant_id,
            parent_lease_id=lease.lease_id,
            parent_instance_id=lease.instance_id,
            agent=child.agent,
            instance_id=child.instance_id,
            instance_key=child.key.raw,
            scope=scope_of(scope),
            not_after=format_time(ends_ms),
            created_at=format_time(at_ms),
        )
        return sign(DELEGATION, body, self.signer)

    def heartbeat(
        self, sequence: int, at_ms: int, progress: Progress | None, waiting: Waiting | None = None
    ) -> Envelope:
        """A sign of life, with progress where there is some, and with the waiting that is declared."""
        lease = self.lease
        body = Heartbeat(
            tenant_id=lease.tenant_id,
            instance_id=lease.instance_id,
            lease_id=lease.lease_id,
            epoch=lease.epoch,
            sequence=sequence,
            sent_at=format_time(at_ms),
            progress=msgspec.UNSET if progress is None else progress,
            waiting=msgspec.UNSET if waiting is None else waiting,
        )
        return sign(HEARTBEAT, body, self.signer)

    def _entry(self, name: str, session_id: str, kind: str, statement: Envelope) -> Entry:
        return Entry(name, self.lease.instance_id, session_id, kind, statement)
