"""What selected receipts rest on: found in the same ledger, shown in a pack as its context.

A lease with all renewals, the dock, the manifest, the activations, the instance's states, what people did
to it or to its agent, its dispatch with every start, the parents with their delegations. Keys, revocations,
catalogues, policies and erasures are in every pack, so that leaving one out shows. Never holds more than
the context in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dragons.audit.pack import Selection
from dragons.audit.select import Placed, header_of, selects
from dragons.authority import lease as leases
from dragons.authority.lease import DEPTH_MAX, Delegation, Lease
from dragons.core.vocabulary import Kind
from dragons.evidence import receipt
from dragons.evidence.receipt import Claim, Decision, DispatchEnd, Header, Record, Redispatch
from dragons.liveness.dispatch import DISPATCH_ORDER, Dispatch

ALWAYS_CONTEXT = frozenset(
    {
        Kind.TENANT_CREATED,
        Kind.KEY_REGISTERED,
        Kind.KEY_REVOKED,
        Kind.REVOKED,
        Kind.CATALOGUE_PUBLISHED,
        Kind.POLICY_PUBLISHED,
        Kind.ERASED,
    }
)
# Where `find_context` looks for what receipts rest on; decisions only when a claim cites one.
_LEASE_KINDS = frozenset({Kind.LEASE_ISSUED, Kind.LEASE_RENEWED})
_DISPATCH_KINDS: dict[Kind, tuple[str, type[Dispatch | Redispatch | DispatchEnd]]] = {
    Kind.DISPATCH_ORDERED: (DISPATCH_ORDER, Dispatch),
    Kind.REDISPATCHED: (receipt.REDISPATCH, Redispatch),
    Kind.DISPATCH_ENDED: (receipt.DISPATCH_END, DispatchEnd),
}
_RESTS_ON = frozenset(
    {
        *_LEASE_KINDS,
        Kind.LEASE_RELEASED,
        Kind.LEASE_DELEGATED,
        Kind.AGENT_DOCKED,
        Kind.MANIFEST_REGISTERED,
        Kind.VERSION_ACTIVATED,
        Kind.STATE_CHANGED,
        Kind.INTERVENTION,
        *_DISPATCH_KINDS,
    }
)
# A dock, a manifest and DEPTH_MAX parents above a lease are each found one pass after what cites them.
_PASSES_MAX = DEPTH_MAX + 4
Scan = Callable[[frozenset[Kind]], Iterable[Placed]]


@dataclass(slots=True)
class Wanted:
    """Names of what the selected receipts rest on; `note` every selected one, then `find_context`."""

    selection: Selection
    leases: set[str] = field(default_factory=set)
    dispatches: set[str] = field(default_factory=set)
    statements: set[str] = field(default_factory=set)
    manifests: set[str] = field(default_factory=set)
    decisions: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    agents: set[str] = field(default_factory=set)

    def note(self, record: Record) -> None:
        """Add what a selected or context receipt rests on."""
        header = header_of(record)
        if isinstance(header.manifest_hash, str):
            self.manifests.add(header.manifest_hash)
        if isinstance(header.lease_ref, str):
            self.leases.add(header.lease_ref)
        if isinstance(header.agent, str):
            self.agents.add(header.agent.partition("@")[0])
        if header.kind in _LEASE_KINDS:
            self._note_lease(record.statement.body(leases.LEASE, Lease))
        elif header.kind in _DISPATCH_KINDS:
            self.dispatches.add(_dispatch_of(header, record))
        elif header.kind is Kind.LEASE_DELEGATED:
            self.leases.add(record.statement.body(leases.DELEGATION, Delegation).parent_lease_id)
        if self.selection.kind == "window" and isinstance(header.session_id, str):
            self._note_window(record, header.session_id)

    def wants(self, header: Header, record: Record) -> bool:
        """True when the receipt is something that a noted one rests on."""
        if header.kind in _LEASE_KINDS:
            body = record.statement.body(leases.LEASE, Lease)
            # A newer epoch of the same dispatch is what makes an older lease stale.
            return body.lease_id in self.leases or body.dispatch_id in self.dispatches
        if header.kind in {Kind.LEASE_RELEASED, Kind.STATE_CHANGED}:
            return header.lease_ref in self.leases
        if header.kind is Kind.INTERVENTION:
            return header.lease_ref in self.leases or header.agent in self.agents
        if header.kind in _DISPATCH_KINDS:
            return _dispatch_of(header, record) in self.dispatches
        if header.kind is Kind.VERSION_ACTIVATED:
            return str(header.agent).partition("@")[0] in self.agents
        if header.kind is Kind.MANIFEST_REGISTERED:
            return header.manifest_hash in self.manifests
        if header.kind is Kind.SESSION_OPENED:
            return header.session_id in self.sessions
        if header.kind is Kind.ACTION_AUTHORIZED:
            return record.statement.body(receipt.DECISION, Decision).decision_id in self.decisions
        return header.statement_hash in self.statements

    def _note_lease(self, body: Lease) -> None:
        self.leases.add(body.lease_id)
        self.dispatches.add(body.dispatch_id)
        self.manifests.add(body.manifest_hash)
        self.statements.add(body.dock_hash)
        if isinstance(body.parent_lease_id, str):
            self.leases.add(body.parent_lease_id)
        if isinstance(body.delegation_hash, str):
            self.statements.add(body.delegation_hash)

    def _note_window(self, record: Record, session_id: str) -> None:
        # Only a window cuts through sessions: what began before it is shown as context.
        self.sessions.add(session_id)
        if record.statement.kind == receipt.CLAIM:
            claim = record.statement.body(receipt.CLAIM, Claim)
            if isinstance(claim.decision_id, str):
                self.decisions.add(claim.decision_id)

    def size(self) -> int:
        """How many names are wanted."""
        several = (
            self.leases, self.dispatches, self.statements, self.manifests, self.decisions, self.sessions, self.agents,
        )  # fmt: skip
        return sum(map(len, several))


def find_context(wanted: Wanted, scan: Scan, *, neighbours: Iterable[Placed] = ()) -> list[Placed]:
    """The context of the noted receipts in ledger order, without what is itself selected.

    `scan(kinds)` yields all receipts of these kinds below the pack's tree size, in any order; it is
    called a few times, until nothing new is wanted. `neighbours` are the receipts just outside a
    window, which show that none at its edges was left out.
    """
    selection = wanted.selection
    found: dict[int, Record] = {}
    if selection.kind == "ledger":
        return []
    for seq, record in neighbours:
        wanted.note(record)
        found[seq] = record
    always = scan(ALWAYS_CONTEXT)
    found |= {seq: record for seq, record in always if not selects(selection, header_of(record))}
    extra = {Kind.SESSION_OPENED, Kind.ACTION_AUTHORIZED} if selection.kind == "window" else set[Kind]()
    for _ in range(_PASSES_MAX):
        before = wanted.size()
        for seq, record in scan(_RESTS_ON | extra):
            header = header_of(record)
            if seq not in found and wanted.wants(header, record):
                wanted.note(record)
                if not selects(selection, header):
                    found[seq] = record
        if wanted.size() == before:
            break
    return [Placed(seq, found[seq]) for seq in sorted(found)]


def _dispatch_of(header: Header, record: Record) -> str:
    kind, document = _DISPATCH_KINDS[header.kind]
    return record.statement.body(kind, document).dispatch_id
