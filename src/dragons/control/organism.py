"""Organism states: the only place that changes them. `step` decides, this carries out, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from dragons.authority.revocation import WITHDRAWAL, Target, Withdrawal, entry
from dragons.control.abandonment import abandon_sessions
from dragons.control.dispatches import end_dispatch, set_held
from dragons.control.incidents import close_incident, escalate, note_transition, tell
from dragons.control.orders import Start as StartOrder
from dragons.control.orders import order_start, order_stop
from dragons.control.policies import ORGANISM_TIMER, now_of
from dragons.control.ports import Reader, Transaction
from dragons.control.rows import DispatchRow, InstanceRow, LeaseRow, RevocationRow, TimerRow
from dragons.control.standing import about, as_recorded
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, NotFoundError
from dragons.core.hashing import sha256_hex
from dragons.core.keys import Signer
from dragons.core.statement import sign
from dragons.core.vocabulary import Kind, OrganismState
from dragons.evidence.receipt import TRANSITION, Axes, Transition
from dragons.liveness import organism as rules
from dragons.liveness.organism import Event, Now, Organism

HALTED = frozenset({OrganismState.AUTOHEALING, OrganismState.QUARANTINED, OrganismState.STOPPED})
_QUIET = rules.Beat | rules.Progressed


def organism_of(instance: InstanceRow, lease: LeaseRow, dispatch: DispatchRow | None) -> Organism:
    """What the rows say of an instance, as `step` wants it."""
    started_ms = instance.started_ms
    return Organism(
        state=instance.state,
        pulse_ms=max(started_ms, instance.pulse_ms or 0),
        progress_ms=max(started_ms, instance.progress_ms or 0),
        owed_ms=max(started_ms, instance.owed_ms),
        lease_expires_ms=lease.expires_ms,
        supervised=dispatch is not None and dispatch.ended_ms is None,
        restarts=() if dispatch is None else dispatch.restarts,
        dead=bool(instance.dead),
        fenced=bool(instance.fenced),
        fence_ms=instance.fence_ms,
    )


def advance(
    tx: Transaction,
    issuer: Signer,
    instance: InstanceRow,
    event: Event,
    changes: Mapping[str, object] = MappingProxyType({}),
) -> InstanceRow:
    """Let `event` happen to an instance and carry out what follows; the instance as it is then.

    `changes` are what else the event brings for the row: what was sent along with a heartbeat.
    ConflictError when an operator's act can't be carried out in this state.
    """
    lease = tx.lease(instance.tenant_id, instance.lease_id)
    if lease is None:
        raise NotFoundError("lease_missing", f"{instance.lease_id} is not on the record.")
    before = organism_of(instance, lease, tx.dispatch(instance.tenant_id, instance.dispatch_id))
    since_ms = min(before.pulse_ms, before.owed_ms, before.lease_expires_ms)
    now = now_of(tx, instance.tenant_id, instance.agent, tx.now_ms, since_ms)
    try:
        done = rules.step(before, event, now)
    except rules.IllegalMoveError as error:
        raise ConflictError(
            f"organism_{error.state.value}",
            f"{instance.instance_id} is {error.state.value}: {error.what} is not possible.",
            fix="`dragons fleet` shows the states; a quarantined agent is released, a stopped one launched anew.",
        ) from error
    after = _kept(instance, done.organism, changes)
    if after is not instance:
        tx.put_instance(after)
    if not done.commands and isinstance(event, _QUIET):
        # The timer that is set comes too early rather than too late, and is set again when it fires.
        return after
    return _Carrying(tx, issuer, now).carry(after, done)


def settle(tx: Transaction, issuer: Signer, instance: InstanceRow) -> InstanceRow:
    """What time, and what a person revoked, have made of an instance."""
    lease = tx.lease(instance.tenant_id, instance.lease_id)
    revoked = None if lease is None else tx.is_revoked(instance.tenant_id, lease.path)
    if revoked is not None and instance.state not in HALTED:
        return advance(tx, issuer, instance, rules.Revoked(revoked))
    return advance(tx, issuer, instance, rules.Tick())


def arm(tx: Transaction, instance: InstanceRow) -> None:
    """Set the timer of an instance that was just launched."""
    lease = tx.lease(instance.tenant_id, instance.lease_id)
    if lease is not None:
        now = now_of(tx, instance.tenant_id, instance.agent, tx.now_ms)
        _set_timer(tx, instance, organism_of(instance, lease, None), now)


def look_again(tx: Transaction, tenant_id: str, entries: Sequence[str]) -> None:
    """Have the next sweep look at every live instance under something that was just revoked."""
    wanted = set(entries)
    for instance in tx.instances(tenant_id, live=True):
        lease = tx.lease(tenant_id, instance.lease_id)
        if lease is not None and not wanted.isdisjoint(lease.path):
            tx.put_timer(TimerRow(tenant_id, ORGANISM_TIMER, instance.instance_id, tx.now_ms))


def _look_below(tx: Transaction, tenant_id: str, lease_id: str) -> None:
    """Have the next sweep look at whoever holds a lease that was delegated under one that was withdrawn."""
    for lease in tx.leases_under(tenant_id, lease_id):
        holder = tx.instance(tenant_id, lease.instance_id)
        if holder is not None and holder.state is not OrganismState.STOPPED:
            tx.put_timer(TimerRow(tenant_id, ORGANISM_TIMER, lease.instance_id, tx.now_ms))
        _look_below(tx, tenant_id, lease.lease_id)


def axes_of(reader: Reader, instance: InstanceRow, policy_version: int) -> Axes:
    """Authority, pulse and progress of an instance as they are known now."""
    lease = reader.lease(instance.tenant_id, instance.lease_id)
    made = Axes(
        lease_expires_at=format_time(0 if lease is None else lease.expires_ms), policy_version=policy_version
    )
    if instance.pulse_ms is not None:
        made.pulse_at = format_time(instance.pulse_ms)
        made.beat_sequence = instance.beat_sequence
        made.heartbeat_hash = sha256_hex(instance.last_beat)
    if instance.progress_ms is not None:
        made.progress_at = format_time(instance.progress_ms)
        made.progress_sequence = instance.progress_sequence
        made.progress_source = instance.progress_source
        if instance.progress_digest:
            made.progress_digest = instance.progress_digest
    if instance.waiting_for:
        made.waiting_for = instance.waiting_for
    return made


class _Carrying:
    """Carrying out the commands of one step."""

    def __init__(self, tx: Transaction, issuer: Signer, now: Now) -> None:
        self._tx = tx
        self._issuer = issuer
        self._now = now

    def carry(self, instance: InstanceRow, done: rules.Step) -> InstanceRow:
        tx = self._tx
        dispatch = tx.dispatch(instance.tenant_id, instance.dispatch_id)
        if dispatch is not None and dispatch.restarts != done.organism.restarts:
            dispatch = replace(dispatch, restarts=done.organism.restarts)
            tx.put_dispatch(dispatch)
        for command in done.commands:
            instance = self._one(instance, command)
        _set_timer(tx, instance, done.organism, self._now)
        return instance

    def _one(self, instance: InstanceRow, command: rules.Command) -> InstanceRow:
        tx, issuer = self._tx, self._issuer
        dispatch = tx.dispatch(instance.tenant_id, instance.dispatch_id)
        if isinstance(command, rules.Enter):
            return self._enter(instance, command)
        if isinstance(command, rules.Withdraw):
            self._withdraw(instance, command.reason)
        elif isinstance(command, rules.Escalate):
            escalate(tx, instance, command.reason)
        elif dispatch is None:
            return instance
        elif isinstance(command, rules.Kill):
            order_stop(tx, dispatch, instance)
        elif isinstance(command, rules.Start):
            order_start(tx, issuer, dispatch, StartOrder(command.not_before_ms, command.reason, instance))
        elif isinstance(command, rules.Hold):
            set_held(tx, dispatch, command.reason)
        elif isinstance(command, rules.Unhold):
            if dispatch.ended_ms is not None:
                return instance
            tx.put_dispatch(replace(dispatch, state="open", state_reason="released by an operator"))
        else:
            end_dispatch(tx, issuer, dispatch, command.outcome, command.reason)
        return instance

    def _enter(self, instance: InstanceRow, move: rules.Enter) -> InstanceRow:
        tx = self._tx
        instance = note_transition(tx, instance, move)
        halted_ms = instance.halted_ms
        if halted_ms is None and move.after in HALTED:
            halted_ms = tx.now_ms
        after = replace(
            instance,
            state=move.after,
            state_reason=move.reason,
            state_since_ms=tx.now_ms,
            halted_ms=halted_ms,
            stopped_ms=tx.now_ms if move.after is OrganismState.STOPPED else None,
        )
        tx.put_instance(after)
        body = Transition(
            tenant_id=after.tenant_id,
            instance_id=after.instance_id,
            before=move.before,
            after=move.after,
            trigger=move.trigger.value,
            reason=move.reason[:500],
            at=format_time(tx.now_ms),
            axes=axes_of(tx, after, self._now.policy.version),
            dispatch_id=after.dispatch_id,
            incident_id=after.incident_id or msgspec.UNSET,
        )
        appended = tx.append(
            after.tenant_id,
            Kind.STATE_CHANGED,
            sign(TRANSITION, body, self._issuer),
            about(tx, as_recorded(tx, after)),
        )
        if instance.halted_ms is None and halted_ms is not None:
            after = replace(after, halted_seq=appended.seq)
            tx.put_instance(after)
        tell(tx, after, move)
        if move.after in HALTED:
            abandon_sessions(tx, self._issuer, after, move.reason)
        return close_incident(tx, after, move, appended)

    def _withdraw(self, instance: InstanceRow, reason: str) -> None:
        tx = self._tx
        name = entry(Target.LEASE, instance.lease_id)
        if tx.is_revoked(instance.tenant_id, [name]) is not None:
            return
        ordinal = tx.revocation_count(instance.tenant_id)
        tx.put_revocation(RevocationRow(instance.tenant_id, ordinal, name, tx.now_ms))
        body = Withdrawal(
            tenant_id=instance.tenant_id,
            lease_id=instance.lease_id,
            instance_id=instance.instance_id,
            reason=reason[:500],
            withdrawn_at=format_time(tx.now_ms),
        )
        tx.append(
            instance.tenant_id,
            Kind.REVOKED,
            sign(WITHDRAWAL, body, self._issuer),
            about(tx, as_recorded(tx, instance)),
        )
        _look_below(tx, instance.tenant_id, instance.lease_id)


def _kept(instance: InstanceRow, organism: Organism, changes: Mapping[str, object]) -> InstanceRow:
    """The row with `changes` and what `step` remembers."""
    wanted = (organism.owed_ms, int(organism.dead), int(organism.fenced), organism.fence_ms)
    if not changes and wanted == (instance.owed_ms, instance.dead, instance.fenced, instance.fence_ms):
        return instance
    owed_ms, dead, fenced, fence_ms = wanted
    kept: dict[str, Any] = {
        **changes, "owed_ms": owed_ms, "dead": dead, "fenced": fenced, "fence_ms": fence_ms,
    }  # fmt: skip
    return replace(instance, **kept)


def _set_timer(tx: Transaction, instance: InstanceRow, organism: Organism, now: Now) -> None:
    at_ms = rules.due_ms(organism, now)
    if at_ms is None:
        tx.drop_timer(instance.tenant_id, ORGANISM_TIMER, instance.instance_id)
    else:
        tx.put_timer(TimerRow(instance.tenant_id, ORGANISM_TIMER, instance.instance_id, at_ms))
