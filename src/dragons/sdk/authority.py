"""The check before every action: a verified lease, a fresh view of the revocations, no network.

A grant counts when the issuer's key signed its lease for this instance's own key, within the dock it
cites. The issuer's key comes with the first grant over the launcher's channel and is trusted because
that channel is; an instance may not list keys, so the path to the pinned root is walked by the launcher
and by every verifier of the evidence. Fails closed: old, missing or contradictory facts deny.
"""

from __future__ import annotations

from dataclasses import replace
from threading import Lock
from typing import NamedTuple

from dragons.authority.decide import Allow, Deny, Holding, Now, Situation, decide, hold
from dragons.authority.dock import DOCK, Dock
from dragons.authority.lease import LEASE, Lease, refuse_outside_dock, renew_at_ms
from dragons.authority.revocation import REVOCATIONS_VIEW, RevocationsView
from dragons.core.clock import Clock, parse_time
from dragons.core.errors import DragonsError, ForbiddenError
from dragons.core.keys import KeyRole, PublicKey
from dragons.core.statement import Envelope, check_shape, is_signed_by
from dragons.core.vocabulary import OrganismState, Reason, Risk
from dragons.wire.authority import Granted

# Denials of an action, or of this moment, that say nothing about the lease as a whole.
_PASSING = frozenset(
    {
        Reason.CAPABILITY_NOT_LEASED,
        Reason.CLOCK_JUMPED,
        Reason.LEASE_NOT_YET_VALID,
        Reason.AUTHORITY_STALE,
    }
)

# Later than any time that a document can name.
_NEVER_MS = 1 << 53


class Span(NamedTuple):
    """Both clocks when a request was sent, and CLOCK_BOOTTIME when its answer had come."""

    sent: Now
    received_boot_ms: int


