"""Sessions as the ledger tells them: positions without gaps, their own chain, and who never ended."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from dragons.audit.verdicts import Fault
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import Header


@dataclass(slots=True)
class _Open:
    position: int
    chain_root: str
    lease_id: str
    index: int
    seq: int
    decisions: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Sessions:
    """Follows every session that appears among the selected receipts."""

    open: dict[str, _Open] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)

    def follow(self, header: Header, chain_root: str, index: int) -> Fault | None:
        """Take in the next receipt of a session; returns the break in it, if any."""
        session_id, position = header.session_id, header.session_position
        if isinstance(session_id, msgspec.UnsetType):
            return None
        if isinstance(position, msgspec.UnsetType):
            return Fault("session_position_missing", session_id, index, header.seq)
        state = self.open.get(session_id)
        fault = _break(header, position, state, index)
        lease = "" if isinstance(header.lease_ref, msgspec.UnsetType) else header.lease_ref
        if state is None:
            if header.kind is Kind.SESSION_CLOSED or session_id in self.closed:
                return fault
            self.open[session_id] = _Open(position, chain_root, lease, index, header.seq)
            return fault
        state.position, state.chain_root, state.index, state.seq = position, chain_root, index, header.seq
        if header.kind is Kind.SESSION_CLOSED:
            del self.open[session_id]
            self.closed.add(session_id)
        return fault

    def decided(self, session_id: str, decision_id: str) -> None:
        """An action was authorized by the control plane and awaits its receipt."""
        if session_id in self.open:
            self.open[session_id].decisions.add(decision_id)

    def settled(self, session_id: str, decision_id: str) -> None:
        """The receipt of an authorized action arrived."""
        if session_id in self.open:
            self.open[session_id].decisions.discard(decision_id)


def _break(header: Header, position: int, state: _Open | None, index: int) -> Fault | None:
    opens = header.kind is Kind.SESSION_OPENED
    if opens != (position == 0):
        return Fault("session_start", f"position {position} of {header.session_id}", index, header.seq)
    if state is None:
        return None
    if position != state.position + 1:
        return Fault(
            "session_gap",
            f"position {position} of {header.session_id} follows {state.position}",
            index,
            header.seq,
        )
    if header.session_parent != state.chain_root:
        return Fault("session_chain", "session_parent is not the previous chain_root", index, header.seq)
    return None
