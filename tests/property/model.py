"""What a control plane should answer, written down a second time and much simpler: no ledger, no rows, no keys.

Times are epoch milliseconds. The machine in `test_control_machine.py` compares it with the real one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dragons.core.vocabulary import OrganismState, Reason

S = OrganismState
MINUTE_MS = 60_000
BACKDATE_MS = 10_000
GRACE_MS = 5 * MINUTE_MS
# Progress is noted no more often than this.
NOTE_MS = 1_000
SILENT_MS = 30 * MINUTE_MS
HEAL_MS = 60 * MINUTE_MS
DEPTH_MAX = 4
HIGH = frozenset({"pay:supplier"})
DELEGABLE = frozenset({"read:payments", "send:email"})
LIVE = frozenset({S.RUNNING, S.DEGRADED})
ENDED = {
    S.AUTOHEALING: Reason.ORGANISM_AUTOHEALING,
    S.QUARANTINED: Reason.ORGANISM_QUARANTINED,
    S.STOPPED: Reason.ORGANISM_STOPPED,
}
KINDS = {
    "operator": Reason.REVOKED_OPERATOR,
    "dock": Reason.REVOKED_DOCK,
    "agent": Reason.REVOKED_AGENT,
    "version": Reason.REVOKED_VERSION,
    "instance": Reason.REVOKED_INSTANCE,
}


@dataclass
class Dock:
    dock_id: str
    agent: str
    scope: frozenset[str]
    delegate: frozenset[str]
    ttl_ms: int
    instances_max: int
    operator: str
    not_after_ms: int | None

    @property
    def entries(self) -> set[str]:
        return {f"dock:{self.dock_id}", f"operator:{self.operator}", f"agent:{self.agent}"}


@dataclass
class Session:
    """`outcome` is empty while it is open; `decisions` maps ids to actions that await their receipts."""

    session_id: str
    outcome: str = ""
    decisions: dict[str, str] = field(default_factory=dict)


@dataclass
class Instance:
    """An instance with its lease. `path` are the entries whose revocation ends it."""

    instance_id: str
    lease_id: str
    agent: str
    dock: Dock
    scope: frozenset[str]
    delegate: frozenset[str]
    issued_ms: int
    expires_ms: int
    dispatch_id: str
    epoch: int
    path: set[str]
    parent: Instance | None = None
    not_after_ms: int | None = None
    depth: int = 0
    released_ms: int | None = None
    state: OrganismState = S.RUNNING
    state_ms: int = 0
    pulse_ms: int = 0
    owed_ms: int = 0
    noted_ms: int | None = None
    repeats: int = 0
    seen: set[str] = field(default_factory=set)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)


@dataclass
class Model:
    """One tenant. `active` maps each agent to its active version."""

    active: dict[str, int] = field(default_factory=dict)
    docks: list[Dock] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    revoked: dict[str, int] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)

    # --- what is allowed -------------------------------------------------------------------------

    def ends(self, one: Instance, now_ms: int) -> Iterator[tuple[Reason, int]]:
        """Each reason for which an instance has no authority, and since when."""
        if one.released_ms is not None:
            yield Reason.LEASE_RELEASED, one.released_ms
        if now_ms >= one.expires_ms:
            yield Reason.LEASE_EXPIRED, one.expires_ms
        for entry in one.path & self.revoked.keys():
            kind, _, target = entry.partition(":")
            own = Reason.REVOKED_LEASE if target == one.lease_id else Reason.REVOKED_PARENT
            yield KINDS.get(kind, own), self.revoked[entry]
        if one.state in ENDED:
            yield ENDED[one.state], one.state_ms
        if one.epoch != self.epochs[one.dispatch_id]:
            yield Reason.EPOCH_STALE, one.state_ms

    def why_not(self, one: Instance, session: Session, action: str, now_ms: int) -> set[Reason]:
        """Every reason to deny an action that the control plane is asked for; none when it is allowed."""
        found = {reason for reason, _ in self.ends(one, now_ms)}
        if now_ms < one.issued_ms - BACKDATE_MS:
            found.add(Reason.LEASE_NOT_YET_VALID)
        if action not in one.scope:
            found.add(Reason.CAPABILITY_NOT_LEASED)
        if session.outcome:
            found.add(Reason.SESSION_CLOSED)
        return found

    def judge_claim(
        self, one: Instance, session: Session, action: str, decision_id: str, *, began_ms: int, now_ms: int
    ) -> str:
        """`closed`, `refused`, `late` or `ok`."""
        if session.outcome not in {"", "abandoned"}:
            return "closed"
        since_ms = min((since_ms for _, since_ms in self.ends(one, now_ms)), default=None)
        if since_ms is not None and began_ms >= since_ms:
            return "refused"
        if any(gap_ms <= began_ms < renewed_ms for gap_ms, renewed_ms in one.gaps):
            return "refused"
        if action not in one.scope:
            return "refused"
        if action in HIGH and session.decisions.get(decision_id) != action:
            return "refused"
        return "ok" if since_ms is None else "late"

    def is_valid(self, dock: Dock, now_ms: int) -> bool:
        expired = dock.not_after_ms is not None and now_ms >= dock.not_after_ms
        return not expired and not dock.entries & self.revoked.keys()

    def fit(
        self, agent: str, scope: frozenset[str], delegate: frozenset[str], ttl_ms: int, now_ms: int, *,
        replaces: str = "", limits_ms: Iterable[int] = (),
    ) -> tuple[Dock, frozenset[str], int] | None:  # fmt: skip
        """The newest dock that a wish fits, the scope and the end; None when the wish is refused."""
        for dock in reversed([one for one in self.docks if one.agent == agent]):
            wanted = scope or dock.scope
            live = sum(
                one.dock is dock and one.state is not S.STOPPED and one.dispatch_id != replaces
                for one in self.instances
            )
            if (
                self.is_valid(dock, now_ms)
                and wanted <= dock.scope
                and delegate <= dock.delegate
                and ttl_ms <= dock.ttl_ms
                and live < dock.instances_max
                and (dock.not_after_ms is None or now_ms + ttl_ms <= dock.not_after_ms)
            ):
                revoked = f"version:{agent}@v{self.active[agent]}" in self.revoked
                return None if revoked else (dock, wanted, min([now_ms + ttl_ms, *limits_ms]))
        return None

    def renewed_until(self, one: Instance, now_ms: int) -> int | None:
        """When a renewed lease ends; None when it may not be renewed."""
        if not self.may_return(one, now_ms) or not self.is_valid(one.dock, now_ms):
            return None
        limits = [
            one.dock.not_after_ms,
            one.not_after_ms,
            None if one.parent is None else one.parent.expires_ms,
        ]
        length_ms = min(one.expires_ms - one.issued_ms, one.dock.ttl_ms)
        ends_ms = min([now_ms + length_ms, *(limit for limit in limits if limit is not None)])
        return ends_ms if ends_ms > now_ms else None

    def may_return(self, one: Instance, now_ms: int) -> bool:
        """True when nothing speaks against a renewal but that the lease lapsed, within its grace."""
        if {reason for reason, _ in self.ends(one, now_ms)} - {Reason.LEASE_EXPIRED}:
            return False
        return now_ms - one.expires_ms < GRACE_MS

    # --- what follows ----------------------------------------------------------------------------

    def add(self, one: Instance, now_ms: int) -> None:
        """A lease was issued. Who held the dispatch before is stopped."""
        for old in self.instances:
            if old.dispatch_id == one.dispatch_id and old.state in LIVE:
                self.change(old, S.STOPPED, now_ms)
        one.state_ms = one.pulse_ms = one.owed_ms = now_ms
        self.epochs[one.dispatch_id] = one.epoch
        self.instances.append(one)

    def change(self, one: Instance, state: OrganismState, now_ms: int) -> None:
        one.state, one.state_ms = state, now_ms
        if state in ENDED:
            self.abandon(one)

    def abandon(self, one: Instance) -> None:
        for session in one.sessions.values():
            if not session.outcome:
                session.outcome = "abandoned"
                session.decisions.clear()

    def quarantine(self, one: Instance, now_ms: int) -> None:
        """It stalled, its lease is withdrawn, and nothing can start it again."""
        self.change(one, S.QUARANTINED, now_ms)
        self.revoked.setdefault(f"lease:{one.lease_id}", now_ms)

    def work(self, one: Instance, digest: str, now_ms: int) -> None:
        """Work is on the record; what was not seen before is progress."""
        fresh = one.noted_ms is not None and now_ms - one.noted_ms < NOTE_MS
        if fresh and not one.repeats and one.state is S.RUNNING:
            return
        if digest in one.seen:
            one.repeats += 1
            return
        one.seen.add(digest)
        one.repeats = 0
        one.noted_ms = one.owed_ms = now_ms
        self.settle(one, now_ms)

    def settle(self, one: Instance, now_ms: int) -> None:
        """What time and signals make of one that lives: one move."""
        silent_ms = now_ms - min(one.pulse_ms, one.owed_ms)
        if one.state not in LIVE:
            return
        if now_ms >= one.expires_ms + GRACE_MS:
            self.change(one, S.STOPPED, now_ms)
        elif now_ms >= one.expires_ms or (one.state is S.RUNNING and silent_ms >= SILENT_MS):
            if one.state is S.RUNNING:
                self.change(one, S.DEGRADED, now_ms)
        elif one.state is S.DEGRADED and silent_ms >= HEAL_MS:
            self.quarantine(one, now_ms)
        elif one.state is S.DEGRADED and silent_ms < SILENT_MS:
            self.change(one, S.RUNNING, now_ms)

    def sweep(self, now_ms: int, found: dict[str, OrganismState]) -> None:
        """Sweeps until nothing is left to do; `found` are the states that the real one came to.

        It is asked only where two are right: when a parent and its child stall at the same time, the child
        stops with its parent's lease or is quarantined before.
        """
        for one in self.instances:
            if one.state in LIVE and one.path & self.revoked.keys():
                self.change(one, S.STOPPED, now_ms)
        known = set(self.revoked)
        for one in self.instances:
            if one.state not in LIVE:
                continue
            self.settle(one, now_ms)
            self.settle(one, now_ms)
        for one in self.instances:
            new = (one.path - {f"lease:{one.lease_id}"}) & (self.revoked.keys() - known)
            if new and one.state in LIVE:
                self.change(one, S.STOPPED, now_ms)
            elif new and one.state_ms == now_ms and found[one.instance_id] is S.STOPPED:
                self.revoked.pop(f"lease:{one.lease_id}", None)
                one.state = S.STOPPED