class Authority:
    """What one instance may do now. Readers take no lock; writers replace facts whole."""

    def __init__(self, instance_id: str, instance_key: PublicKey, clock: Clock) -> None:
        self.instance_id = instance_id
        self._instance_key = instance_key
        self._clock = clock
        self._lock = Lock()
        self._facts: tuple[Holding, Situation] | None = None
        self._blocked: dict[str, Deny] = {}
        self._issuer: PublicKey | None = None
        self._entries: list[str] = []
        self._as_of_ms = 0
        self._plane_minus_boot_ms = 0
        self._renew_boot_ms = 0
        self._lease: Lease | None = None

    @property
    def lease(self) -> Lease:
        """The newest lease; ForbiddenError before the first grant."""
        if self._lease is None:
            raise ForbiddenError(Reason.LEASE_MISSING, "The instance holds no lease.")
        return self._lease

    @property
    def known_revocations(self) -> int:
        """How many revocations are known: where the feed continues."""
        return len(self._entries)

    def authorize(self, capability: str) -> Allow | Deny:
        """Allow or deny an action on what is known here and now."""
        blocked = self._blocked
        if blocked:
            return next(iter(blocked.values()))
        facts, clock = self._facts, self._clock
        if facts is None:
            return Deny(Reason.LEASE_MISSING, "the instance holds no lease")
        return decide(capability, facts[0], facts[1], Now(clock.now_ms(), clock.boot_ms()), online=False)

    def over(self) -> Deny | None:
        """Why the instance has no authority any more, None while it has, or only waits for news.

        `lease_expired` only where nothing else speaks against the instance: a late renewal may end that.
        """
        facts, clock = self._facts, self._clock
        if facts is None:
            return Deny(Reason.LEASE_MISSING, "the instance holds no lease")
        held, known = facts
        now = read_now(clock)
        # News that is late ends nothing by itself: the lease does. What no renewal mends comes first, so it
        # is asked as if the lease had no end and the clocks agreed.
        current = replace(known, as_of_boot_ms=now.boot_ms)
        endless = replace(held, expires_ms=_NEVER_MS, boot_deadline_ms=_NEVER_MS)
        agreeing = Now(now.boot_ms + held.wall_minus_boot_ms, now.boot_ms)
        lapsed = now.wall_ms >= held.expires_ms or now.boot_ms >= held.boot_deadline_ms
        for denied in (decide("", endless, current, agreeing, online=True), *self._blocked.values()):
            if isinstance(denied, Allow) or denied.reason in _PASSING:
                continue
            if denied.reason is not Reason.LEASE_EXPIRED:
                return denied
            lapsed = True
        return Deny(Reason.LEASE_EXPIRED, held.lease_id) if lapsed else None

    def lapsed_ms(self) -> int:
        """For how long the lease has been over by CLOCK_BOOTTIME, 0 while it is not."""
        facts = self._facts
        return 0 if facts is None else max(0, self._clock.boot_ms() - facts[0].boot_deadline_ms)

    def plane_ms(self) -> int:
        """The control plane's time, as it told it with the newest grant, counted on by CLOCK_BOOTTIME."""
        return self._clock.boot_ms() + self._plane_minus_boot_ms

    def renew_due_ms(self, jitter: float) -> int:
        """When to renew, on CLOCK_BOOTTIME; `jitter` is uniform in [-1, 1]."""
        lease = self.lease
        return self._renew_boot_ms + renew_at_ms(lease, jitter) - parse_time(lease.issued_at)

    def take_grant(self, granted: Granted, span: Span) -> None:
        """Verify a lease or its renewal and act on it; ForbiddenError when it is not what it must be."""
        issuer = PublicKey(granted.issuer_key)
        if issuer.key_id(KeyRole.ISSUER) != granted.issuer_key_id:
            raise _invalid("the issuer's key id does not follow from its key")
        lease = self._checked_lease(granted, issuer)
        view = _checked_view(granted.revocations, issuer, lease.tenant_id)
        now_ms = parse_time(granted.now)
        risks = {name: Risk(risk) for name, risk in granted.risks.items() if risk in set(Risk)}
        with self._lock:
            self._lease, self._issuer = lease, issuer
            self._plane_minus_boot_ms = now_ms - span.received_boot_ms
            self._renew_boot_ms = span.sent.boot_ms
            # The issuer's own time says how much is left, also where this machine's clock is wrong.
            left_ms = max(0, parse_time(lease.expires_at) - now_ms)
            held = hold(lease, tuple(granted.above), span.sent)
            deadline_ms = min(held.boot_deadline_ms, span.sent.boot_ms + left_ms)
            held = replace(held, boot_deadline_ms=deadline_ms)
            before = None if self._facts is None else self._facts[1]
            self._as_of_ms = 0
            self._facts = (
                held,
                Situation(
                    tenant_id=lease.tenant_id,
                    epoch=lease.epoch if before is None else before.epoch,
                    state=OrganismState.RUNNING if before is None else before.state,
                    revoked=frozenset() if before is None else before.revoked,
                    risks=risks,
                    # Nothing is fresh before a whole view of the revocations says so.
                    as_of_boot_ms=-(1 << 53) if before is None else before.as_of_boot_ms,
                ),
            )
            self._block("renewal", "")
            # Nor does an earlier answer count that named the end which this grant moved on.
            self._blocked = {
                source: denied
                for source, denied in self._blocked.items()
                if denied.reason is not Reason.LEASE_EXPIRED
            }
            self._take_view(view, span)

    def take_view(self, envelope: Envelope, span: Span) -> bool:
        """Follow the feed of revocations; True when the view is whole, False when there is more to fetch."""
        if self._issuer is None or self._lease is None:
            raise _invalid("a view of the revocations came before the lease")
        view = _checked_view(envelope, self._issuer, self._lease.tenant_id)
        with self._lock:
            self._block("view", "")
            return self._take_view(view, span)

    def take_state(self, state: str, epoch: int) -> None:
        """What the control plane makes of the instance, and the epoch of its dispatch."""
        with self._lock:
            if self._facts is not None and state in set(OrganismState):
                held, before = self._facts
                self._facts = held, replace(before, state=OrganismState(state), epoch=epoch or before.epoch)

    def take_answer(self, refused: str) -> None:
        """Why a heartbeat did not count; empty when it did."""
        with self._lock:
            self._block("heartbeat", refused)

    def take_refusal(self, source: str, error: DragonsError) -> None:
        """The control plane refused a `view` or a `renewal` for a reason: deny with it from now on."""
        with self._lock:
            self._block(source, error.code if isinstance(error, ForbiddenError) else "")

    def _block(self, source: str, code: str) -> None:
        others = {name: denied for name, denied in self._blocked.items() if name != source}
        if code in set(Reason):
            others[source] = Deny(Reason(code), "the control plane says so")
        self._blocked = others

    def _checked_lease(self, granted: Granted, issuer: PublicKey) -> Lease:
        check_shape(granted.lease)
        if not is_signed_by(granted.lease, granted.issuer_key_id, issuer):
            raise _invalid("the issuer did not sign the lease")
        lease = granted.lease.body(LEASE, Lease)
        if (lease.instance_id, lease.instance_key) != (self.instance_id, self._instance_key.raw):
            raise _invalid("the lease is for another instance or another key")
        dock = granted.dock.body(DOCK, Dock)
        refusal = refuse_outside_dock(lease, dock, granted.dock.payload_digest())
        if refusal is not None:
            raise _invalid(f"the lease exceeds its dock: {refusal.reason} {refusal.detail}")
        before = self._lease
        if before is None:
            return lease
        if (lease.lease_id, lease.tenant_id, lease.epoch) != (
            before.lease_id,
            before.tenant_id,
            before.epoch,
        ):
            raise _invalid("the renewal is of another lease")
        if lease.serial < before.serial or set(lease.scope) - set(before.scope):
            raise _invalid("the renewal is older or wider than the lease")
        return lease

    def _take_view(self, view: RevocationsView, span: Span) -> bool:
        as_of_ms = parse_time(view.as_of)
        if as_of_ms < self._as_of_ms:
            raise _invalid("the view of the revocations is older than the one before")
        known, end = self._entries, view.after + len(view.entries)
        if view.after > len(known) or view.count < len(known) or end > view.count:
            raise _invalid("the view of the revocations leaves some out")
        if known[view.after : end] != view.entries[: len(known) - view.after]:
            raise _invalid("the view of the revocations contradicts the one before")
        # What was revoked stays revoked: a view adds, and never takes away.
        known.extend(view.entries[len(known) - view.after :])
        self._as_of_ms = as_of_ms
        assert self._facts is not None  # noqa: S101 - set by the grant that every view follows
        held, before = self._facts
        whole = len(self._entries) == view.count
        revoked = before.revoked
        if len(revoked) != len(self._entries):
            revoked = frozenset(self._entries)
        fresh = before.as_of_boot_ms
        if whole:
            # By its signed time too, so that a view can't be kept back and shown later.
            age_ms = max(0, span.received_boot_ms + self._plane_minus_boot_ms - as_of_ms)
            fresh = max(fresh, min(span.sent.boot_ms, span.received_boot_ms - age_ms))
        self._facts = held, replace(before, revoked=revoked, as_of_boot_ms=fresh)
        return whole


def read_now(clock: Clock) -> Now:
    """Both clocks, read together."""
    return Now(clock.now_ms(), clock.boot_ms())


def span_since(sent: Now, clock: Clock) -> Span:
    """The span of a request that was sent at `sent` and whose answer has come now."""
    return Span(sent, clock.boot_ms())


def _checked_view(envelope: Envelope, issuer: PublicKey, tenant_id: str) -> RevocationsView:
    check_shape(envelope)
    if not is_signed_by(envelope, issuer.key_id(KeyRole.ISSUER), issuer):
        raise _invalid("the issuer did not sign the view of the revocations")
    view = envelope.body(REVOCATIONS_VIEW, RevocationsView)
    if view.tenant_id != tenant_id:
        raise _invalid("the view of the revocations belongs to another tenant")
    return view


def _invalid(why: str) -> ForbiddenError:
    return ForbiddenError(
        "grant_invalid", f"What the control plane granted does not hold: {why}.", fix="Check its address."
    )
