"""Packs of spec/vectors about lives: instances healed, isolated, renewed late; and lives that can't have been."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from dragons.core.vocabulary import OrganismState
from dragons.liveness.organism import Trigger
from tests.support import healing, packs, story, work
from tests.support.cases import Case, after_launch
from tests.support.ledger import MINUTE_MS, Agent
from tests.support.story import Story

STEP = {"step_key": "5" * 64}


def all_of_it() -> list[Case]:
    """Every case here; names differ from those of the other modules."""
    return [*lives(), *states(), *dispatches(), *the_rest()]


def named(name: str, text: str, code: str, tell: Callable[[Story], object]) -> Case:
    """A whole ledger that goes on after a session was opened (receipts 0 to 10)."""
    made = after_launch(text, code, tell)
    return Case(name, text, made.pin, made.parts, code)


def ordered(told: Story) -> tuple[str, Agent]:
    """A dispatch with its first instance: receipts 11 to 13."""
    dispatch = healing.order(told.book, "reconciler")
    healing.start(told.book, dispatch)
    return dispatch, told.book.lease(told.dock, dispatch_id=dispatch)


def next_one(told: Story, dispatch: str, before: Agent) -> Agent:
    """The next instance of a dispatch, at work."""
    epoch = before.lease.epoch + 1
    healing.start(told.book, dispatch, epoch, before)
    if before.state is not OrganismState.STOPPED:
        healing.transition(told.book, before, Trigger.REPLACED)
    after = told.book.lease(told.dock, dispatch_id=dispatch, epoch=epoch)
    session = work.open_session(told.book, after, "go on")
    work.work(told.book, session, **STEP)
    work.close_session(told.book, session)
    return after


def lives() -> list[Case]:
    """Lives that are as they should be, as a whole ledger and as one session of it."""

    def healed(told: Story) -> None:
        dispatch, first = ordered(told)
        session = work.open_session(told.book, first, "begin")
        began = told.book.time()
        healing.heal(told.book, first)
        work.work(told.book, session, started_at=began, ended_at=began, about={"late": True})
        work.abandon(told.book, session)
        healing.transition(told.book, next_one(told, dispatch, first), Trigger.ENDED)
        healing.end(told.book, dispatch)

    def isolated(told: Story) -> None:
        healing.policy(told.book, 1, "reconciler", restarts_max=0)
        dispatch, first = ordered(told)
        healing.transition(told.book, first, Trigger.CRASHED)
        healing.transition(told.book, first, Trigger.FLAPPING)
        healing.withdraw(told.book, first)
        healing.notify(told.book)
        healing.intervene(told.book, "reconciler", "quarantine")
        healing.intervene(told.book, "reconciler", "release")
        healing.transition(told.book, first, Trigger.OPERATOR_RELEASED)
        next_one(told, dispatch, first)

    def late(told: Story) -> None:
        story.late_renewal(told.book, told.book.lease(told.dock))
        work.abandon(told.book, told.session)

    def lapsed(told: Story) -> None:
        told.book.now_ms += 24 * 60 * MINUTE_MS
        story.publish(told.book, 2)

    def cancelled(told: Story) -> None:
        dispatch, first = ordered(told)
        healing.intervene(told.book, "reconciler", "stop", agent=UNSET, dispatch_id=dispatch)
        healing.transition(told.book, first, Trigger.OPERATOR_STOPPED)
        healing.end(told.book, dispatch, outcome="cancelled")

    made = [
        named("valid-cancelled", "A dispatch that a person stopped.", "", cancelled),
        named("valid-healed", "An instance that stalled was taken out of service; the next one goes on.", "", healed),
        named("valid-lapsed", "A lease that expired a day ago and may be renewed yet: its session is open.", "", lapsed),
        named("valid-quarantined", "An agent that flapped was isolated, released by a person, and went on.", "", isolated),
        named("valid-renewed-late", "A lease that was renewed a minute after its end; nothing was done in between.", "", late),
    ]  # fmt: skip
    told = story.launched()
    healed(told)
    session = next(str(h.session_id) for h in reversed(told.book.headers) if isinstance(h.session_id, str))
    parts = packs.export(told.book, packs.session_of(session))
    text = "The session of the instance after the healed one, with what it rests on."
    return [*made, Case("valid-healed-session", text, told.book.pin, parts)]


def states() -> list[Case]:
    """States that don't follow, and quarantines that are evaded."""

    def revived(told: Story) -> None:
        healing.transition(told.book, told.agent, Trigger.ENDED)
        healing.transition(told.book, told.agent, Trigger.RECOVERED, after=OrganismState.RUNNING)

    def unsigned(told: Story) -> None:
        healing.quarantine(told.book, told.agent)
        healing.transition(told.book, told.agent, Trigger.OPERATOR_RELEASED)

    def isolated(told: Story) -> None:
        healing.quarantine(told.book, told.agent)
        told.book.lease(told.dock, epoch=2, dispatch_id=told.agent.lease.dispatch_id)

    def held(told: Story) -> None:
        healing.intervene(told.book, "reconciler", "quarantine")
        told.book.lease(told.dock)

    def again(told: Story) -> None:
        healing.transition(told.book, told.agent, Trigger.ENDED)
        told.book.lease(told.dock, instance_id=told.agent.instance_id)

    def renewed(told: Story) -> None:
        healing.transition(told.book, told.agent, Trigger.CRASHED)
        told.book.renew(told.agent)

    def elsewhere(told: Story) -> None:
        healing.transition(told.book, told.agent, Trigger.STALLED, dispatch_id=told.book.new_name("dsp"))

    return [
        after_launch("A stopped instance that runs again.", "state_illegal", revived),
        named("invalid-state-before", "A state that was not the last one.", "state_illegal", lambda t: healing.transition(
            t.book, t.agent, Trigger.STALLED, before=OrganismState.DEGRADED)),
        named("invalid-state-dispatch", "A state in another dispatch than the lease's.", "instance_mismatch", elsewhere),
        after_launch("A quarantine that ended without a person's signature.", "intervention_missing", unsigned),
        after_launch("An intervention on an instance and on an agent.", "intervention_invalid",
                     lambda t: healing.intervene(t.book, t.agent, "stop", agent="reconciler")),
        named("invalid-intervention-unknown", "An intervention that there is not.", "intervention_invalid",
              lambda t: healing.intervene(t.book, t.agent, "restart")),
        named("invalid-lease-quarantined", "A lease for the dispatch of an isolated instance.",
              "organism_quarantined", isolated),
        named("invalid-lease-held", "A lease for an agent that an operator isolated.", "organism_quarantined", held),
        named("invalid-lease-second", "A second lease for an instance that was stopped.", "instance_mismatch", again),
        named("invalid-renewal-halted", "A renewal for an instance that is being healed.",
              "organism_autohealing", renewed),
    ]  # fmt: skip


