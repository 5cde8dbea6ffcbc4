"""What the ledger says of a run: receipts of its session, its instance and its notifier, with their payloads.

Payloads come from the tenant's local store and count only where they open their receipt's commitment. Never
invents a receipt: what the control plane does not show is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from dragons.core.vocabulary import Kind
from dragons.evidence.payload import opens
from dragons.sdk.localstore import LocalStore
from dragons.wire.evidence import Receipts, ReceiptView

PAGE = 500
# A service that ran for years has more than anybody reads; the pack has them all.
RECEIPTS_MAX = 5_000


class Fact(NamedTuple):
    """One receipt. `payload` is empty where there is none, or where it is not in this tenant's store."""

    receipt_id: str
    seq: int
    kind: str
    issued_at: str
    chain_root: str
    header: Mapping[str, Any]
    payload: Mapping[str, Any]

    @property
    def action(self) -> str:
        """The capability that was used; empty where none was."""
        return str(self.header.get("action", ""))

    @property
    def outcome(self) -> str:
        return str(self.header.get("outcome", ""))

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What the action was given."""
        found = self.payload.get("action", {})
        return dict(found.get("arguments", {})) if isinstance(found, dict) else {}

    @property
    def result(self) -> Mapping[str, Any]:
        """What came of it."""
        return dict(self._ending.get("result", {}))

    @property
    def error(self) -> str:
        """Why it failed; empty when it did not."""
        return str(dict(self._ending.get("error", {})).get("message", ""))

    @property
    def reason(self) -> str:
        """Why it was denied; empty when it was not."""
        return str(self._ending.get("reason", ""))

    @property
    def _ending(self) -> Mapping[str, Any]:
        found = self.payload.get("outcome", {})
        return found if isinstance(found, dict) else {}


class Ledger(NamedTuple):
    """The receipts of a run, each list oldest first."""

    session: Sequence[Fact]
    instance: Sequence[Fact]
    notices: Sequence[Fact]

    @property
    def newest(self) -> Fact | None:
        """The receipt that all others lead up to."""
        return max((*self.session, *self.instance, *self.notices), key=lambda one: one.seq, default=None)


class Reading(Protocol):
    """A control plane whose receipts may be read."""

    def receipts(
        self,
        after: int = -1,
        *,
        limit: int = 100,
        agent: str = "",
        session_id: str = "",
        kind: str = "",
        newest: bool = False,
    ) -> Receipts: ...


def read_ledger(
    client: Reading,
    store: LocalStore,
    *,
    agent: str,
    instance_id: str,
    session_id: str,
    notice_sessions: Sequence[str] = (),
) -> Ledger:
    """What is on the record of the run `session_id` now."""
    session = [_fact(view, store) for view in _pages(client, session_id=session_id)]
    issued = client.receipts(limit=PAGE, agent=agent, kind=Kind.LEASE_ISSUED.value, newest=True).receipts
    first = next((view.seq for view in issued if view.header.get("instance_id") == instance_id), None)
    instance: list[Fact] = []
    if first is not None:
        own = _pages(client, after=first - 1, agent=agent, keep=lambda view: _is_about(view, instance_id))
        instance = [_fact(view, store) for view in own]
    notices = [_fact(view, store) for one in notice_sessions for view in _pages(client, session_id=one)]
    return Ledger(session, instance, notices)


def _is_about(view: ReceiptView, instance_id: str) -> bool:
    return view.header.get("instance_id") == instance_id and view.kind != Kind.WORK.value


def _pages(
    client: Reading,
    *,
    after: int = -1,
    agent: str = "",
    session_id: str = "",
    keep: Callable[[ReceiptView], bool] = lambda _: True,
) -> Iterator[ReceiptView]:
    found = 0
    while found < RECEIPTS_MAX:
        page = client.receipts(after, limit=PAGE, agent=agent, session_id=session_id)
        for view in page.receipts:
            if keep(view):
                found += 1
                yield view
        if page.next_after < 0:
            return
        after = page.next_after


def _fact(view: ReceiptView, store: LocalStore) -> Fact:
    payload: Mapping[str, Any] = {}
    committed = str(view.header.get("payload_hash", ""))
    known = store.payload(committed) if committed else None
    if known is not None and opens(known, committed):
        payload = msgspec.json.decode(known.body, type=dict[str, Any])
    return Fact(view.receipt_id, view.seq, view.kind, view.issued_at, view.chain_root, view.header, payload)
