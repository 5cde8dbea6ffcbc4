"""An incident told from the ledger: who it was, what it did, what went wrong, what was done, how it ended.

Pure: takes receipts and says what each of them states. An incident's row only says where to look; no state
row is believed. Never shows a payload: only the hash that commits to one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from dragons.audit.kinds import STATEMENTS
from dragons.authority.dock import Dock
from dragons.authority.lease import Lease
from dragons.authority.revocation import Revocation
from dragons.control.records import record_of
from dragons.control.retelling import Fact, retell
from dragons.control.rows import IncidentRow, ReceiptRow
from dragons.core.canonical import Document, decode
from dragons.core.statement import Envelope
from dragons.evidence.receipt import (
    Delivery,
    DispatchEnd,
    Header,
    Intervention,
    Redispatch,
)
from dragons.identity.records import Activation, Registration, version_name
from dragons.liveness.dispatch import Dispatch
from dragons.liveness.policy import EVERY_AGENT, Policy

_DOCUMENTS = {one.name: one.document for several in STATEMENTS.values() for one in several}


class Phase(StrEnum):
    """Where in the story a receipt belongs."""

    IDENTITY = "identity"
    BEFORE = "before"
    INCIDENT = "incident"
    AFTER = "after"


class Line(NamedTuple):
    """One receipt, retold. `signed_by` is the key id on its statement, `payload_hash` empty without a payload."""

    seq: int
    receipt_id: str
    issued_ms: int
    kind: str
    phase: Phase
    what: str
    signed_by: str
    instance_id: str
    facts: Mapping[str, Fact]
    payload_hash: str


class Story(NamedTuple):
    """Who it was, then what happened, each in the ledger's order.

    `unrelated` counts receipts in between that are another story: of other instances or incidents.
    """

    lines: tuple[Line, ...]
    unrelated: int


class _Read(NamedTuple):
    row: ReceiptRow
    header: Header
    statement: Envelope
    body: Document


def reconstruct(incident: IncidentRow, receipts: Iterable[ReceiptRow]) -> Story:
    """The story of `incident` in `receipts`, which may hold more than belongs to it, in any order."""
    read = [_read(row) for row in {row.seq: row for row in receipts}.values()]
    read.sort(key=lambda one: one.row.seq)
    cast = _Cast(incident, read)
    identity: list[Line] = []
    lines: list[Line] = []
    unrelated = 0
    for one in read:
        phase = _phase(incident, one)
        if cast.concerns(one, phase):
            (identity if phase is Phase.IDENTITY else lines).append(_line(one, phase))
        elif phase is not Phase.IDENTITY:
            unrelated += 1
    return Story((*identity, *lines), unrelated)


class _Cast:
    """Who and what takes part: the instances of the dispatch, and what the first of them stood on."""

    def __init__(self, incident: IncidentRow, read: list[_Read]) -> None:
        self._incident = incident
        self.instances = {incident.instance_id}
        self._names: set[str] = {incident.instance_id, incident.agent}
        lease: Lease | None = None
        for one in read:
            body = one.body
            if isinstance(body, Lease) and body.dispatch_id == incident.dispatch_id:
                self.instances.add(body.instance_id)
                self._names |= {body.instance_id, body.lease_id, body.dock_id, body.authorized_by}
                self._names.add(version_name(body.agent, body.version))
                if body.instance_id == incident.instance_id and lease is None:
                    lease = body
        self._lease = lease
        self._newest = self._standing(read)

    def concerns(self, one: _Read, phase: Phase) -> bool:
        """True when a receipt belongs to the incident."""
        if phase is Phase.IDENTITY:
            return one.row.seq in self._newest
        body, instance_id = one.body, one.header.instance_id
        if isinstance(instance_id, str):
            return instance_id in self.instances
        if isinstance(body, Revocation):
            return body.target in self._names
        if isinstance(body, Intervention):
            return self._is_meant(body)
        if isinstance(body, Delivery):
            return body.incident_id == self._incident.incident_id
        if isinstance(body, Redispatch | DispatchEnd | Dispatch):
            return body.dispatch_id == self._incident.dispatch_id
        # What is of the agent and of no instance: a refused launch, a policy, an activation.
        return self._is_of_agent(one)

    def _is_meant(self, body: Intervention) -> bool:
        if isinstance(body.dispatch_id, str):
            return body.dispatch_id == self._incident.dispatch_id
        return body.agent == self._incident.agent

    def _is_of_agent(self, one: _Read) -> bool:
        if isinstance(one.body, Policy):
            return one.body.agent in {EVERY_AGENT, self._incident.agent}
        agent = one.header.agent
        return isinstance(agent, str) and agent.partition("@")[0] == self._incident.agent

    def _standing(self, read: list[_Read]) -> set[int]:
        """The receipts that the instance stood on when the incident began: the newest of each, by seq."""
        found: dict[str, int] = {}
        for one in read:
            name = self._rests_on(one)
            if name and one.row.seq < self._incident.opened_seq:
                found[name] = one.row.seq
        # An agent's own policy counts before the one for every agent.
        if "own policy" in found:
            found.pop("policy", None)
        return set(found.values())

    def _rests_on(self, one: _Read) -> str:
        body, lease = one.body, self._lease
        if isinstance(body, Policy):
            own = body.agent == self._incident.agent
            return "own policy" if own else ("policy" if body.agent == EVERY_AGENT else "")
        if isinstance(body, Dispatch):
            return "dispatch" if body.dispatch_id == self._incident.dispatch_id else ""
        if lease is None:
            return ""
        if isinstance(body, Registration):
            return "registration" if body.manifest_hash == lease.manifest_hash else ""
        if isinstance(body, Activation):
            return "activation" if body.manifest_hash == lease.manifest_hash else ""
        if isinstance(body, Dock):
            return "dock" if body.dock_id == lease.dock_id else ""
        # The first statement of the lease; its renewals are part of what came before.
        first = isinstance(body, Lease) and body.lease_id == lease.lease_id and body.serial == 0
        return "lease" if first else ""


_IDENTITY = Policy | Dispatch | Registration | Activation | Dock


def _phase(incident: IncidentRow, one: _Read) -> Phase:
    if one.row.seq >= incident.opened_seq:
        closed = incident.closed_seq
        return Phase.AFTER if closed is not None and one.row.seq > closed else Phase.INCIDENT
    if isinstance(one.body, _IDENTITY):
        return Phase.IDENTITY
    body = one.body
    own = isinstance(body, Lease) and body.serial == 0 and body.instance_id == incident.instance_id
    return Phase.IDENTITY if own else Phase.BEFORE


def _read(row: ReceiptRow) -> _Read:
    statement = record_of(row).statement
    document = _DOCUMENTS[statement.kind]
    return _Read(row, decode(Header, row.header), statement, decode(document, row.statement))


def _line(one: _Read, phase: Phase) -> Line:
    what, facts = retell(one.body, one.header)
    payload = one.header.payload_hash
    instance_id = one.header.instance_id
    return Line(
        seq=one.row.seq,
        receipt_id=one.row.receipt_id,
        issued_ms=one.row.issued_ms,
        kind=one.row.kind,
        phase=phase,
        what=what,
        signed_by=one.statement.signatures[0].keyid,
        instance_id=instance_id if isinstance(instance_id, str) else "",
        facts=facts,
        payload_hash=payload if isinstance(payload, str) else "",
    )
