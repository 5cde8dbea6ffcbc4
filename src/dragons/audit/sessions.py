"""Sessions as the ledger tells them: positions without gaps, their own chain, and who never ended.

Nothing follows the end of a session, but for late work after the control plane closed it. Memory:
an open or abandoned session is a small record, a closed one only its id, which has to be known so
that it can't begin again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from dragons.audit.verdicts import Fault
from dragons.core.vocabulary import Kind, Outcome
from dragons.evidence.receipt import Header


@dataclass(slots=True)
class OpenSession:
    """A session that has not ended; `decisions` are authorized actions that await their receipt."""

    position: int
    chain_root: str
    lease_id: str
    index: int
    seq: int
    abandoned: bool = False
    decisions: dict[str, tuple[int, int]] = field(default_factory=dict)


class Sessions:
    """Follows every session that appears among the selected receipts.

    `partial` selections may begin in the middle of a session: windows do, the others never.
    `orphan` is the first cycle that never ended.
    """

    def __init__(self, *, partial: bool) -> None:
        self._partial = partial
        self.open: dict[str, OpenSession] = {}
        self.orphan: Fault | None = None
        self._closed: set[str] = set()

    def follow(self, header: Header, chain_root: str, index: int) -> Fault | None:
        """Take in the next receipt of a session; returns the break in it, if any."""
        session_id, position = header.session_id, header.session_position
        if session_id is msgspec.UNSET:
            return None
        if position is msgspec.UNSET:
            return Fault("session_gap", f"{session_id} without a position", index, header.seq)
        state = self.open.get(session_id)
        if (
            state is not None
            and header.kind is Kind.WORK
            and position == state.position + 1
            and header.session_parent == state.chain_root
            and header.lease_ref == state.lease_id
            and not state.abandoned
        ):  # the usual case, and nothing but a short cut
            state.position, state.chain_root, state.index, state.seq = position, chain_root, index, header.seq
            return None
        fault = self._break(header, position, state, index)
        if state is None:
            if fault is None or fault.code != "session_closed":
                state = self.open[session_id] = OpenSession(
                    position, chain_root, header.lease_ref if isinstance(header.lease_ref, str) else "",
                    index, header.seq,
                )  # fmt: skip
        else:
            state.position, state.chain_root, state.index, state.seq = position, chain_root, index, header.seq
        if header.kind is Kind.SESSION_CLOSED and state is not None:
            self._close(session_id, state, header)
        return fault

    def decided(self, session_id: str, decision_id: str, index: int, seq: int) -> None:
        """An action was authorized by the control plane and awaits its receipt."""
        if session_id in self.open:
            self.open[session_id].decisions[decision_id] = (index, seq)

    def settled(self, session_id: str, decision_id: str) -> None:
        """The receipt of an authorized action arrived."""
        if session_id in self.open:
            self.open[session_id].decisions.pop(decision_id, None)

    def orphaned(self, state: OpenSession, session_id: str) -> None:
        """Something in a session never ended: an authorized action, or else the session itself."""
        what, index, seq = "the session", state.index, state.seq
        if state.decisions:
            decision_id, (index, seq) = next(iter(state.decisions.items()))
            what = f"the authorized action {decision_id}"
        if self.orphan is None or index < (self.orphan.index or 0):
            self.orphan = Fault("orphan", f"{what} in {session_id} never ended", index, seq)

    def _close(self, session_id: str, state: OpenSession, header: Header) -> None:
        if state.decisions:
            self.orphaned(state, session_id)
            state.decisions.clear()
        if header.outcome is Outcome.ABANDONED:
            state.abandoned = True
        else:
            del self.open[session_id]
            self._closed.add(session_id)

    def _break(self, header: Header, position: int, state: OpenSession | None, index: int) -> Fault | None:
        session_id = header.session_id
        opens = header.kind is Kind.SESSION_OPENED
        if session_id in self._closed or (
            state is not None
            and state.abandoned
            and (header.kind is not Kind.WORK or header.late is not True)
        ):
            return Fault("session_closed", f"{session_id} had ended", index, header.seq)
        if opens != (position == 0) or (state is None and position != 0 and not self._partial):
            return Fault("session_start", f"position {position} of {session_id}", index, header.seq)
        if state is None:
            return None
        if position != state.position + 1:
            return Fault(
                "session_gap",
                f"position {position} of {session_id} follows {state.position}",
                index,
                header.seq,
            )
        if header.session_parent != state.chain_root:
            return Fault("session_chain", "session_parent is not the previous chain_root", index, header.seq)
        if header.lease_ref != state.lease_id:
            return Fault(
                "session_foreign", f"{header.lease_ref} is not the session's lease", index, header.seq
            )
        return None