def dispatches() -> list[Case]:
    """Dispatches with two holders, or without an order."""

    def unordered(told: Story) -> None:
        told.book.lease(told.dock, dispatch_id=healing.order(told.book, "reconciler"))

    def other_epoch(told: Story) -> None:
        dispatch = healing.order(told.book, "reconciler")
        healing.start(told.book, dispatch, 2)
        told.book.lease(told.dock, dispatch_id=dispatch, epoch=3)

    def too_early(told: Story) -> None:
        dispatch, first = ordered(told)
        healing.start(told.book, dispatch, 2, first)

    def after_end(told: Story) -> None:
        dispatch = healing.order(told.book, "reconciler")
        healing.end(told.book, dispatch)
        healing.start(told.book, dispatch)

    def stale(told: Story) -> None:
        dispatch, first = ordered(told)
        healing.heal(told.book, first)
        healing.start(told.book, dispatch, 1, first)

    def unfenced(told: Story) -> None:
        dispatch, first = ordered(told)
        healing.heal(told.book, first)
        healing.start(told.book, dispatch, 2, first, not_before=told.book.time())
        told.book.now_ms -= healing.FENCE_MS
        told.book.lease(told.dock, dispatch_id=dispatch, epoch=2)

    def undue(told: Story) -> None:
        dispatch = healing.order(told.book, "reconciler")
        healing.start(told.book, dispatch, not_before=told.book.time(MINUTE_MS))
        told.book.lease(told.dock, dispatch_id=dispatch)

    def beyond(told: Story, ttl_ms: int = 15 * MINUTE_MS, **changes: Any) -> Agent:
        dispatch = healing.order(told.book, "reconciler", **changes)
        healing.start(told.book, dispatch)
        return told.book.lease(told.dock, dispatch_id=dispatch, ttl_ms=ttl_ms)

    return [
        named("invalid-order-scope", "A lease for more than its dispatch was ordered with.", "scope_exceeded",
              lambda t: beyond(t, scope=["read:payments"])),
        named("invalid-order-delegate", "A lease that may hand on more than its dispatch was ordered with.",
              "scope_exceeded", lambda t: beyond(t, scope=["pay:suppliers", "read:payments", "write:ledger"])),
        named("invalid-order-ttl", "A lease for longer than its dispatch was ordered with.", "ttl_exceeded",
              lambda t: beyond(t, ttl_ms=15 * MINUTE_MS + 1)),
        named("invalid-order-renewal", "A renewal for longer than its dispatch was ordered with.", "ttl_exceeded",
              lambda t: t.book.renew(beyond(t), ttl_ms=15 * MINUTE_MS + 1)),
        after_launch("Two instances of one dispatch, both at work.", "holder_active", lambda t: t.book.lease(
            t.dock, epoch=2, dispatch_id=t.agent.lease.dispatch_id)),
        after_launch("An instance that begins while the one before may still act on what it knows.", "holder_unfenced", unfenced),
        named("invalid-start-due", "An instance before its start is due.", "dispatch_not_ordered", undue),
        named("invalid-start-early", "A start while the instance before may act.", "holder_active", too_early),
        named("invalid-start-stale", "A start of an epoch that was.", "epoch_stale", stale),
        after_launch("An instance of a dispatch, without a start.", "dispatch_not_ordered", unordered),
        named("invalid-start-other", "An instance of another epoch than the ordered one.",
              "dispatch_not_ordered", other_epoch),
        after_launch("A start after the end of its dispatch.", "dispatch_ended", after_end),
        after_launch("A launch that was ordered afterwards.", "dispatch_exists", lambda t: healing.order(
            t.book, "reconciler", dispatch_id=t.agent.lease.dispatch_id)),
    ]  # fmt: skip


