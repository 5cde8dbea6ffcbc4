"""Dispatches as the ledger tells them: what operators ordered, each start of it, and its end.

An instance of an ordered dispatch begins only by a start that is on the record for exactly its epoch, and
holds no more than the operator signed. A dispatch that nobody ordered is a launch by hand: it has no starts and is not judged here. Every answer
is None, or `code: detail`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dragons.authority.lease import Lease
from dragons.core.clock import parse_time
from dragons.core.vocabulary import Reason
from dragons.evidence.receipt import DispatchEnd, Redispatch
from dragons.liveness.dispatch import Dispatch, refuse_beyond


@dataclass(slots=True)
class Ordered:
    """A dispatch that an operator ordered; `epoch` is that of its newest start, 0 before the first.

    `fenced_by` is why the instance before that start can't act, `not_before` when it may be carried out.
    It is `annulled` when what lets it go on was signed by a key that was compromised by then.
    """

    order: Dispatch
    epoch: int = 0
    fenced_by: str = ""
    not_before: str = ""
    ended: bool = False
    annulled: bool = False


@dataclass(slots=True)
class Dispatches:
    """Every ordered dispatch so far, by its id."""

    known: dict[str, Ordered] = field(default_factory=dict)

    def admit_dispatch(self, body: Dispatch, newest: int) -> str | None:
        """Take in an order; `newest` is the newest epoch that was leased under its id, 0 for none."""
        if body.dispatch_id in self.known or newest:
            return f"dispatch_exists: {body.dispatch_id} had begun before"
        self.known[body.dispatch_id] = Ordered(body)
        return None

    def admit_end(self, body: DispatchEnd) -> str | None:
        """Take in the end of a dispatch, of which there is one."""
        if wrong := self._refuse(body.dispatch_id, body.agent):
            return wrong
        self.known[body.dispatch_id].ended = True
        return None

    def annul(self, dispatch_id: str) -> bool:
        """Nothing of this dispatch begins any more; False when it was not ordered or is over."""
        ordered = self.known.get(dispatch_id)
        if ordered is None or ordered.ended:
            return False
        ordered.annulled = True
        return True

    def refuse_start(self, body: Redispatch, newest: int) -> str | None:
        """Why the next instance may not be ordered; `newest` is the newest epoch that was leased."""
        if wrong := self._refuse_next(body.dispatch_id, body.agent):
            return wrong
        if body.epoch <= newest:
            return f"{Reason.EPOCH_STALE}: epoch {newest} was dispatched before"
        return None

    def start(self, body: Redispatch) -> None:
        """The next instance is ordered; an open start before it counts no more."""
        ordered = self.known[body.dispatch_id]
        ordered.epoch, ordered.fenced_by, ordered.not_before = body.epoch, body.fenced_by, body.not_before

    def refuse_launch(self, body: Lease, at: str) -> str | None:
        """Why this first lease, recorded `at`, is not the one that a start of its dispatch asked for."""
        if body.dispatch_id not in self.known:
            return None
        if wrong := self._refuse_next(body.dispatch_id, body.agent):
            return wrong
        ordered = self.known[body.dispatch_id]
        if ordered.epoch != body.epoch:
            return f"{Reason.DISPATCH_NOT_ORDERED}: no start is ordered for epoch {body.epoch}"
        if at < ordered.not_before:
            return f"{Reason.DISPATCH_NOT_ORDERED}: the start is ordered for {ordered.not_before}"
        return self.refuse_beyond(body)

    def refuse_beyond(self, body: Lease) -> str | None:
        """Why a lease, first or renewed, is more than the operator ordered."""
        ordered = self.known.get(body.dispatch_id)
        if ordered is None:
            return None
        length_ms = parse_time(body.expires_at) - parse_time(body.issued_at)
        wrong = refuse_beyond(ordered.order, body.scope, body.delegate_scope, length_ms)
        return None if wrong is None else f"{wrong.reason}: {wrong.detail}"

    def _refuse_next(self, dispatch_id: str, agent: str) -> str | None:
        wrong = self._refuse(dispatch_id, agent)
        if wrong is None and self.known[dispatch_id].annulled:
            return f"{Reason.DISPATCH_NOT_ORDERED}: {dispatch_id} rests on a key that was compromised by then"
        return wrong

    def _refuse(self, dispatch_id: str, agent: str) -> str | None:
        ordered = self.known.get(dispatch_id)
        if ordered is None:
            return f"{Reason.DISPATCH_NOT_ORDERED}: {dispatch_id}"
        if ordered.order.agent != agent:
            return f"{Reason.DISPATCH_NOT_ORDERED}: {dispatch_id} is of {ordered.order.agent}, not {agent}"
        if ordered.ended:
            return f"{Reason.DISPATCH_ENDED}: {dispatch_id}"
        return None
