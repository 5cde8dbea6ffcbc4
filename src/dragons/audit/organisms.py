"""Instances as the ledger tells them: their organism states, and what people did to them.

A state changes along the one table of `dragons.liveness.organism` or not at all, and what a person is
said to have done needs their signed intervention. Every answer is None, or `code: detail`. Memory grows
with instances, never with work.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dragons.authority.lease import Lease
from dragons.core.vocabulary import OrganismState, Reason
from dragons.evidence.receipt import Intervention, Transition
from dragons.liveness.organism import MOVES, Act, Trigger

ENDED_STATES = {
    OrganismState.AUTOHEALING: Reason.ORGANISM_AUTOHEALING,
    OrganismState.QUARANTINED: Reason.ORGANISM_QUARANTINED,
    OrganismState.STOPPED: Reason.ORGANISM_STOPPED,
}
# Moves that only a person makes, and what they must have signed.
BY_A_PERSON = {
    Trigger.OPERATOR_STOPPED.value: Act.STOP.value,
    Trigger.OPERATOR_QUARANTINED.value: Act.QUARANTINE.value,
    Trigger.OPERATOR_RELEASED.value: Act.RELEASE.value,
    Trigger.REDISPATCHED.value: Act.REDISPATCH.value,
}
ACTS = frozenset(act.value for act in Act)
_MOVES: dict[tuple[str, str], OrganismState] = dict(MOVES)  # type: ignore[arg-type]  # words are texts


@dataclass(slots=True)
class Instance:
    """An instance that was leased to; `acts` is what people did to it since it entered its state."""

    agent: str
    dispatch_id: str
    lease_id: str
    state: OrganismState = OrganismState.RUNNING
    acts: frozenset[str] = frozenset()


@dataclass(slots=True)
class Organisms:
    """Every instance so far.

    `halted` maps an instance to why it may do nothing and since when: the first time counts, because
    nothing of it ever comes back. `held` are agents that an operator quarantined as a whole, `newest` is
    the last instance of each dispatch.
    """

    known: dict[str, Instance] = field(default_factory=dict)
    halted: dict[str, tuple[Reason, str]] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    newest: dict[str, str] = field(default_factory=dict)
    _unstopped: dict[str, list[str]] = field(default_factory=dict)

    def refuse_launch(self, body: Lease) -> str | None:
        """Why no new instance may begin under this first lease."""
        if body.instance_id in self.known:
            return f"{Reason.INSTANCE_MISMATCH}: {body.instance_id} holds another lease"
        if body.agent in self.held:
            return f"{Reason.ORGANISM_QUARANTINED}: {body.agent} was quarantined by an operator"
        return self.refuse_successor(body.dispatch_id)

    def refuse_successor(self, dispatch_id: str) -> str | None:
        """Why the next instance of a dispatch may not begin: an older one is isolated, or may still act."""
        for instance_id in self._unstopped.get(dispatch_id, ()):
            state = self.known[instance_id].state
            if state is OrganismState.QUARANTINED:
                return f"{Reason.ORGANISM_QUARANTINED}: {instance_id} of the same dispatch"
            if state is not OrganismState.AUTOHEALING:
                return f"holder_active: {instance_id} of the same dispatch is {state.value}"
        return None

    def launched(self, body: Lease) -> None:
        """A new instance runs."""
        self.known[body.instance_id] = Instance(body.agent, body.dispatch_id, body.lease_id)
        self.newest[body.dispatch_id] = body.instance_id
        self._unstopped.setdefault(body.dispatch_id, []).append(body.instance_id)

    def admit_transition(self, body: Transition, at: str) -> str | None:
        """Let an instance change its state; returns what is wrong with it."""
        instance = self.known.get(body.instance_id)
        if instance is None:
            return f"{Reason.LEASE_MISSING}: {body.instance_id} was never leased to"
        if body.dispatch_id != instance.dispatch_id:
            return f"{Reason.INSTANCE_MISMATCH}: the transition names another dispatch"
        if body.before is not instance.state:
            return f"state_illegal: the instance was {instance.state.value}, not {body.before.value}"
        if _MOVES.get((body.before, body.trigger)) is not body.after:
            return f"state_illegal: no move leads from {body.before.value} to {body.after.value} for this"
        act = BY_A_PERSON.get(body.trigger)
        if act is not None and act not in instance.acts:
            return (
                f"intervention_missing: no operator signed {act} for this instance, its dispatch or its agent"
            )
        instance.state, instance.acts = body.after, frozenset()
        if body.after in ENDED_STATES:
            self.halted.setdefault(body.instance_id, (ENDED_STATES[body.after], at))
        if body.after is OrganismState.STOPPED:
            self._unstopped[instance.dispatch_id].remove(body.instance_id)
        return None

    def admit_intervention(self, body: Intervention) -> str | None:
        """Remember what a person did to an instance, a dispatch or all of an agent; returns what is wrong."""
        if sum(isinstance(one, str) for one in (body.instance_id, body.agent, body.dispatch_id)) != 1:
            return "intervention_invalid: it names an instance, a dispatch or an agent, and one of them"
        if body.action not in ACTS or (isinstance(body.dispatch_id, str) and body.action != Act.STOP):
            return "intervention_invalid: it is none of those that there are"
        if isinstance(body.instance_id, str):
            touched = [self.known[body.instance_id]] if body.instance_id in self.known else []
            if not touched:
                return f"{Reason.LEASE_MISSING}: {body.instance_id} was never leased to"
        elif isinstance(body.dispatch_id, str):
            touched = [one for one in self.known.values() if one.dispatch_id == body.dispatch_id]
        else:
            touched = [one for one in self.known.values() if one.agent == body.agent]
            if body.action == Act.QUARANTINE:
                self.held.add(str(body.agent))
            elif body.action == Act.RELEASE:
                self.held.discard(str(body.agent))
        for instance in touched:
            instance.acts |= {body.action}
        return None

    def isolate(self, agent: str) -> None:
        """Quarantine an agent again whose release doesn't count any more."""
        self.held.add(agent)
        for instance in self.known.values():
            if instance.agent == agent:
                instance.acts |= {Act.QUARANTINE.value}