def the_rest() -> list[Case]:
    """Gaps, withdrawals, policies and steps."""

    def gap(told: Story) -> None:
        told.book.now_ms += 16 * MINUTE_MS
        told.book.renew(told.agent)
        work.work(told.book, told.session, started_at=told.agent.lease.not_before)

    def withdrawn(told: Story) -> None:
        healing.withdraw(told.book, told.agent)
        work.work(told.book, told.session, about={"late": True})

    def forgotten(told: Story) -> None:
        told.book.now_ms += 32 * 24 * 60 * MINUTE_MS
        story.publish(told.book, 2)

    def twice(told: Story) -> None:
        work.work(told.book, told.session, **STEP)
        work.work(told.book, told.session, **STEP)

    return [
        named("invalid-gap", "Work that began after the lease's end and before its late renewal.", "lease_expired", gap),
        named("invalid-orphan-lapsed", "A session whose lease expired a month ago.", "orphan", forgotten),
        named("invalid-withdrawn", "Work after the issuer took the lease back.", "revoked", withdrawn),
        named("invalid-withdrawal-unknown", "The withdrawal of a lease that was never issued.", "lease_missing",
              lambda t: healing.withdraw(t.book, t.agent, lease_id=t.book.new_name("lse"))),
        named("invalid-withdrawal-other", "A withdrawal that names another instance.", "instance_mismatch",
              lambda t: healing.withdraw(t.book, t.agent, instance_id=t.book.new_name(""))),
        after_launch("A policy whose thresholds contradict each other.", "policy_invalid", lambda t: healing.policy(
            t.book, 1, autoheal_after_seconds=60)),
        after_launch("A policy that skips a version.", "policy_version_conflict", lambda t: healing.policy(t.book, 2)),
        after_launch("A step that was completed twice.", "step_completed", twice),
        named("invalid-policy-header", "A policy for every agent, in a header that names one.", "header_contradicts",
              lambda t: healing.policy(t.book, 1, about={"agent": "reconciler"})),
    ]  # fmt: skip
